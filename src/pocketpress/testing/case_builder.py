"""Build one-operator programs, the same operator in float, with half-precision weights and in int8.

A case in int8 quantises its float inputs, computes one operator in integers and dequantises.  The feeds lie
on the input's grid and cover all of it, both ends included, so that saturation is met.  Scales follow the
rules of the quantiser: results stay clear of rounding ties.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pocketpress.core.program import Node, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.tables import real_table
from pocketpress.verify.reference import floats
from pocketpress.verify.reference.context import Context

FLOAT, HALF, INTEGER, DYNAMIC = "fp32", "fp16", "w8a8-static", "w8-dynamic"

RATIO_DENOMINATOR = 127
"""Ratios of scales of additions and products are whole multiples of 1/127 (odd, so never near a tie)."""

_TABLE_MARGIN = 1e-3


@dataclass(frozen=True)
class Case:
    """One operator in one program, with inputs to run it on.

    Attributes:
        name: variant, unique together with ``op`` and ``precision``.
        op: the operator under test.
        precision: "fp32", "fp16" (float16 weights), "w8a8-static" or "w8-dynamic".
        program: the program to lower.
        feeds: one array per program input, in the input's dtype.
        island: in int8, the operator itself is computed on reals between dequantise and quantise.
    """

    name: str
    op: str
    precision: str
    program: Program
    feeds: Mapping[str, Array] = field(repr=False)
    island: bool = False

    @property
    def id(self) -> str:
        """Readable and unique."""
        return f"{self.op}-{self.name}-{self.precision}"


class CaseBuilder:
    """What a variant is written with; the subclass decides whether tensors are reals or integers."""

    precision = FLOAT

    def __init__(self, op: str, name: str) -> None:
        self.op, self.name = op, name
        self.builder = ProgramBuilder()
        self.feeds: dict[str, Array] = {}
        self.values: dict[str, Array] = {}
        """The real value of every tensor that an operator may read."""
        self.rng = np.random.default_rng(zlib.crc32(f"{op}/{name}".encode()))

    def input(
        self, shape: tuple[int, ...], *, scale: float = 0.037, zero_point: int = -9, dtype: str = "int8"
    ) -> str:
        """An activation; in float, normally distributed with standard deviation 2, whatever the grid."""
        values = (self.rng.standard_normal(shape) * 2).astype(np.float32)
        return self._feed(values)

    def positive(self, shape: tuple[int, ...]) -> str:
        """An activation with values from 0.1 to 4, for roots, logarithms and divisors."""
        return self._feed(self.rng.uniform(0.1, 4.0, shape).astype(np.float32))

    def spread(self, shape: tuple[int, ...], limit: float) -> str:
        """An activation with values of at most ``limit`` in size."""
        return self._feed(self.rng.uniform(-limit, limit, shape).astype(np.float32))

    def tied(self, shape: tuple[int, ...]) -> str:
        """An activation of three different numbers, so that the largest one comes several times."""
        return self._feed(self.rng.integers(-1, 2, shape).astype(np.float32))

    def _feed(self, values: Array) -> str:
        name = self.builder.input(f"x{len(self.feeds)}", TensorType(values.shape))
        self.feeds[name] = values
        self.values[name] = values
        return name

    def constant(self, values: Array) -> str:
        """A float constant."""
        name = self.builder.constant("c", values.astype(np.float32))
        self.values[name] = self.builder.constant_value(name)  # type: ignore[assignment]
        return name

    def apply(self, inputs: list[str], **attrs: Any) -> str:
        """Append the operator; returns the output tensor, which is a program output."""
        result = real_result(self.op, self.builder, inputs, self.values, attrs)
        return self.builder.node(self.op, inputs, TensorType(result.shape), name="y", **attrs)

    def product(
        self,
        x: str,
        weight_shape: tuple[int, ...],
        *,
        bias: bool = True,
        axis: int = 0,
        groups: int = 1,
        **attrs: Any,
    ) -> str:
        """Append a convolution or fully connected layer with random weights."""
        fan_in = int(np.prod(weight_shape)) // weight_shape[axis]
        weight = (self.rng.standard_normal(weight_shape) * 1.5 / np.sqrt(fan_in)).astype(np.float32)
        inputs = [x, self._weight(weight)]
        if bias:
            outputs = weight_shape[axis] * (groups if axis == 1 else 1)
            inputs.append(self._weight(self.rng.standard_normal(outputs).astype(np.float32)))
        return self.apply(inputs, **attrs, **({} if self.op == "linear" else {"groups": groups}))

    def _weight(self, values: Array) -> str:
        return self.constant(values)

    def pair(
        self, first: tuple[int, ...], second: tuple[int, ...], *, ratios: tuple[int, int] = (127, 127)
    ) -> list[str]:
        """Two inputs of an addition; in int8 their scales are to each other as ``ratios``."""
        return [self.input(first), self.input(second)]

    def grid_constant(self, shape: tuple[int, ...], *, scale: float = 0.037, zero_point: int = -9) -> str:
        """A constant operand of element-by-element arithmetic."""
        return self.constant(self.rng.standard_normal(shape))

    # The scale rules of the methods below do nothing in float.

    def add(self, inputs: list[str], *, ratio: int = 127, zero_point: int = 0, **attrs: Any) -> str:
        """Append an addition or subtraction."""
        return self.apply(inputs, **attrs)

    def mul(self, inputs: list[str], *, numerator: int = 3, zero_point: int = 0, **attrs: Any) -> str:
        """Append a multiplication."""
        return self.apply(inputs, **attrs)

    def mean(self, inputs: list[str], *, divisor: int, zero_point: int = 0, **attrs: Any) -> str:
        """Append a mean."""
        return self.apply(inputs, **attrs)

    def table(
        self, shape: tuple[int, ...], wanted: float, zero_point: int, out: Quantization, **attrs: Any
    ) -> str:
        """Append an activation to a fresh input whose int8 scale is about ``wanted``."""
        return self.apply([self.input(shape)], **attrs)

    def move(self, inputs: list[str], **attrs: Any) -> str:
        """Append an operator whose output has the input's scale."""
        return self.apply(inputs, **attrs)

    def build(self, output: str) -> Case:
        """Freeze."""
        return Case(self.name, self.op, self.precision, self.builder.build([output]), self.feeds)


