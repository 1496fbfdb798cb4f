"""A ``.tflite`` graph under construction, and its bytes.

Tensors, buffers and operator codes are numbered in the order of their first use, so equal programs give
equal bytes.  Equal constants are stored once.  Source of the format: LiteRT ``schema.fbs``, version 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.versions import operator_version

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
SIGNATURE_METADATA = "pocketpress.signature"
SIGNATURE_KEY = "serving_default"
Named = tuple[str, int]
"""A tensor of the signature: its name and its index."""

_CONSTANT_ALIGNMENT = 16
_PLACEHOLDER_CODE = 127

_TYPES: dict[str, int] = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "int4": schema.TensorType.INT4,
    "int2": schema.TensorType.INT2,
    "resource": schema.TensorType.RESOURCE,
}


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Byte vectors (the constants) start at multiples of 16, as XNNPACK wants them; equal vectors are one.

    Shapes repeat from tensor to tensor, and every weight has a vector of 64-bit zeros, its zero points.  So
    do the names of tensors inside a node, which say what they are, not whose.
    """

    def __init__(self, initialSize: int) -> None:
        super().__init__(initialSize)
        self._vectors: dict[tuple[str, bytes], int] = {}
        self._strings: dict[str, int] = {}

    def CreateNumpyVector(self, x: Array) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._vectors:
            self._vectors[key] = super().CreateNumpyVector(x)
        return self._vectors[key]

    def CreateString(self, s: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        if s not in self._strings:
            self._strings[s] = super().CreateString(s, encoding, errors)
        return self._strings[s]

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        wanted = _CONSTANT_ALIGNMENT if elemSize == 1 else alignment
        return super().StartVector(elemSize, numElems, wanted)


class Graph:
    """Tensors and operators of a subgraph, by index.

    Args:
        shared: None for the main subgraph, or the one whose buffers and operator codes this one uses.
    """

    def __init__(self, shared: Graph | None = None) -> None:
        self._tensors: list[Any] = []
        self._types: list[TensorType] = []
        self._kinds: list[str] = []
        self._operators: list[Any] = []
        self._constant_of: dict[tuple[Any, ...], int] = {}
        self._buffers: list[Array | None] = [None] if shared is None else shared._buffers
        self._buffer_of: dict[bytes, int] = {} if shared is None else shared._buffer_of
        self._codes: dict[tuple[str, int], int] = {} if shared is None else shared._codes
        self._attached: list[Any] = [] if shared is None else shared._attached

    def type(self, index: int) -> TensorType:
        """The type of tensor ``index``."""
        return self._types[index]

    def tensor(self, name: str, type_: TensorType, buffer: int = 0, kind: str | None = None) -> int:
        """Add a tensor; buffer 0 means that it is computed, ``kind`` is its dtype in the file if another."""
        kind = kind or type_.dtype
        tensor = schema.TensorT(
            shape=np.asarray(type_.shape, np.int32),
            type=_TYPES[kind],
            buffer=buffer,
            name=name,
            quantization=_quantization(type_.quant),
            hasRank=True,
        )
        self._tensors.append(tensor)
        self._types.append(type_)
        self._kinds.append(kind)
        return len(self._tensors) - 1

    def constant(self, name: str, value: Array, quant: Quantization | None = None) -> int:
        """Add a constant, or return the equal one that exists."""
        value = np.asarray(value)
        type_ = TensorType(tuple(value.shape), str(value.dtype), quant)
        content = value.tobytes()
        key = (type_, content)
        if key not in self._constant_of:
            self._constant_of[key] = self.tensor(name, type_, self._buffer(content))
        return self._constant_of[key]

    def packed(self, name: str, value: Array, bits: int, quant: Quantization) -> int:
        """Add a constant of signed integers of 4 or 2 bits, or return the equal one that exists."""
        type_ = TensorType(tuple(value.shape), "int8", quant)
        content = pack_bits(value, bits)
        key = (type_, content, bits)
        if key not in self._constant_of:
            self._constant_of[key] = self.tensor(name, type_, self._buffer(content), f"int{bits}")
        return self._constant_of[key]

    def integers(self, name: str, values: Sequence[int] | Array) -> int:
        """A constant of int32 values: a shape, axes, paddings."""
        return self.constant(name, np.asarray(values, np.int32))

    def assign(self, name: str, value: int) -> None:
        """Set the variable ``name``, which all subgraphs share."""
        self.operator("ASSIGN_VARIABLE", [self._handle(name), value], [])

    def read(self, name: str, type_: TensorType) -> int:
        """A tensor with the value of the variable ``name``."""
        out = self.tensor(name, type_)
        self.operator("READ_VARIABLE", [self._handle(name)], [out])
        return out

    def attach(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> int:
        """Close this subgraph and put it into the file; returns its number, for an operator that calls it."""
        self._attached.append(self._subgraph(name, _unnamed(inputs), _unnamed(outputs)))
        return len(self._attached)

    def _handle(self, name: str) -> int:
        handle = self.tensor(f"{name}/variable", TensorType(()), kind="resource")
        options = schema.VarHandleOptionsT(container="", sharedName=name)
        self.operator("VAR_HANDLE", [], [handle], options)
        return handle

    def _buffer(self, content: bytes) -> int:
        if content not in self._buffer_of:
            self._buffer_of[content] = len(self._buffers)
            self._buffers.append(np.frombuffer(content, np.uint8))
        return self._buffer_of[content]

    def operator(self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> None:
        """Append an operator; ``code`` is a name of ``BuiltinOperator``, -1 an input left out."""
        kind = 0 if options is None else getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._code(code, inputs),
                inputs=np.asarray(inputs, np.int32),
                outputs=np.asarray(outputs, np.int32),
                builtinOptionsType=kind,
                builtinOptions=options,
            )
        )

    def _code(self, code: str, inputs: Sequence[int]) -> int:
        given = [i for i in inputs if i >= 0]
        axes = (q.axis for q in (self._types[i].quant for i in given) if q is not None)
        per_channel = any(axis is not None for axis in axes)
        version = operator_version(code, [self._kinds[i] for i in given], per_channel)
        return self._codes.setdefault((code, version), len(self._codes))

    def _subgraph(self, name: str, inputs: Sequence[Named], outputs: Sequence[Named]) -> Any:
        return schema.SubGraphT(
            tensors=self._tensors,
            inputs=np.asarray([index for _, index in inputs], np.int32),
            outputs=np.asarray([index for _, index in outputs], np.int32),
            operators=self._operators,
            name=name,
        )

    def pack(
        self, inputs: Sequence[Named], outputs: Sequence[Named], signature: str, loading: Graph | None = None
    ) -> bytes:
        """The file: inputs and outputs by name in order, the signature's JSON, what is computed once."""
        text = self._buffer(signature.encode())
        subgraphs = [self._subgraph("main", inputs, outputs), *self._attached]
        if loading is not None and loading._operators:
            call = schema.CallOnceOptionsT(initSubgraphIndex=len(subgraphs))
            self.operator("CALL_ONCE", [], [], call)
            self._operators.insert(0, self._operators.pop())
            subgraphs.append(loading._subgraph("loading", (), ()))
        model = schema.ModelT(
            version=SCHEMA_VERSION,
            operatorCodes=[_operator_code(code, version) for code, version in self._codes],
            subgraphs=subgraphs,
            description="pocketpress",
            buffers=[schema.BufferT(data=data) for data in self._buffers],
            metadata=[schema.MetadataT(name=SIGNATURE_METADATA, buffer=text)],
            signatureDefs=[
                schema.SignatureDefT(
                    inputs=_tensor_maps(inputs), outputs=_tensor_maps(outputs), signatureKey=SIGNATURE_KEY
                )
            ],
        )
        size = sum(len(data) for data in self._buffers if data is not None)
        builder = _Builder(size + 512 * len(self._tensors) + 4096)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())


