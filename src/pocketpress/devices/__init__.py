"""Machines that run artifacts: this one, in the same process or in a child that may crash."""
