"""Average pooling as a depthwise convolution with weight 1/n, for int8 programs.

Runtimes round int8 average pooling differently (half away from zero, or half to even) and LiteRT wants the
output to keep the input's scale.  As a convolution it is exact in every runtime: weight integer 1, scale 1/n.
"""

from __future__ import annotations

import numpy as np

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite


def average_pool_to_depthwise(program: Program) -> Program:
    """Rewrite every avg_pool2d that divides by a constant count."""
    rewrite = Rewrite(program)
    for node in program.nodes:
        if node.op != "avg_pool2d" or (any(node.attrs["pads"]) and not node.attrs["count_include_pad"]):
            continue
        channels = program.type(node.inputs[0]).shape[1]
        kernel = node.attrs["kernel"]
        weight = np.full((channels, 1, *kernel), 1.0 / (kernel[0] * kernel[1]), np.float32)
        attrs = {
            "stride": node.attrs["stride"],
            "pads": node.attrs["pads"],
            "dilation": (1, 1),
            "groups": channels,
            "clamp": None,
        }
        inputs = (node.inputs[0], rewrite.constant(f"{node.name}_weight", weight))
        rewrite.replace_nodes(
            {node.name: (Node("conv2d", node.name, inputs, node.outputs, attrs, node.source),)}
        )
    return rewrite.build()