class HalfBuilder(CaseBuilder):
    """Constants are stored as float16."""

    precision = HALF

    def constant(self, values: Array) -> str:
        """A float16 constant."""
        name = self.builder.constant("c", values.astype(np.float16))
        self.values[name] = values.astype(np.float16).astype(np.float32)
        return name


class IntegerBuilder(CaseBuilder):
    """Activations are int8."""

    precision = INTEGER
    island = False

    def input(
        self, shape: tuple[int, ...], *, scale: float = 0.037, zero_point: int = -9, dtype: str = "int8"
    ) -> str:
        """A float input on the grid of an int8 activation, quantised."""
        info = np.iinfo(dtype)
        grid = self.rng.integers(info.min, info.max + 1, shape)
        grid.flat[0], grid.flat[-1] = info.min, info.max
        quant = Quantization.per_tensor(scale, zero_point)
        values = (grid - zero_point).astype(np.float32) * quant.step
        x = super()._feed(values)
        name = self.builder.node("quantize", [x], TensorType(shape, dtype, quant), name=f"{x}_q")
        self.values[name] = values
        return name

    def spread(self, shape: tuple[int, ...], limit: float) -> str:
        """An activation on a grid of that range."""
        return self.input(shape, scale=limit / 127, zero_point=0)

    def tied(self, shape: tuple[int, ...]) -> str:
        """Three neighbouring integers."""
        name = self.input(shape)
        x = name.removesuffix("_q")
        step = self._quant(name).step
        self.feeds[x] = self.rng.integers(-1, 2, shape).astype(np.float32) * step
        self.values[name] = self.feeds[x]
        return name

    def positive(self, shape: tuple[int, ...]) -> str:
        """An activation from 0.03 to about 7.7: integer -128 does not occur."""
        name = self.input(shape, scale=0.03, zero_point=-128)
        x = name.removesuffix("_q")
        self.feeds[x] = np.maximum(self.feeds[x], np.float32(0.03))
        self.values[name] = self.feeds[x]
        return name

    def product(
        self,
        x: str,
        weight_shape: tuple[int, ...],
        *,
        bias: bool = True,
        axis: int = 0,
        groups: int = 1,
        **attrs: Any,
    ) -> str:
        """int8 weights with a scale per output channel, int32 bias with scale ``s_in * s_w``."""
        count = weight_shape[axis]
        fan_in = int(np.prod(weight_shape)) // count
        weight = self.rng.integers(-127, 128, weight_shape).astype(np.int8)
        scales = self.rng.uniform(0.5, 1.5, count) * 1.5 / np.sqrt(fan_in) / 127
        quant = Quantization.per_channel(scales, axis)
        along = [1] * len(weight_shape)
        along[axis] = -1
        w = self.builder.constant("w", weight, quant)
        self.values[w] = weight * quant.scales().reshape(along)
        inputs = [x, w]
        if bias:
            channel_scales = np.tile(quant.scales(), groups if axis == 1 else 1)
            inputs.append(self._bias(self._quant(x).step * channel_scales))
        extra = {} if self.op == "linear" else {"groups": groups}
        return self._ranged(inputs, {**attrs, **extra})

    def _bias(self, scales: Array) -> str:
        integers = np.rint(self.rng.standard_normal(scales.size) / scales).astype(np.int32)
        name = self.builder.constant("b", integers, Quantization.per_channel(scales, 0))
        self.values[name] = (integers * scales).astype(np.float32)
        return name

    def apply(self, inputs: list[str], **attrs: Any) -> str:
        """Append the operator with an output range that saturates a few values."""
        return self._ranged(inputs, attrs)

    def _ranged(self, inputs: list[str], attrs: dict[str, Any]) -> str:
        """Output scale from the result's own range, a little too small so that saturation happens."""
        result = real_result(self.op, self.builder, inputs, self.values, attrs)
        low, high = float(np.quantile(result, 0.01)), float(np.quantile(result, 0.99))
        scale = max(high - low, 1e-3) / 255
        zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        return self._integer(inputs, result.shape, Quantization.per_tensor(scale, zero_point), attrs)

    def pair(
        self, first: tuple[int, ...], second: tuple[int, ...], *, ratios: tuple[int, int] = (127, 127)
    ) -> list[str]:
        """Two inputs with scales ``unit * p``."""
        unit = 0.037 / RATIO_DENOMINATOR
        a = self.input(first, scale=unit * ratios[0], zero_point=-9)
        return [a, self.input(second, scale=unit * ratios[1], zero_point=21)]

    def grid_constant(self, shape: tuple[int, ...], *, scale: float = 0.037, zero_point: int = -9) -> str:
        """An int8 constant with the quantisation of an activation."""
        integers = self.rng.integers(-128, 128, shape).astype(np.int8)
        quant = Quantization.per_tensor(scale, zero_point)
        name = self.builder.constant("c", integers, quant)
        self.values[name] = (integers.astype(np.float32) - zero_point) * quant.step
        return name

    def add(self, inputs: list[str], *, ratio: int = 127, zero_point: int = 5, **attrs: Any) -> str:
        """``s_out`` is the first input's scale times ``127 / ratio``; the second's ratio follows."""
        scale = float(self._quant(inputs[0]).step) * RATIO_DENOMINATOR / ratio
        quant = Quantization.per_tensor(scale, zero_point)
        return self._integer(inputs, self._shape(inputs, attrs), quant, attrs)

    def mul(self, inputs: list[str], *, numerator: int = 3, zero_point: int = -17, **attrs: Any) -> str:
        """``s_a * s_b / s_out = p / 127``."""
        steps = [float(self._quant(name).step) for name in inputs]
        scale = steps[0] * steps[1] * RATIO_DENOMINATOR / numerator
        return self._integer(
            inputs, self._shape(inputs, attrs), Quantization.per_tensor(scale, zero_point), attrs
        )

    def mean(self, inputs: list[str], *, divisor: int, zero_point: int = -40, **attrs: Any) -> str:
        """``s_out = s_in * divisor / count`` with an odd divisor."""
        shape = self._shape(inputs, attrs)
        source = self.builder.type(inputs[0])
        count = source.elements // int(np.prod(shape))
        scale = float(self._quant(inputs[0]).step) * divisor / count
        return self._integer(inputs, shape, Quantization.per_tensor(scale, zero_point), attrs)

    def table(
        self, shape: tuple[int, ...], wanted: float, zero_point: int, out: Quantization, **attrs: Any
    ) -> str:
        """The input's scale is chosen clear of ties."""
        scale = table_scale(self.op, wanted, zero_point, out, attrs)
        inputs = [self.input(shape, scale=scale, zero_point=zero_point)]
        return self._integer(inputs, shape, out, attrs)

    def move(self, inputs: list[str], **attrs: Any) -> str:
        """Output scale and zero point are the input's."""
        return self._integer(inputs, self._shape(inputs, attrs), self._quant(inputs[0]), attrs)

    def _shape(self, inputs: list[str], attrs: Mapping[str, Any]) -> tuple[int, ...]:
        return real_result(self.op, self.builder, inputs, self.values, attrs).shape

    def _quant(self, name: str) -> Quantization:
        quant = self.builder.type(name).quant
        if quant is None:
            raise ValueError(f"{name} is not quantised")
        return quant

    def _integer(
        self, inputs: list[str], shape: tuple[int, ...], quant: Quantization, attrs: Mapping[str, Any]
    ) -> str:
        name = self.builder.node(self.op, inputs, TensorType(shape, "int8", quant), name=self.op, **attrs)
        return self.builder.node("dequantize", [name], TensorType(shape), name="y")


