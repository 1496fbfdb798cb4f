"""Smaller weights between float activations: integers with scales, palettes, and run-time activations.

`integers` plans and applies int8 and int4 weights (per channel or in blocks), `palette` k-means codebooks,
`dynamic` marks the products whose activations the runtime quantises as it goes.
"""
