"""Learning on the program: rounding, block by block.

`operators` computes a program's float operators with gradients, `simulate` puts the planned grids between
them, `blocks` cuts the program where little is live, `rounding` decides up or down for every weight.  What is
learned is a `QuantizationPlan`: integers that no target rounds again.
"""
