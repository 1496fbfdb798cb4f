"""Static 8-bit quantisation: observe, plan, apply.

`place` decides which operators run in integers, `observe` collects statistics of their tensors, `ranges`
turns statistics into ranges, `grids` makes scales on which all runtimes round alike, `weights` quantises
the weights, `plan` joins these decisions into data, `apply` rewrites the program.
"""
