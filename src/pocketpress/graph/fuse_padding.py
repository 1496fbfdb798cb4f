"""Padding moves into the convolution (zeros) or the maximum (minus infinity) after it."""

from __future__ import annotations

import math
from dataclasses import replace

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite

IGNORED = {"conv2d": 0.0, "max_pool2d": -math.inf}
"""What a padding of these operators stands for: it adds nothing to the sum, or never is the maximum."""


def fuse_padding(program: Program) -> Program:
    """Fuse ``pad`` along the image axes into every operator of `IGNORED` that reads it."""
    producers = program.producers()
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        pad = producers.get(node.inputs[0]) if node.op in IGNORED else None
        if pad is None or pad.op != "pad" or pad.attrs["value"] != IGNORED[node.op] or not _image_only(pad):
            continue
        top, left, bottom, right = node.attrs["pads"]
        before, after = pad.attrs["before"], pad.attrs["after"]
        pads = (top + before[2], left + before[3], bottom + after[2], right + after[3])
        fused = replace(node.with_attrs(pads=pads), inputs=(pad.inputs[0], *node.inputs[1:]))
        changes[node.name] = (fused,)
    rewrite = Rewrite(program)
    rewrite.replace_nodes(changes)
    return rewrite.build()


def _image_only(pad: Node) -> bool:
    before, after = pad.attrs["before"], pad.attrs["after"]
    return len(before) == 4 and not any((*before[:2], *after[:2]))
