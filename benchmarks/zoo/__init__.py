"""The zoo: the reference machine, whether suggestions hold, and one from budget to artifact."""
