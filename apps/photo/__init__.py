"""Photo enhancement: a small network picks a blend of learned colour tables, NumPy applies it."""
