"""Activations.  In integers each is a function of one byte; three ways, best first, all exact.

1. kernels of ONNX Runtime that compute the same table (QLinearSigmoid, QLinearLeakyRelu, QLinearAdd,
   Clip and QLinearMul);
2. the float function between DequantizeLinear and QuantizeLinear, listed by the audit as a float island;
3. a Gather from the reference's own table.

The runtime computes 1 and 2 in float32, so they are used only where all 256 results stay clear of a
rounding tie; the third is for the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketpress.core.program import Node
from pocketpress.core.program.tables import integer_table, real_table
from pocketpress.targets.onnxruntime.lookup import apply_table
from pocketpress.targets.onnxruntime.products import is_integer
from pocketpress.targets.onnxruntime.writer import MICROSOFT, GraphWriter

_TIE_MARGIN = 4e-4
"""In steps of the output; just below the margin the quantiser looks for when it chooses scales."""

_SIXTH = 1.0 / 6.0


def activation(w: GraphWriter, node: Node) -> None:
    """Lower any table operator, float or integer."""
    if not is_integer(w, node):
        _real(w, node, w.value(node.inputs[0]), w.value(node.outputs[0]))
    elif _is_safe(w, node):
        _INTEGER.get(node.op, _island)(w, node)
    else:
        q_in, q_out = w.quant(node.inputs[0]), w.quant(node.outputs[0])
        dtype = w.program.type(node.outputs[0]).dtype
        table = integer_table(node.op, node.attrs, q_in, q_out, dtype).astype(np.int16)
        shift = w.stored_zero_point(node.outputs[0]) - q_out.zero_point
        apply_table(w, node, (table + shift).astype(np.uint8))


def _is_safe(w: GraphWriter, node: Node) -> bool:
    real = real_table(node.op, node.attrs, w.quant(node.inputs[0]), w.quant(node.outputs[0]))
    zero = w.stored_zero_point(node.outputs[0])
    inside = (real + zero > -1) & (real + zero < 256)
    away = np.abs(real - np.floor(real) - 0.5)
    return bool(away[inside].min(initial=0.5) > _TIE_MARGIN)


def _real(w: GraphWriter, node: Node, source: str, out: str | None) -> str:
    name, op, a = node.outputs[0], node.op, node.attrs
    if op == "hardswish":
        gate = w.emit("HardSigmoid", [source], name=name, alpha=_SIXTH, beta=0.5)
        return w.emit("Mul", [source, gate], name=name, out=out)
    if op == "hardsigmoid":
        return w.emit("HardSigmoid", [source], name=name, out=out, alpha=_SIXTH, beta=0.5)
    if op == "leaky_relu":
        return w.emit("LeakyRelu", [source], name=name, out=out, alpha=float(a["slope"]))
    if op == "elu":
        return w.emit("Elu", [source], name=name, out=out, alpha=float(a["alpha"]))
    return w.emit({"sigmoid": "Sigmoid", "tanh": "Tanh"}[op], [source], name=name, out=out)


def _island(w: GraphWriter, node: Node) -> None:
    source, out = node.inputs[0], node.outputs[0]
    inputs = [w.value(source), w.scale_of(source), w.zero_of(source)]
    real = _real(w, node, w.emit("DequantizeLinear", inputs, name=out), None)
    w.emit("QuantizeLinear", [real, w.scale_of(out), w.zero_of(out)], name=out, out=w.value(out))


def _sigmoid(w: GraphWriter, node: Node) -> None:
    _unary(w, node, "QLinearSigmoid")


def _leaky_relu(w: GraphWriter, node: Node) -> None:
    _unary(w, node, "QLinearLeakyRelu", alpha=float(node.attrs["slope"]))


def _unary(w: GraphWriter, node: Node, op: str, **attrs: float) -> None:
    source, out = node.inputs[0], node.outputs[0]
    inputs = [w.value(source), w.scale_of(source), w.zero_of(source), w.scale_of(out), w.zero_of(out)]
    w.emit(op, inputs, name=out, out=w.value(out), domain=MICROSOFT, **attrs)


def _tanh(w: GraphWriter, node: Node) -> None:
    """``tanh(x) = 2 sigmoid(2x) - 1``: QLinearSigmoid with input scale doubled, output scale halved."""
    source, out = node.inputs[0], node.outputs[0]
    step = np.float64(w.quant(out).step)
    zero = w.stored_zero_point(out) - 1 / step
    if zero != np.rint(zero) or not 0 <= zero <= 255:
        _island(w, node)
        return
    inputs = [w.value(source), w.scale(2 * w.quant(source).step), w.zero_of(source)]
    inputs += [w.scale(step / 2), w.zero(int(zero))]
    w.emit("QLinearSigmoid", inputs, name=out, out=w.value(out), domain=MICROSOFT)


def _hardsigmoid(w: GraphWriter, node: Node) -> None:
    """``x/6 + 1/2`` by QLinearAdd; saturation clips at 0 and 1 where the output's grid ends there."""
    source, out = node.inputs[0], node.outputs[0]
    step, zero = np.float64(w.quant(out).step), w.stored_zero_point(out)
    if zero != 0 or np.rint(1 / step) < 255:
        _island(w, node)
        return
    inputs = [w.value(source), w.scale(np.float64(w.quant(source).step) / 6), w.zero_of(source)]
    inputs += [w.shared("one_u8", np.uint8(1)), w.scale(0.5), w.zero(0)]
    w.emit(
        "QLinearAdd", [*inputs, w.scale_of(out), w.zero_of(out)], name=out, out=w.value(out), domain=MICROSOFT
    )


def _hardswish(w: GraphWriter, node: Node) -> None:
    """``x * clip(x + 3, 0, 6) / 6`` as Clip and QLinearMul, where 3 is a whole number of input steps."""
    source, out = node.inputs[0], node.outputs[0]
    zero, three = w.stored_zero_point(source), round(3 / float(w.quant(source).step))
    if zero < three or not _is_product(w, node, zero, three):
        _island(w, node)
        return
    bounds = [w.shared("limit", np.uint8(max(0, min(255, v)))) for v in (zero - three, zero + three)]
    gate = w.emit("Clip", [w.value(source), *bounds], name=out)
    inputs = [w.value(source), w.scale_of(source), w.zero_of(source)]
    inputs += [gate, w.scale(_sixth_step(w, source)), w.zero(zero - three)]
    w.emit(
        "QLinearMul", [*inputs, w.scale_of(out), w.zero_of(out)], name=out, out=w.value(out), domain=MICROSOFT
    )


def _sixth_step(w: GraphWriter, source: str) -> np.float64:
    return np.float64(w.quant(source).step) / 6


def _is_product(w: GraphWriter, node: Node, zero: int, three: int) -> bool:
    """Whether the integer product gives the reference's table, all 256 entries clear of ties."""
    source, out = node.inputs[0], node.outputs[0]
    x = np.arange(256) - zero
    multiplier = np.float64(w.quant(source).step) * _sixth_step(w, source) / np.float64(w.quant(out).step)
    product = x * (np.clip(x, -three, three) + three) * multiplier
    wanted = real_table(node.op, node.attrs, w.quant(source), w.quant(out))
    return bool(np.abs(product - wanted).max() < _TIE_MARGIN / 2)


_INTEGER: dict[str, Callable[[GraphWriter, Node], None]] = {
    "sigmoid": _sigmoid,
    "leaky_relu": _leaky_relu,
    "tanh": _tanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
}
