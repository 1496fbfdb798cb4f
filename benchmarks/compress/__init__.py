"""What compression costs: the networks of `examples.cifar` at every low-bit precision, in every runtime."""
