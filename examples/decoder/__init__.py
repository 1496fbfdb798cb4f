"""A small causal transformer that writes image captions letter by letter, its cache an explicit state."""
