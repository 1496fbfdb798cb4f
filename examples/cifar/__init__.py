"""Small residual networks trained on CIFAR-10: to press, and to prove that it keeps what they learned."""
