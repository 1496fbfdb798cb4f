"""Mixed precision: which layers stand few bits, and the cheapest assignment that keeps a promise."""
