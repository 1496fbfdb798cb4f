"""How the filter of a product is held in the file, decided from the program alone."""

from __future__ import annotations

from enum import Enum

import numpy as np

from pocketpress.core.program.ir import Array, Node, Program
from pocketpress.core.target import Skipped
from pocketpress.targets.executorch.emit.site import Site
from pocketpress.targets.executorch.graph import FP32, INVALID_ID, QCINT32

MAX_MULTIPLIER = 256.0
"""XNNPACK refuses a requantisation multiplier this large (convolution-nhwc.c)."""

SMALLEST_SHARE = 1 / 1000
"""A convolution with a smaller part of the network's weights is not computed over windows: it would take
up to four times as long and save next to nothing (measured: 3 to 32 channels at 224 x 224, 1.8 against
0.43 ms)."""

PRODUCTS = frozenset({"conv2d", "conv_transpose2d", "linear", "dynamic_conv2d", "dynamic_linear"})


class Form(Enum):
    """The forms a filter can have."""

    PLAIN = "float32, float16, or int8 between int8 activations"
    ROWS = "8-bit rows, or 4-bit rows, of a fully connected operator"
    WHOLE_HALVES = "the integers as float16 numbers; the result is multiplied by the scales"
    DECODED = "float32, decoded"
    WIDENED = "int8, each 4-bit integer in a byte"
    DYNAMIC = "8-bit integers beside activations quantised at run time"


def form_of(program: Program, node: Node) -> Form:
    """The form of one product's filter."""
    type_ = program.type(node.inputs[1])
    if type_.quant is None or not program.is_constant(node.inputs[1]):
        return Form.PLAIN
    grouped = int(node.attrs.get("groups", 1)) > 1
    if program.type(node.outputs[0]).is_quantized:
        if type_.dtype == "int8":
            return Form.PLAIN
        return Form.WIDENED if grouped or _row_length(node, type_.shape) % 2 else Form.ROWS
    if node.op.startswith("dynamic_") and not is_depthwise(program, node):
        return Form.DYNAMIC
    if not grouped and (not _needs_windows(program, node) or _share(program, node) >= SMALLEST_SHARE):
        return Form.ROWS
    return Form.WHOLE_HALVES if type_.quant.block is None else Form.DECODED


def is_depthwise(program: Program, node: Node) -> bool:
    """Whether every output channel of a convolution sees one of several input channels."""
    shape = program.type(node.inputs[1]).shape
    return node.op in ("conv2d", "dynamic_conv2d") and node.attrs["groups"] > 1 and shape[1] == 1


def _needs_windows(program: Program, node: Node) -> bool:
    return node.op != "linear" and program.type(node.inputs[1]).shape[2:] != (1, 1)


def _row_length(node: Node, shape: tuple[int, ...]) -> int:
    """Weights that one output is made of."""
    if node.op != "conv_transpose2d":
        return int(np.prod(shape[1:], dtype=np.int64))
    taps = (-(-size // step) for size, step in zip(shape[2:], node.attrs["stride"], strict=True))
    return shape[0] * int(np.prod(tuple(taps), dtype=np.int64))


def _share(program: Program, node: Node) -> float:
    weights = {n.inputs[1] for n in program.nodes if n.op in PRODUCTS and program.is_constant(n.inputs[1])}
    return program.type(node.inputs[1]).elements / sum(program.type(name).elements for name in weights)


_REASONS = {
    Form.WHOLE_HALVES: "XNNPACK keeps integer weights between float activations in products of one group "
    "only: its weights take 16 bits each",
    Form.DECODED: "XNNPACK has no blocks in grouped products: its weights take 32 bits each",
    Form.WIDENED: "XNNPACK has 4-bit weights between integers in products of one group with an even number "
    "of weights per output only: its weights take 8 bits each",
}


def stored_wider(program: Program) -> tuple[Skipped, ...]:
    """Products whose weights take more bits in the file than the program gives them, and why."""
    found = []
    for node in program.nodes:
        if node.op not in PRODUCTS:
            continue
        form = form_of(program, node)
        small = form is Form.WHOLE_HALVES and int(node.attrs.get("groups", 1)) == 1
        reason = "few weights: 16 bits each are faster" if small else _REASONS.get(form)
        if reason is not None:
            found.append(Skipped(f"{node.op} {node.name}", reason))
    return tuple(found)


def float_bias(site: Site, bias: Array | None) -> int:
    """Store a float32 bias; returns its id."""
    return INVALID_ID if bias is None else site.graph.packed(bias.astype(np.float32, copy=False), FP32)


def integer_bias(site: Site, bias: Array | None, scales: Array) -> int:
    """Store an int32 bias for weights of these scales; returns its id.

    Raises:
        UnsupportedError: the output's scale is too small for XNNPACK.
    """
    bias_scales = site.quant(0).step * scales
    if float((bias_scales / site.out_quant.step).max()) >= MAX_MULTIPLIER:
        raise site.unsupported(
            f"output scale {site.out_quant.step} too small for its input and weight scales",
            "calibrate with more varied samples",
        )
    if bias is None:
        return INVALID_ID
    return site.graph.packed(bias.astype(np.int32, copy=False), QCINT32, bias_scales)
