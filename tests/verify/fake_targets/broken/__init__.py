"""Adds one step to the first channel of every convolution whose kernel is 1x1."""
