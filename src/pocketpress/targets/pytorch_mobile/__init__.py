"""PyTorch Mobile's own format, TorchScript for the lite interpreter, for apps that still carry it."""
