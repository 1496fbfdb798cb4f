"""An ML program under construction, and its messages.

Values are numbered; names are given at the end, so that outputs can carry the names of the signature.
Constants are stored once; large ones go to the weight file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program.ir import Array
from pocketpress.targets.coreml.names import Names
from pocketpress.targets.coreml.protos import mil_messages
from pocketpress.targets.coreml.weights import DTYPES as FILE_DTYPES
from pocketpress.targets.coreml.weights import FILE_NAME, NARROW, WeightWriter

OPSET = "CoreML7"
"""Operators of iOS 17 and macOS 14, the first with ``quantize`` and ``dequantize``."""

NEW_OPSET = "CoreML8"
"""Operators of iOS 18 and macOS 15, the first with 4-bit integers."""

MAX_RANK = 5
_IN_FILE_ELEMENTS = 10
PROTO_TYPES = {
    "bool": "BOOL",
    "string": "STRING",
    "float16": "FLOAT16",
    "float32": "FLOAT32",
    "int8": "INT8",
    "int32": "INT32",
    "uint8": "UINT8",
    "uint32": "UINT32",
    **{dtype: dtype.upper() for dtype in NARROW},
}


@dataclass(frozen=True)
class Narrow:
    """Integers, held one to a byte here, of a dtype that shares bytes (`weights.NARROW`)."""

    value: Array
    dtype: str


Constant = Array | Narrow | str | bool | int | float | Sequence[int]


@dataclass(frozen=True)
class Value:
    """A tensor of the ML program."""

    number: int
    shape: tuple[int, ...]
    dtype: str


Argument = Value | Constant | Sequence[Value]


@dataclass(frozen=True)
class _Operation:
    kind: str
    outputs: tuple[Value, ...]
    inputs: Mapping[str, tuple[Value, ...]]
    attributes: Mapping[str, Constant]
    blocks: tuple[_Block, ...] = ()


@dataclass(frozen=True)
class _Block:
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    operations: tuple[_Operation, ...]


Fill = Callable[[Sequence[Value]], list[Value]]
"""Appends the operations of a block; from its inputs to its outputs."""


class Graph:
    """Operations of the one function, in order; constants stand outside of all blocks."""

    def __init__(self, names: Names, opset: str = OPSET) -> None:
        self.names = names
        self.opset = opset
        self.weights = WeightWriter()
        self._values = 0
        self._operations: list[_Operation] = []
        self._block = self._operations
        self._inputs: list[Value] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._names: dict[int, str] = {}

    # --- building -------------------------------------------------------------------------------------

    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> Value:
        """Declare an input of the function."""
        value = self._value(shape, dtype)
        self._inputs.append(value)
        self.name(value, name)
        return value

    def constant(self, value: Constant) -> Value:
        """A constant; numbers become float32 or int32 scalars, lists of numbers int32 vectors."""
        array = _as_array(value)
        dtype = "string" if array.dtype.kind == "U" else str(array.dtype)
        key = (dtype, array.shape, str(value).encode() if dtype == "string" else array.tobytes())
        if key not in self._constants:
            out = self._value(array.shape, dtype)
            self._operations.append(_Operation("const", (out,), {}, {"val": value}))
            self._constants[key] = out
        return self._constants[key]

    def constexpr(
        self, kind: str, attributes: Mapping[str, Constant], shape: tuple[int, ...], name: str
    ) -> Value:
        """A constant that Core ML expands from a smaller one (``constexpr_…``)."""
        out = self._value(shape, "float32")
        self._operations.append(_Operation(kind, (out,), {}, attributes))
        self.name(out, name)
        return out

    def op(
        self, kind: str, shape: tuple[int, ...], dtype: str = "float32", /, **inputs: Argument | None
    ) -> Value:
        """Append an operation with one output; an input of None is left out.

        Raises:
            UnsupportedError: the output has too many axes for Core ML.
        """
        if len(shape) > MAX_RANK:
            raise UnsupportedError(
                "Core ML has no tensors of this rank", got=shape, allowed=f"up to {MAX_RANK} axes"
            )
        given = {key: self._argument(item) for key, item in inputs.items() if item is not None}
        out = self._value(shape, dtype)
        self._block.append(_Operation(kind, (out,), given, {}))
        return out

    def loop(self, carried: Sequence[Value], condition: Fill, body: Fill) -> tuple[Value, ...]:
        """Append a ``while_loop``; returns what it carries at its end."""
        blocks = (self._filled(carried, condition), self._filled(carried, body))
        outputs = tuple(self._value(value.shape, value.dtype) for value in carried)
        self._block.append(_Operation("while_loop", outputs, {"loop_vars": tuple(carried)}, {}, blocks))
        return outputs

    def _filled(self, like: Sequence[Value], fill: Fill) -> _Block:
        outer, inner = self._block, list[_Operation]()
        inputs = tuple(self._value(value.shape, value.dtype) for value in like)
        self._block = inner
        outputs = tuple(fill(inputs))
        self._block = outer
        return _Block(inputs, outputs, tuple(inner))

    def name(self, value: Value, name: str) -> None:
        """Give a value a name of `Names`, unless it has one."""
        self._names.setdefault(value.number, name)

    def is_named(self, value: Value) -> bool:
        """Whether a value has a name."""
        return value.number in self._names

    def name_of(self, value: Value) -> str:
        """The name in the file."""
        return self._names[value.number]

    def output(self, value: Value, name: str) -> Value:
        """Return ``value`` under a name, as a copy when it already has one."""
        if value.number in self._names:
            value = self.op("identity", value.shape, value.dtype, x=value)
        self.name(value, name)
        return value

    def _value(self, shape: tuple[int, ...], dtype: str) -> Value:
        if dtype not in PROTO_TYPES:
            raise UnsupportedError(
                "Core ML has no tensors of this dtype", got=dtype, allowed=sorted(PROTO_TYPES)
            )
        self._values += 1
        return Value(self._values, tuple(int(d) for d in shape), dtype)

    def _argument(self, item: Argument) -> tuple[Value, ...]:
        if isinstance(item, Value):
            return (item,)
        if isinstance(item, (list, tuple)) and item and isinstance(item[0], Value):
            return tuple(item)
        return (self.constant(item),)  # type: ignore[arg-type]

    # --- messages -------------------------------------------------------------------------------------

    def to_program(self, outputs: Sequence[Value]) -> Any:
        """The ``MILSpec.Program`` message."""
        mil = mil_messages()
        self._name_rest(self._operations)
        program = mil.Program(version=1)
        function = program.functions["main"]
        function.opset = self.opset
        for value in self._inputs:
            function.inputs.append(self._named_type(value))
        block = function.block_specializations[self.opset]
        block.outputs.extend(self.name_of(value) for value in outputs)
        for operation in self._operations:
            self._fill(block.operations.add(), operation)
        return program

    def _name_rest(self, operations: Sequence[_Operation]) -> None:
        for operation in operations:
            unnamed = [(operation.kind, value) for value in operation.outputs]
            for block in operation.blocks:
                unnamed += [("carried", value) for value in block.inputs]
            for stem, value in unnamed:
                if value.number not in self._names:
                    self.name(value, self.names.unique(f"{stem}_{value.number}"))
            for block in operation.blocks:
                self._name_rest(block.operations)

    def _fill(self, message: Any, operation: _Operation) -> None:
        message.type = operation.kind
        message.outputs.extend(self._named_type(value) for value in operation.outputs)
        for block in operation.blocks:
            inner = message.blocks.add()
            inner.inputs.extend(self._named_type(value) for value in block.inputs)
            inner.outputs.extend(self.name_of(value) for value in block.outputs)
            for item in block.operations:
                self._fill(inner.operations.add(), item)
        for key, values in operation.inputs.items():
            for value in values:
                message.inputs[key].arguments.add().name = self.name_of(value)
        literal = self.opset == NEW_OPSET and operation.kind.startswith("constexpr_")
        for key, constant in operation.attributes.items():
            place = message.inputs[key].arguments.add().value if literal else message.attributes[key]
            self._fill_value(place, constant)
        self._fill_value(message.attributes["name"], self.name_of(operation.outputs[0]))

    def _named_type(self, value: Value) -> Any:
        named = mil_messages().NamedValueType(name=self.name_of(value))
        _fill_type(named.type.tensorType, value.shape, value.dtype)
        return named

    def _fill_value(self, message: Any, constant: Constant) -> None:
        if isinstance(constant, Narrow):
            _fill_type(message.type.tensorType, constant.value.shape, constant.dtype)
            message.blobFileValue.fileName = FILE_NAME
            message.blobFileValue.offset = self.weights.add(constant.value, constant.dtype)
            return
        array = _as_array(constant)
        dtype = "string" if array.dtype.kind == "U" else str(array.dtype)
        _fill_type(message.type.tensorType, array.shape, dtype)
        if array.size >= _IN_FILE_ELEMENTS and dtype in FILE_DTYPES:
            message.blobFileValue.fileName = FILE_NAME
            message.blobFileValue.offset = self.weights.add(array)
            return
        tensor = message.immediateValue.tensor
        if dtype == "string":
            tensor.strings.values.append(str(constant))
        elif dtype == "float32":
            tensor.floats.values.extend(array.reshape(-1).tolist())
        elif dtype == "int32":
            tensor.ints.values.extend(array.reshape(-1).tolist())
        elif dtype == "bool":
            tensor.bools.values.extend(array.reshape(-1).tolist())
        else:
            tensor.bytes.values = array.tobytes()


def _as_array(value: Constant) -> Array:
    if isinstance(value, Narrow):
        return value.value
    if isinstance(value, np.ndarray):
        return value if value.dtype != np.int64 else value.astype(np.int32)
    if isinstance(value, (str, bool)):
        return np.asarray(value)
    if isinstance(value, float):
        return np.asarray(value, dtype=np.float32)
    return np.asarray(value, dtype=np.int32)


def _fill_type(message: Any, shape: tuple[int, ...], dtype: str) -> None:
    message.dataType = getattr(mil_messages(), PROTO_TYPES[dtype])
    message.rank = len(shape)
    for size in shape:
        message.dimensions.add().constant.size = size
