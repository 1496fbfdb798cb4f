"""Collect the values, nodes and weights of one XNNPACK graph, and serialise it for the delegate.

Weights that XNNPACK repacks while loading (filters and biases) travel inside the delegate's blob.  Every
other constant becomes an extra input of the delegate call, held in the program's own constant segment: the
delegate frees its blob after loading, so an operator that reads a constant in place must not find it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, UnsupportedError
from pocketpress.core.program.ir import Array, Program, Quantization, TensorType
from pocketpress.targets.executorch.flatbuffer import Record, decode, encode
from pocketpress.targets.executorch.schema import xnnpack_schema

INVALID_ID = 0xFFFFFFFF
EXTERNAL_INPUT, EXTERNAL_OUTPUT = 1, 2
MAX_RANK = 6
_ALIGNMENT = 16

FP32, FP16, QINT8, QUINT8, QCINT8, QCINT32, QCINT4, QDINT8 = 1, 2, 3, 4, 6, 7, 8, 9
"""Values of the schema's ``XNNDatatype``."""

_DATATYPES = {"float32": FP32, "float16": FP16, "int8": QINT8, "uint8": QUINT8}


@dataclass(frozen=True)
class Blob:
    """A serialised delegate.

    Attributes:
        data: header, graph and weights, as `XnnpackBackend` reads them.
        inputs: tensor names (program inputs and constants) in the order of the delegate's arguments.
        outputs: tensor names, behind the inputs in the delegate's arguments.
    """

    data: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Graph:
    """An XNNPACK graph under construction over the tensors of one channels-last program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._values: list[Record] = []
        self._nodes: list[Record] = []
        self._offsets: list[Record] = [{"offset": 0, "size": 0}]
        self._weights = bytearray()
        self._stored: dict[bytes, int] = {}
        self._ids: dict[str, int] = {}
        self._inputs: list[str] = []
        self._outputs: dict[str, int] = {}

    @property
    def program(self) -> Program:
        """The program being translated."""
        return self._program

    def value(self, name: str) -> int:
        """Id of a tensor of the program: an activation, or a constant read in place."""
        if name not in self._ids:
            self._ids[name] = self._external_or_internal(name)
        return self._ids[name]

    def _external_or_internal(self, name: str) -> int:
        type_ = self._program.type(name)
        if name in self._program.inputs or self._program.is_constant(name):
            self._inputs.append(name)
            made = self._define(type_, external=len(self._inputs) - 1, flags=EXTERNAL_INPUT)
            if type_.dtype != "float16":
                return made
            wide = self.new(TensorType(type_.shape))
            self.node("XNNConvert", input_id=made, output_id=wide)
            return wide
        if name in self._program.outputs:
            made = self._define(type_, external=0, flags=EXTERNAL_OUTPUT)
            self._outputs[name] = made
            return made
        return self._define(type_)

    def new(self, type_: TensorType) -> int:
        """A value that the program does not name."""
        return self._define(type_)

    def scalar(self, value: float) -> int:
        """A float constant of one element, read in place."""
        return self.constant(np.asarray([value], dtype=np.float32))

    def constant(self, array: Array, quant: Quantization | None = None) -> int:
        """A constant that the program does not have, read in place."""
        array = np.ascontiguousarray(array)
        content = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        name = f"constant:{array.dtype}:{array.shape}:{quant}:{content}"
        if name not in self._ids:
            self._program = _with_constant(self._program, name, array, quant)
        return self.value(name)

    def packed(self, array: Array, datatype: int, scales: Array | None = None, channel_dim: int = 0) -> int:
        """A filter or bias that XNNPACK copies while loading.

        Args:
            array: the stored values, in XNNPACK's layout; int8 for QCINT4, packed here.
            datatype: FP32, FP16, QCINT8, QCINT4 or QCINT32.
            scales: float32, one per channel, for the last three.
            channel_dim: axis of ``scales`` in ``array``.
        """
        tensor = self._tensor(array.shape, datatype)
        tensor["constant_buffer_idx"] = self._store(_nibbles(array) if datatype == QCINT4 else array)
        if scales is None:
            return self._append("XNNTensorValue", tensor, tensor)
        quant = (
            "PerChannelQuant",
            {
                "scale": [],
                "channel_dim": channel_dim,
                "scale_buffer_idx": self._store(np.asarray(scales, np.float32)),
                "num_scales": len(scales),
            },
        )
        return self._append(
            "XNNQuantizedTensorValue", {"tensor_value": tensor, "quant_params": quant}, tensor
        )

    def _store(self, array: Array) -> int:
        data = np.ascontiguousarray(array).tobytes()
        digest = hashlib.sha256(data).digest()
        if digest not in self._stored:
            self._weights.extend(bytes(-len(self._weights) % _ALIGNMENT))
            self._offsets.append({"offset": len(self._weights), "size": len(data)})
            self._weights.extend(data)
            self._stored[digest] = len(self._offsets) - 1
        return self._stored[digest]

    def _define(self, type_: TensorType, external: int = INVALID_ID, flags: int = 0) -> int:
        if type_.dtype not in _DATATYPES or (type_.dtype == "uint8" and type_.quant is None):
            raise UnsupportedError("XNNPACK has no tensors of this dtype", got=type_.dtype)
        if len(type_.shape) > MAX_RANK:
            raise UnsupportedError("tensor with too many axes for XNNPACK", got=type_.shape, allowed=MAX_RANK)
        tensor = self._tensor(type_.shape, _DATATYPES[type_.dtype])
        tensor.update(external_id=external, flags=flags)
        if type_.quant is None:
            return self._append("XNNTensorValue", tensor, tensor)
        quant = ("PerTensorQuant", _per_tensor(type_.quant))
        return self._append(
            "XNNQuantizedTensorValue", {"tensor_value": tensor, "quant_params": quant}, tensor
        )

    def _tensor(self, shape: Sequence[int], datatype: int) -> Record:
        dims = list(shape)
        return {
            "datatype": datatype,
            "num_dims": len(dims),
            "dims": dims,
            "constant_buffer_idx": 0,
            "external_id": INVALID_ID,
            "flags": 0,
            "id_out": len(self._values),
        }

    def _append(self, member: str, record: Record, tensor: Record) -> int:
        self._values.append({"xvalue_union": (member, record), "tensor": tensor})
        return len(self._values) - 1

    def row_quantized(self, shape: Sequence[int], row_axes: int) -> int:
        """int8 values whose scale and zero point XNNPACK finds at run time.

        Args:
            shape: of the value.
            row_axes: how many of the last axes share one range.
        """
        tensor = self._tensor(shape, QDINT8)
        quant = ("PerTokenDynamicQuant", {"num_nonbatch_dims": row_axes})
        return self._append(
            "XNNQuantizedTensorValue", {"tensor_value": tensor, "quant_params": quant}, tensor
        )

    def node(
        self, member: str, *, limits: tuple[float, float] | None = None, flags: int = 0, **fields: Any
    ) -> None:
        """Append a node; ``limits`` clamps its output (real values, infinite for "no limit")."""
        record: Record = {
            "xnode_union": (member, {**fields, "flags": flags}),
            "debug_handle": len(self._nodes),
        }
        if limits is not None:
            record["output_min_max"] = {"output_min": limits[0], "output_max": limits[1]}
        self._nodes.append(record)

    def finish(self) -> Blob:
        """Number the outputs behind the inputs and serialise."""
        outputs = tuple(self._outputs)
        for position, name in enumerate(outputs):
            self._values[self._outputs[name]]["tensor"]["external_id"] = len(self._inputs) + position
        graph = {
            "version": "0",
            "xnodes": self._nodes,
            "xvalues": [{"xvalue_union": value["xvalue_union"]} for value in self._values],
            "num_externs": len(self._inputs) + len(outputs),
            "input_ids": [self._ids[name] for name in self._inputs],
            "output_ids": [self._outputs[name] for name in outputs],
            "constant_data": self._offsets,
        }
        data = _with_header(encode(xnnpack_schema(), graph), bytes(self._weights))
        return Blob(data, tuple(self._inputs), outputs)


def _nibbles(array: Array) -> Array:
    """4-bit integers plus 8, two to a byte, the first in the low half; rows of an odd length end in a 0."""
    rows = array.reshape(-1, array.shape[-1]).astype(np.int16) + 8
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)), constant_values=8).astype(np.uint8)
    return np.asarray(rows[:, ::2] | rows[:, 1::2] << 4)


def _per_tensor(quant: Quantization) -> Record:
    return {"scale": float(quant.step), "zero_point": quant.zero_point}


def _with_constant(program: Program, name: str, array: Array, quant: Quantization | None) -> Program:
    return Program(
        program.inputs,
        program.outputs,
        {**program.types, name: TensorType(tuple(array.shape), str(array.dtype), quant)},
        {**program.constants, name: array},
        program.nodes,
    )


HEADER_MAGIC = b"XH00"
_HEADER_SIZE = 30


def _with_header(graph: bytes, weights: bytes) -> bytes:
    """Zeros, magic, header size, graph offset and size, weights offset and size; each part 16-aligned."""
    start = _HEADER_SIZE + -_HEADER_SIZE % _ALIGNMENT
    padded = len(graph) + -len(graph) % _ALIGNMENT
    header = b"".join(
        (
            bytes(4),
            HEADER_MAGIC,
            _HEADER_SIZE.to_bytes(2, "little"),
            start.to_bytes(4, "little"),
            len(graph).to_bytes(4, "little"),
            (start + padded).to_bytes(4, "little"),
            len(weights).to_bytes(8, "little"),
        )
    )
    return header.ljust(start, b"\0") + graph.ljust(padded, b"\0") + weights


def read_graph(delegate: bytes) -> Record:
    """The graph table of a delegate's blob, which is untrusted.

    Raises:
        ArtifactError: not such a blob.
    """
    if len(delegate) < _HEADER_SIZE or delegate[4:8] != HEADER_MAGIC:
        raise ArtifactError("not an XNNPACK delegate", got=delegate[4:8], allowed=HEADER_MAGIC)
    start, size = int.from_bytes(delegate[10:14], "little"), int.from_bytes(delegate[14:18], "little")
    return decode(xnnpack_schema(), delegate[start : start + size])
