"""Compression algorithms: a plan as data first, then a small and dumb apply."""
