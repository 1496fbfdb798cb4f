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
"""A convolution with a smaller part of the network's weights is not computed over windows: it would take up
to four times as long and save next to nothing (3 to 32 channels at 224 x 224: 1.8 against 0.43 ms)."""

WINDOW_BYTES = 2800
"""Twice what the nodes of 3 x 3 windows take in the file: smaller savings are not worth their time."""

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
    one_group = int(node.attrs.get("groups", 1)) == 1
    if program.type(node.outputs[0]).is_quantized:
        if type_.dtype == "int8":
            return Form.PLAIN
        even = _row_length(node, type_.shape) % 2 == 0
        return Form.ROWS if one_group and even and _pays(program, node, Form.WIDENED) else Form.WIDENED
    if node.op.startswith("dynamic_"):
        return Form.DECODED if is_depthwise(program, node) else Form.DYNAMIC
    instead = Form.WHOLE_HALVES if type_.quant.block is None else Form.DECODED
    return Form.ROWS if one_group and _pays(program, node, instead) else instead


def is_depthwise(program: Program, node: Node) -> bool:
    """Whether every output channel of a convolution sees one of several input channels."""
    shape = program.type(node.inputs[1]).shape
    return node.op in ("conv2d", "dynamic_conv2d") and node.attrs["groups"] > 1 and shape[1] == 1


def _pays(program: Program, node: Node, instead: Form) -> bool:
    """Whether rows make the file clearly smaller than another form."""
    type_ = program.type(node.inputs[1])
    if node.op == "linear" or type_.shape[2:] == (1, 1):
        return True
    blocks = 1
    if type_.quant is not None and type_.quant.block is not None:
        blocks = len(type_.quant.scale) // type_.shape[1 if node.op == "conv_transpose2d" else 0]
    saved = type_.elements * (_BYTES[instead] - (0.5 if type_.dtype == "int4" else 1.0))
    return saved >= WINDOW_BYTES * blocks and _share(program, node) >= SMALLEST_SHARE


_BYTES = {Form.WHOLE_HALVES: 2.0, Form.DECODED: 4.0, Form.WIDENED: 1.0}


def _row_length(node: Node, shape: tuple[int, ...]) -> int:
    """Weights that one output is made of."""
    if node.op != "conv_transpose2d":
        return int(np.prod(shape[1:], dtype=np.int64))
    taps = (-(-size // step) for size, step in zip(shape[2:], node.attrs["stride"], strict=True))
    return shape[0] * int(np.prod(tuple(taps), dtype=np.int64))


def _share(program: Program, node: Node) -> float:
    weights = {n.inputs[1] for n in program.nodes if n.op in PRODUCTS and program.is_constant(n.inputs[1])}
    return program.type(node.inputs[1]).elements / sum(program.type(name).elements for name in weights)


_BITS = {Form.WHOLE_HALVES: 16, Form.DECODED: 32, Form.WIDENED: 8}


def stored_wider(program: Program) -> tuple[Skipped, ...]:
    """Products whose weights take more bits in the file than the program gives them, and why."""
    found = []
    for node in program.nodes:
        form = form_of(program, node) if node.op in PRODUCTS else Form.PLAIN
        if form in _BITS:
            reason = f"{_reason(program, node)}: its weights take {_BITS[form]} bits each"
            found.append(Skipped(f"{node.op} {node.name}", reason))
    return tuple(found)


def _reason(program: Program, node: Node) -> str:
    if node.op.startswith("dynamic_"):
        return (
            "XNNPACK has no depthwise convolution of activations quantised at run time, it computes in float"
        )
    if int(node.attrs.get("groups", 1)) > 1:
        return "XNNPACK keeps such weights in products of one group only"
    if (
        program.type(node.outputs[0]).is_quantized
        and _row_length(node, program.type(node.inputs[1]).shape) % 2
    ):
        return "XNNPACK has 4-bit weights between integers for even numbers of them per output only"
    return "too few weights to be worth a product over windows"


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
