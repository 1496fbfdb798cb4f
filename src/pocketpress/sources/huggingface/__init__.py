"""Checkpoints of the Hugging Face hub, from its cache or a folder: data only, never code, never pickles."""