def pack_bits(value: Array, bits: int) -> bytes:
    """Signed integers of ``bits`` bits, the first in the lowest bits of a byte, zeros behind the last."""
    share = 8 // bits
    codes = np.zeros(-(-value.size // share) * share, np.uint8)
    codes[: value.size] = value.reshape(-1).astype(np.int8).view(np.uint8) & ((1 << bits) - 1)
    shifts = (np.arange(share) * bits).astype(np.uint8)
    packed: Array = np.bitwise_or.reduce(codes.reshape(-1, share) << shifts, axis=1)
    return packed.astype(np.uint8).tobytes()


def _operator_code(code: str, version: int) -> Any:
    number = getattr(schema.BuiltinOperator, code)
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=min(number, _PLACEHOLDER_CODE), builtinCode=number, version=version
    )


def _unnamed(indices: Sequence[int]) -> list[Named]:
    return [("", index) for index in indices]


def _tensor_maps(tensors: Sequence[Named]) -> list[Any]:
    return [schema.TensorMapT(name=name, tensorIndex=index) for name, index in dict(tensors).items()]


def _quantization(quant: Quantization | None) -> Any:
    if quant is None:
        return None
    return schema.QuantizationParametersT(
        scale=quant.scales(),
        zeroPoint=np.full(len(quant.scale), quant.zero_point, np.int64),
        quantizedDimension=quant.axis or 0,
    )
