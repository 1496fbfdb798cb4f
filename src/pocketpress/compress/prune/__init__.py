"""Fewer channels and fewer weights: structured pruning of a live network, and weight masks."""
