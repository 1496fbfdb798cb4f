"""The vocabulary every stage shares.  Imports NumPy at most, never an ML library."""
