"""A recurrent network in every runtime: files, lowering, latency, accuracy, long sequences."""
