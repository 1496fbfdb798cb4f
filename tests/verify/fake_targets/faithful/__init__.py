"""Computes what the reference computes."""
