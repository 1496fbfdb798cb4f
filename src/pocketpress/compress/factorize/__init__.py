"""Low-rank factorisation of a live network's layers."""
