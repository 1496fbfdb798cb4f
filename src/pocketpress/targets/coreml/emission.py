"""The state of one lowering: where each tensor of the program is in the ML program.

Every operator computes in float32 on real values.  A quantised tensor is the int8 result of a ``quantize``;
whoever reads it reads the one ``dequantize`` of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Node, Program, Quantization, TensorType
from pocketpress.core.program.decode import real_constant
from pocketpress.core.program.ir import Array
from pocketpress.targets.coreml.constants import integers, opset_of, palette
from pocketpress.targets.coreml.graph import Constant, Graph, Value
from pocketpress.targets.coreml.names import Names

Clamp = tuple[float | None, float | None]
INTEGER_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
WEIGHT_DTYPES = ("int4", *INTEGER_LIMITS)


class Emission:
    """A program on its way into a `Graph`.

    Args:
        program: all of a network, or what stands in a block of it.
        within: None, or the emission of the network.
    """

    def __init__(self, program: Program, within: Emission | None = None) -> None:
        self.program = program
        self.names: Names = Names(program, None if within is None else within.names.taken)
        self.graph: Graph = Graph(self.names, opset_of(program)) if within is None else within.graph
        self._inner: list[Emission] = []
        if within is not None:
            within._inner.append(self)
        self._stored: dict[str, Value] = {}
        self._real: dict[str, Value] = {}

    # --- reading --------------------------------------------------------------------------------------

    def shape(self, node: Node) -> tuple[int, ...]:
        """Shape of a node's output."""
        return self.program.type(node.outputs[0]).shape

    def x(self, node: Node, index: int = 0) -> Value:
        """Real values of a node's input."""
        return self.real(node.inputs[index])

    def real(self, name: str) -> Value:
        """Real values of a tensor, made now if nobody asked before."""
        if name not in self._real:
            if self.program.is_constant(name):
                self._real[name] = self._constant(name)
            else:
                self._real[name] = self._dequantized(name)
        return self._real[name]

    def real_constant(self, name: str) -> Array:
        """A small constant as float32 numbers, dequantised."""
        return real_constant(self.program, name)

    def _dequantized(self, name: str) -> Value:
        type_ = self.program.type(name)
        quant = _per_tensor(type_, name)
        value = self.graph.op(
            "dequantize",
            type_.shape,
            input=self._stored[name],
            scale=np.asarray(quant.step),
            zero_point=np.asarray(quant.zero_point, dtype=type_.dtype),
        )
        return value

    def _constant(self, name: str) -> Value:
        type_, value = self.program.type(name), np.asarray(self.program.constants[name])
        opset, shape = self.graph.opset, value.shape
        if type_.palette is not None:
            return self.graph.constexpr(*palette(value, type_, opset), shape, self.names.of(name))
        if type_.dtype in WEIGHT_DTYPES and type_.quant is not None and value.ndim > 0:
            return self.graph.constexpr(*integers(value, type_, opset, name), shape, self.names.of(name))
        if type_.dtype == "float16" and value.ndim > 1:  # biases and slopes must be plain constants
            cast: dict[str, Constant] = {"source_val": value, "output_dtype": "fp32"}
            return self.graph.constexpr("constexpr_cast", cast, shape, self.names.of(name))
        if type_.quant is not None or value.dtype.kind == "f":
            return self.graph.constant(self.real_constant(name))
        return self.graph.constant(value)

    def give(self, name: str, value: Value) -> None:
        """Let ``value`` hold the real numbers of a tensor."""
        self._real[name] = value

    # --- writing --------------------------------------------------------------------------------------

    def input(self, name: str) -> None:
        """Declare a program input.  8-bit integers arrive as whole float32 numbers."""
        type_ = self.program.type(name)
        border = border_dtype(type_.dtype, name)
        value = self.graph.input(self.names.of(name), type_.shape, border)
        if type_.quant is None:
            self._real[name] = value
        elif type_.dtype in INTEGER_LIMITS:
            self._stored[name] = self.graph.op("cast", type_.shape, type_.dtype, x=value, dtype=type_.dtype)
            self.graph.name(self._stored[name], self.names.integers(name))
        else:
            raise UnsupportedError("Core ML quantises to 8 bits only", got=f"{name} {type_.dtype}")

    def store(self, node: Node, value: Value) -> None:
        """Keep a node's real result: clamped, and quantised when its type says so."""
        name = node.outputs[0]
        type_ = self.program.type(name)
        clamp = node.attrs.get("clamp")
        if clamp is not None:
            value = self.clamped(value, clamp, type_)
        if type_.quant is None:
            self._real[name] = value
            return
        quant = _per_tensor(type_, name)
        stored = self.graph.op(
            "quantize",
            type_.shape,
            type_.dtype,
            input=value,
            scale=np.asarray(quant.step),
            zero_point=np.asarray(quant.zero_point, dtype=type_.dtype),
            output_dtype=type_.dtype,
        )
        self._stored[name] = stored
        self.graph.name(stored, self.names.integers(name))

    def clamped(self, value: Value, clamp: Clamp, type_: TensorType) -> Value:
        """Limit real values; for a quantised result, to the reals of the integer limits that bind."""
        low, high = clamp if type_.quant is None else _grid_limits(clamp, type_)
        if low is None and high is None:
            return value
        if (low, high) == (0.0, None):
            return self.graph.op("relu", value.shape, x=value)
        if low is not None and high is not None:
            return self.graph.op("clip", value.shape, x=value, alpha=float(low), beta=float(high))
        if low is not None:
            return self.graph.op("maximum", value.shape, x=value, y=float(low))
        return self.graph.op("minimum", value.shape, x=value, y=float(high or 0.0))

    def output(self, name: str) -> Value:
        """The value of a program output in the dtype of the border, under its name."""
        feature = self.names.of(name)
        type_ = self.program.type(name)
        if type_.quant is not None and not self.program.is_constant(name):
            border = border_dtype(type_.dtype, name)
            return self.graph.output(
                self.graph.op("cast", type_.shape, border, x=self._stored[name], dtype="fp32"), feature
            )
        return self.graph.output(self.real(name), feature)

    def name_all(self) -> None:
        """Give values the names of their tensors, as far as outputs left them free; those in blocks first."""
        for inner in self._inner:
            inner.name_all()
        for name, value in self._real.items():
            held = name in self._stored or self.program.is_constant(name)
            if not self.graph.is_named(value):
                self.graph.name(value, self.names.unique(f"{name}_real") if held else self.names.of(name))


