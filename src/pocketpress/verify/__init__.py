"""Proof: what every artifact must compute, and where it first does not."""
