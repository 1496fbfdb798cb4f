"""Sources: a trained network, in any of its formats, becomes a float program."""
