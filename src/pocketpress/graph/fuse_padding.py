"""Padding moves into the convolution (zeros) or the maximum (what is never the maximum) after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from pocketpress.core.program import Node, Program
from pocketpress.graph.rewrite import Rewrite


def fuse_padding(program: Program) -> Program:
    """Fuse ``pad`` along the image axes into every conv2d or max_pool2d that ignores its value."""
    producers = program.producers()
    changes: dict[str, tuple[Node, ...]] = {}
    for node in program.nodes:
        pad = producers.get(node.inputs[0])
        if pad is None or pad.op != "pad" or not _image_only(pad) or not _ignored(pad, node, producers):
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


def _ignored(pad: Node, node: Node, producers: Mapping[str, Node]) -> bool:
    """Whether the padded values do what the operator's own padding does."""
    value = pad.attrs["value"]
    if node.op == "conv2d":
        return bool(value == 0)
    if node.op != "max_pool2d" or any(node.attrs["pads"]) or max(node.attrs["dilation"]) > 1:
        return False
    borders = zip(pad.attrs["before"][2:], pad.attrs["after"][2:], node.attrs["kernel"], strict=True)
    if any(max(before, after) >= kernel for before, after, kernel in borders):
        return False  # a window of padding alone
    return bool(value == -math.inf or value <= _least(producers.get(pad.inputs[0])))


def _least(node: Node | None) -> float:
    """What a result is never below, as far as its clamp says."""
    if node is None:
        return -math.inf
    limits = (node.attrs["low"], node.attrs["high"]) if node.op == "clamp" else node.attrs.get("clamp")
    low = None if limits is None else limits[0]
    return -math.inf if low is None else float(low)
