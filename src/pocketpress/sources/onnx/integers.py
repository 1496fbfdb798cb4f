"""Operators that compute in integers, as the real ones behind them.

Quantisers write files in two forms beside QDQ.  In the operator form a node reads integers with their scales
and gives integers (``QLinearConv``, and ONNX Runtime's ``QLinearAdd`` and its like): it becomes
``DequantizeLinear``, the real operator and ``QuantizeLinear``, which `pocketpress.sources.onnx.quantized`
reads.  In the dynamic form ``DynamicQuantizeLinear`` finds the range of x when it runs; q, s and z with
s * (q - z) = x are what it gives.  With s = 1, z = 0 and q = x the graph around it computes the real network:
sums of (q - z) * (w - z_w) are multiplied by s later, which is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.onnx.older import FLATTENED
from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import Graph, Step

MICROSOFT = "com.microsoft."
SUMS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
"""Sums of products of integers, and what they are of real numbers."""
FLOAT, SOFTMAX_CHANGED = 1, 13
DYNAMIC_NOTE = (
    "DynamicQuantizeLinear",
    "ranges found at run time are left out; the network is compressed anew (--precision w8-dynamic finds "
    "them at run time too)",
)


def with_real_operators(graph: Graph) -> Graph:
    """Take such operators out of a graph.

    Raises:
        UnsupportedError: integers or their scales are used in another way.
    """
    if all(step.op not in EXPANDED for step in graph.steps):
        return graph
    expansion = _Expansion(dict(graph.known), graph.steps, graph.outputs)
    steps = tuple(made for step in graph.steps for made in expansion.steps(step))
    notes = (DYNAMIC_NOTE,) if expansion.dynamic else ()
    return replace(graph, known=expansion.known, steps=steps, notes=graph.notes + notes)


@dataclass
class _Expansion:
    known: dict[str, Known]
    all_steps: Sequence[Step]
    outputs: Sequence[str]
    dynamic: dict[str, Step] = field(default_factory=dict)
    """Steps that find a range, by what they call the integers."""
    readers: dict[str, list[Step]] = field(init=False)
    makers: dict[str, Step] = field(init=False)

    def __post_init__(self) -> None:
        self.readers = {}
        self.makers = {name: step for step in self.all_steps for name in step.outputs}
        for step in self.all_steps:
            for name in dict.fromkeys(step.inputs):
                if name is not None:
                    self.readers.setdefault(name, []).append(step)

    def steps(self, step: Step) -> Iterator[Step]:
        expand = EXPANDED.get(step.op)
        if step.op == "DequantizeLinear" and step.inputs[0] in self.dynamic:
            yield replace(step, op="Identity", inputs=step.inputs[:1], attributes={})
        elif expand is None:
            yield step
        else:
            yield from expand(self, step)

    def real(self, step: Step, at: int, *, axis: int = 1, scale: str | None = None) -> tuple[str, list[Step]]:
        """The real values of integers, which scale and zero point follow, and the steps that make them."""
        listed = _padded(step.inputs, at + 3)
        integers, own, zero = listed[at : at + 3]
        if integers in self.dynamic:
            return integers, []
        name = f"{step.outputs[0]} operand {at}"
        attributes = {"axis": axis}
        return name, [
            Step("DequantizeLinear", step.name, (integers, scale or own, zero), (name,), attributes)
        ]

    def bias(self, step: Step, at: int, scales: tuple[int, int]) -> tuple[str | None, list[Step]]:
        """Real values of an int32 bias, whose scale is the product of two."""
        integers = _padded(step.inputs, at + 1)[at]
        if integers is None:
            return None, []
        first, second = (self.constant(step, place) for place in scales)
        scale, name = f"{step.outputs[0]} scale of bias", f"{step.outputs[0]} bias"
        self.known[scale] = (first.reshape(-1) * second.reshape(-1)).astype(np.float32)
        return name, [Step("DequantizeLinear", step.name, (integers, scale, None), (name,), {"axis": -1})]

    def constant(self, step: Step, at: int) -> Known:
        name = _padded(step.inputs, at + 1)[at]
        if name is None or name not in self.known:
            raise UnsupportedError(f"node {step.name}: a scale that depends on the network's inputs")
        return self.known[name]

    def ended(
        self, step: Step, op: str, inputs: Sequence[str | None], scale_at: int, attributes: dict[str, object]
    ) -> Iterator[Step]:
        """The real operator, and its result in integers where the node names their scale."""
        scale, zero = _padded(step.inputs, scale_at + 2)[scale_at : scale_at + 2]
        out = step.outputs[0]
        name = out if scale is None else f"{out} real"
        yield replace(step, op=op, inputs=tuple(inputs), outputs=(name,), attributes=attributes)
        if scale is not None:
            yield Step("QuantizeLinear", step.name, (name, scale, zero), (out,), {})


def _padded(names: Sequence[str | None], count: int) -> list[str | None]:
    return [*names, *[None] * (count - len(names))]


def _without(step: Step, *names: str) -> dict[str, object]:
    return {key: value for key, value in step.attributes.items() if key not in names}


def _convolution(e: _Expansion, step: Step) -> Iterator[Step]:
    """QLinearConv: x, its scale and zero point, weight, its two, those of the result, bias."""
    x, first = e.real(step, 0)
    weight, second = e.real(step, 3, axis=0)
    bias, third = e.bias(step, 8, (1, 4))
    yield from (*first, *second, *third)
    yield from e.ended(step, "Conv", [x, weight, bias], 6, dict(step.attributes))


def _product(e: _Expansion, step: Step) -> Iterator[Step]:
    """QLinearMatMul: two factors, scales of the second per column."""
    a, first = e.real(step, 0)
    b, second = e.real(step, 3, axis=-1)
    yield from (*first, *second)
    yield from e.ended(step, "MatMul", [a, b], 6, {})


def _gemm(e: _Expansion, step: Step) -> Iterator[Step]:
    a, first = e.real(step, 0)
    b, second = e.real(step, 3, axis=0 if step.attributes.get("transB") else 1)
    bias, third = e.bias(step, 6, (1, 4))
    yield from (*first, *second, *third)
    yield from e.ended(step, "Gemm", [a, b, bias], 7, dict(step.attributes))


def _binary(op: str) -> Expand:
    def expand(e: _Expansion, step: Step) -> Iterator[Step]:
        (a, first), (b, second) = e.real(step, 0), e.real(step, 3)
        yield from (*first, *second)
        yield from e.ended(step, op, [a, b], 6, {})

    return expand


def _unary(op: str) -> Expand:
    def expand(e: _Expansion, step: Step) -> Iterator[Step]:
        if step.attributes.get("channels_last"):
            raise UnsupportedError(f"node {step.name}: channels_last of {op}", got=1, allowed=0)
        attributes = _without(step, "channels_last", "opset")
        if op == "Softmax" and int(step.attributes.get("opset", SOFTMAX_CHANGED)) < SOFTMAX_CHANGED:
            attributes[FLATTENED] = True
        x, first = e.real(step, 0)
        yield from first
        yield from e.ended(step, op, [x], 3, attributes)

    return expand


def _concatenation(e: _Expansion, step: Step) -> Iterator[Step]:
    """QLinearConcat: scale and zero point of the result, then three for each part."""
    parts = []
    for at in range(2, len(step.inputs), 3):
        part, made = e.real(step, at)
        yield from made
        parts.append(part)
    yield from e.ended(step, "Concat", parts, 0, dict(step.attributes))


def _range(e: _Expansion, step: Step) -> Iterator[Step]:
    """DynamicQuantizeLinear: see the module."""
    integers, scale, zero = step.outputs
    e.dynamic[integers] = step
    for reader in e.readers.get(integers, []):
        if reader.op not in (*SUMS, f"{MICROSOFT}MatMulIntegerToFloat", "DequantizeLinear"):
            raise _otherwise(reader, "integers of a range that is found at run time")
    e.known[scale], e.known[zero] = np.asarray(1, np.float32), np.asarray(0, np.uint8)
    yield Step("Identity", step.name, step.inputs[:1], (integers,), {})


def _sum(e: _Expansion, step: Step) -> Iterator[Step]:
    """MatMulInteger and ConvInteger: of the real operands, divided by the scales they were quantised with."""
    scale, names = np.float32(1), []
    for at in range(2):
        axis = 0 if step.op == "ConvInteger" else -1
        operand, own, made = _operand(e, step, at, axis)
        names.append(operand)
        scale = scale * own
        yield from made
    if scale == 1:
        yield replace(step, op=SUMS[step.op], inputs=tuple(names))
        return
    product, factor = f"{step.outputs[0]} product", f"{step.outputs[0]} factor"
    e.known[factor] = np.asarray(1 / scale, np.float32)
    yield replace(step, op=SUMS[step.op], inputs=tuple(names), outputs=(product,))
    yield Step("Mul", step.name, (product, factor), step.outputs, {})


def _operand(e: _Expansion, step: Step, at: int, axis: int) -> tuple[str, np.float32, list[Step]]:
    """Its real values, the scale that integers of it were made with, and the steps that make them."""
    integers, zero = (_padded(step.inputs, 4)[i] for i in (at, at + 2))
    if integers in e.dynamic:
        _check_scaled(e, step, integers, zero)
        return integers, np.float32(1), []
    name, scale = f"{step.outputs[0]} operand {at}", f"{step.outputs[0]} scale {at}"
    maker = e.makers.get(integers or "")
    if maker is not None and maker.op == "QuantizeLinear":
        own = e.constant(maker, 1)
        if own.size == 1 and zero == _padded(maker.inputs, 3)[2]:
            made = Step("DequantizeLinear", step.name, (integers, *maker.inputs[1:3]), (name,), {})
            return name, np.float32(own.reshape(-1)[0]), [made]
    if integers not in e.known:
        raise _otherwise(step, "integers that no QuantizeLinear or DynamicQuantizeLinear made")
    e.known[scale] = np.ones(1 if zero is None else max(1, e.constant(step, at + 2).size), np.float32)
    made = Step("DequantizeLinear", step.name, (integers, scale, zero), (name,), {"axis": axis})
    return name, np.float32(1), [made]


def _check_scaled(e: _Expansion, step: Step, integers: str, zero: str | None) -> None:
    """The integers have their own zero point; the sum is made real and multiplied by their scale once."""
    found = e.dynamic[integers]
    if zero != found.outputs[2]:
        raise _otherwise(step, "integers with another zero point")
    scale = found.outputs[1]
    if step.outputs[0] in e.outputs:
        raise _otherwise(step, "a sum of products of integers as an output")
    products = {m.outputs[0] for m in e.readers.get(scale, []) if m.op == "Mul"} | {scale}
    for cast in e.readers.get(step.outputs[0], []):
        if cast.op != "Cast" or int(cast.attributes.get("to", 0)) != FLOAT:
            raise _otherwise(cast, "a sum of products of integers")
        if cast.outputs[0] in e.outputs:
            raise _otherwise(cast, "a sum of products of integers as an output")
        for reader in e.readers.get(cast.outputs[0], []):
            if reader.op != "Mul" or len(products.intersection(n or "" for n in reader.inputs)) != 1:
                raise _otherwise(reader, "a sum of products of integers")


def _otherwise(step: Step, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"node {step.name} uses {what}",
        got=step.op,
        allowed="what ONNX Runtime's quantiser writes",
        next_step="give the float network, or one in the QDQ form",
    )


def _to_float(e: _Expansion, step: Step) -> Iterator[Step]:
    """MatMulIntegerToFloat: two factors, both scales, both zero points, bias."""
    a, b, a_scale, b_scale, a_zero, b_zero, bias = _padded(step.inputs, 7)[:7]
    yield from _float_product(replace(step, inputs=(a, b, b_scale, b_zero, bias)), e, (a_scale, a_zero))


def _dynamic_product(e: _Expansion, step: Step) -> Iterator[Step]:
    """DynamicQuantizeMatMul: a real factor, integers, their scale and zero point, bias."""
    yield from _float_product(step, e, None)


def _float_product(step: Step, e: _Expansion, first: tuple[str | None, str | None] | None) -> Iterator[Step]:
    a, b, scale, zero, bias = _padded(step.inputs, 5)[:5]
    out = step.outputs[0]
    found = e.dynamic.get(a or "")
    if found is not None and first is not None and first != tuple(found.outputs[1:3]):
        raise _otherwise(step, "integers of a range that is found at run time")
    if first is not None and found is None:
        yield Step("DequantizeLinear", step.name, (a, *first), (f"{out} operand 0",), {})
        a = f"{out} operand 0"
    yield Step("DequantizeLinear", step.name, (b, scale, zero), (f"{out} operand 1",), {"axis": -1})
    made = out if bias is None else f"{out} product"
    yield replace(step, op="MatMul", inputs=(a, f"{out} operand 1"), outputs=(made,), attributes={})
    if bias is not None:
        yield Step("Add", step.name, (made, bias), (out,), {})


def _lstm(e: _Expansion, step: Step) -> Iterator[Step]:
    """DynamicQuantizeLSTM: both weights have the inputs first, integers of their own scales."""
    inputs = _padded(step.inputs, 12)
    for at, scale, zero in ((1, 8, 9), (2, 10, 11)):
        weight, steps = e.constant(step, at), e.constant(step, scale)
        directions = weight.shape[0]
        zeros = e.constant(step, zero) if inputs[zero] is not None else np.zeros(directions, weight.dtype)
        along = (directions, 1, -1)
        real = (weight.astype(np.float32) - zeros.astype(np.float32).reshape(along)) * steps.reshape(along)
        name = f"{next(o for o in step.outputs if o)} weight {at}"
        e.known[name] = np.ascontiguousarray(real.transpose(0, 2, 1).astype(np.float32))
        inputs[at] = name
    yield replace(step, op="LSTM", inputs=tuple(inputs[:8]))


def _same(op: str) -> Expand:
    def expand(e: _Expansion, step: Step) -> Iterator[Step]:
        yield replace(step, op=op)

    return expand


Expand = Callable[[_Expansion, Step], Iterator[Step]]
EXPANDED: dict[str, Expand] = {
    "ConvInteger": _sum,
    "DynamicQuantizeLinear": _range,
    "MatMulInteger": _sum,
    "QLinearConv": _convolution,
    "QLinearMatMul": _product,
    f"{MICROSOFT}DequantizeLinear": _same("DequantizeLinear"),
    f"{MICROSOFT}DynamicQuantizeLSTM": _lstm,
    f"{MICROSOFT}DynamicQuantizeMatMul": _dynamic_product,
    f"{MICROSOFT}MatMulIntegerToFloat": _to_float,
    f"{MICROSOFT}QGemm": _gemm,
    f"{MICROSOFT}QLinearAdd": _binary("Add"),
    f"{MICROSOFT}QLinearAveragePool": _unary("AveragePool"),
    f"{MICROSOFT}QLinearConcat": _concatenation,
    f"{MICROSOFT}QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    f"{MICROSOFT}QLinearLeakyRelu": _unary("LeakyRelu"),
    f"{MICROSOFT}QLinearMul": _binary("Mul"),
    f"{MICROSOFT}QLinearSigmoid": _unary("Sigmoid"),
    f"{MICROSOFT}QLinearSoftmax": _unary("Softmax"),
    f"{MICROSOFT}QuantizeLinear": _same("QuantizeLinear"),
}
"""What takes the place of each."""