class IslandBuilder(IntegerBuilder):
    """The operator is computed on reals inside an int8 program."""

    def apply(self, inputs: list[str], **attrs: Any) -> str:
        """dequantize, the operator, quantize, dequantize."""
        reals = [self._real(name) for name in inputs]
        result = real_result(self.op, self.builder, inputs, self.values, attrs)
        real = self.builder.node(self.op, reals, TensorType(result.shape), name=self.op, **attrs)
        low, high = min(0.0, float(result.min())), max(0.0, float(result.max()))
        scale = max(high - low, 1e-3) / 255
        quant = Quantization.per_tensor(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))
        stored = self.builder.node("quantize", [real], TensorType(result.shape, "int8", quant), name="stored")
        return self.builder.node("dequantize", [stored], TensorType(result.shape), name="y")

    def _real(self, name: str) -> str:
        type_ = self.builder.type(name)
        if not type_.is_quantized:
            return name
        return self.builder.node("dequantize", [name], TensorType(type_.shape), name=f"{name}_real")

    def build(self, output: str) -> Case:
        """Freeze, marked as an island."""
        return Case(self.name, self.op, self.precision, self.builder.build([output]), self.feeds, island=True)


def real_result(
    op: str, builder: ProgramBuilder, inputs: list[str], values: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    """What the operator computes on the real values of its inputs."""
    types = {name: TensorType(tuple(values[name].shape)) for name in inputs} | {"out": TensorType(())}
    node = Node(op, op, tuple(inputs), ("out",), attrs)
    program = Program(tuple(inputs), (), types, {}, (node,))
    arrays = [np.asarray(values[name], np.float32) for name in inputs]
    return floats.KERNELS[op](Context(program, node, arrays))


def table_scale(
    op: str, wanted: float, zero_point: int, out: Quantization, attrs: Mapping[str, Any]
) -> float:
    """The first input scale from ``wanted`` upwards that keeps all 256 entries clear of rounding ties."""
    for step in range(20_000):
        source = Quantization.per_tensor(wanted * (1 + step * 1e-4), zero_point)
        real = real_table(op, attrs, source, out)
        if np.abs(real - np.floor(real) - 0.5).min() > _TABLE_MARGIN:
            return source.scale[0]
    raise ValueError(f"no scale near {wanted} keeps {op} clear of ties")
