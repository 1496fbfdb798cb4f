"""The bench page: how soon it shows a number, and twenty phones at once."""