Handler = Callable[[Emission, Node], Value]


def border_dtype(dtype: str, name: str) -> str:
    """Dtype of a Core ML feature for a stored dtype: 8-bit integers travel as float32 numbers.

    Raises:
        UnsupportedError: Core ML has no feature for it.
    """
    borders = {
        "float32": "float32",
        "int8": "float32",
        "uint8": "float32",
        "int32": "int32",
        "int64": "int32",
    }
    if dtype not in borders:
        raise UnsupportedError(
            f"Core ML has no input or output of this dtype: {name}", got=dtype, allowed=[*borders]
        )
    return borders[dtype]


def _per_tensor(type_: TensorType, name: str) -> Quantization:
    quant = type_.quant
    if quant is None or quant.axis is not None or type_.dtype not in INTEGER_LIMITS:
        raise UnsupportedError(f"Core ML cannot hold this tensor in integers: {name}", got=type_.dtype)
    return quant


def _grid_limits(clamp: Clamp, type_: TensorType) -> Clamp:
    quant = type_.quant
    if quant is None:
        raise ValueError("the type is not quantised")
    least, most = INTEGER_LIMITS[type_.dtype]
    inverse = np.float32(1) / quant.step
    low = least if clamp[0] is None else int(np.rint(np.float32(clamp[0]) * inverse)) + quant.zero_point
    high = most if clamp[1] is None else int(np.rint(np.float32(clamp[1]) * inverse)) + quant.zero_point
    high = max(low, high)
    return (
        float(np.float32(low - quant.zero_point) * quant.step) if low > least else None,
        float(np.float32(high - quant.zero_point) * quant.step) if high < most else None,
    )
