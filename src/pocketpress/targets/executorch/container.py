"""Write and read the .pte container: kernel calls, one delegate call, and the embedded signature.

Layout: FlatBuffer program with the extended header ``eh00`` behind its first eight bytes, then the segments
(constants read in place, the delegate), then a trailer of our own with the SHA-256 of everything before it.
The runtime ignores the trailer; `read_container` checks it, because runtimes abort on corrupt files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.ir import Array, TensorType
from pocketpress.targets.executorch.flatbuffer import Record, decode, encode
from pocketpress.targets.executorch.graph import Blob
from pocketpress.targets.executorch.kernels import Argument, KernelCall
from pocketpress.targets.executorch.schema import program_schema

BACKEND = "XnnpackBackend"
SIGNATURE_METHOD = "pocketpress_signature"
TRAILER_MAGIC = b"PPTRAIL1"
TRAILER_SIZE = len(TRAILER_MAGIC) + 32
MAX_PROGRAM_BYTES = 1 << 26

_HEADER_MAGIC, _HEADER_SIZE = b"eh00", 32
_SEGMENT_ALIGNMENT, _TENSOR_ALIGNMENT = 64, 16
_SCALAR_TYPES = {"uint8": 0, "int8": 1, "int32": 3, "int64": 4, "float16": 5, "float32": 6}


@dataclass(frozen=True)
class Container:
    """What a .pte file of ours holds.

    Attributes:
        program: the decoded program table.
        signature: the embedded JSON text, untrusted.
        delegate: the XNNPACK blob.
    """

    program: Record
    signature: str
    delegate: bytes


def write_container(
    blob: Blob,
    types: dict[str, TensorType],
    constants: dict[str, Array],
    inputs: Sequence[str],
    outputs: Sequence[str],
    signature: str,
    calls: Sequence[KernelCall] = (),
) -> bytes:
    """Serialise the file.

    Args:
        blob: the delegate.
        types: of every name in ``blob``, ``inputs``, ``outputs`` and ``calls``.
        constants: of the names in ``blob.inputs`` and ``calls`` that are constants.
        inputs: of the method ``forward``, in order.
        outputs: of the method ``forward``, in order.
        signature: JSON text returned by the method ``pocketpress_signature``.
        calls: of kernels, before the delegate's.
    """
    read = [a for call in calls for a in call.arguments if isinstance(a, str)]
    held = [name for name in dict.fromkeys((*read, *blob.inputs, *outputs)) if name in constants]
    data, offsets = _constant_segment([constants[name] for name in held])
    segments = [data, blob.data]
    plan = _forward(blob, types, held, inputs, outputs, calls)
    table: Record = {
        "version": 0,
        "execution_plan": [plan, _constant_method(SIGNATURE_METHOD, signature)],
        "constant_buffer": [],
        "backend_delegate_data": [],
        "segments": _segment_table(segments),
        "constant_segment": {"segment_index": 0, "offsets": offsets},
        "named_data": [],
    }
    return _with_trailer(_assemble(encode(program_schema(), table), segments))


def _with_trailer(content: bytes) -> bytes:
    return content + TRAILER_MAGIC + hashlib.sha256(content).digest()


def _constant_segment(arrays: list[Array]) -> tuple[bytes, list[int]]:
    """All constants, 16-aligned; offset 0 is the placeholder that stands for "not a constant"."""
    data, offsets = bytearray(), [0]
    for array in arrays:
        data.extend(bytes(-len(data) % _TENSOR_ALIGNMENT))
        offsets.append(len(data))
        data.extend(np.ascontiguousarray(array).tobytes())
    return bytes(data), offsets


def _segment_table(segments: list[bytes]) -> list[Record]:
    table, offset = [], 0
    for segment in segments:
        offset += -offset % _SEGMENT_ALIGNMENT
        table.append({"offset": offset, "size": len(segment)})
        offset += len(segment)
    return table


def _forward(
    blob: Blob,
    types: dict[str, TensorType],
    held: list[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
    calls: Sequence[KernelCall],
) -> Record:
    names = list(dict.fromkeys((*inputs, *blob.inputs, *blob.outputs, *outputs, *held)))
    position = {name: index for index, name in enumerate(names)}
    values, planned = [], 0
    for name in names:
        if name in held:
            values.append(_tensor(types[name], buffer=held.index(name) + 1))
            continue
        values.append(_tensor(types[name], offset=planned))
        planned += _storage_bytes(types[name])
    call = {"delegate_index": 0, "args": [position[name] for name in (*blob.inputs, *blob.outputs)]}
    operators = list(dict.fromkeys(kernel.operator for kernel in calls))
    instructions: list[Record] = [
        {"instr_args": ("KernelCall", _kernel_call(kernel, operators, position, values))} for kernel in calls
    ]
    instructions.append({"instr_args": ("DelegateCall", call)})
    return {
        **_plan("forward", values, [position[n] for n in inputs], [position[n] for n in outputs], planned),
        "operators": [{"name": name, "overload": overload} for name, overload in operators],
        "chains": [{"inputs": [], "outputs": [], "instructions": instructions}],
        "delegates": [{"id": BACKEND, "processed": {"location": 1, "index": 1}, "compile_specs": []}],
    }


def _kernel_call(
    call: KernelCall, operators: list[tuple[str, str]], position: dict[str, int], values: list[Record]
) -> Record:
    """Indices of the arguments, then twice that of the output: as an argument and as what is returned."""
    args = []
    for argument in call.arguments:
        if not isinstance(argument, str):
            values.append(_immediate(argument))
        args.append(position[argument] if isinstance(argument, str) else len(values) - 1)
    out = position[call.out]
    return {"op_index": operators.index(call.operator), "args": [*args, out, out]}


def _immediate(value: Argument) -> Record:
    if value is None:
        return {"val": ("Null", {})}
    if isinstance(value, bool):
        return {"val": ("Bool", {"bool_val": value})}
    return {"val": ("Int", {"int_val": value})}


def _constant_method(name: str, text: str) -> Record:
    values = [{"val": ("String", {"string_val": text})}]
    return {**_plan(name, values, [], [0], 0), "chains": [_EMPTY_CHAIN], "delegates": []}


_EMPTY_CHAIN: Record = {"inputs": [], "outputs": [], "instructions": []}


def _plan(name: str, values: list[Record], inputs: list[int], outputs: list[int], planned: int) -> Record:
    return {
        "name": name,
        "container_meta_type": {"encoded_inp_str": "", "encoded_out_str": ""},
        "values": values,
        "inputs": inputs,
        "outputs": outputs,
        "operators": [],
        "non_const_buffer_sizes": [0, planned] if planned else [0],
    }


def _tensor(type_: TensorType, *, buffer: int = 0, offset: int = 0) -> Record:
    record: Record = {
        "scalar_type": _SCALAR_TYPES[type_.dtype],
        "storage_offset": 0,
        "sizes": list(type_.shape),
        "dim_order": list(range(len(type_.shape))),
        "data_buffer_idx": buffer,
    }
    if not buffer:
        record["allocation_info"] = {
            "memory_id": 1,
            "memory_offset_low": offset & 0xFFFFFFFF,
            "memory_offset_high": offset >> 32,
        }
    return {"val": ("Tensor", record)}


def _storage_bytes(type_: TensorType) -> int:
    size = type_.elements * np.dtype(type_.dtype).itemsize
    return size + -size % _SEGMENT_ALIGNMENT


def _assemble(flatbuffer: bytes, segments: list[bytes]) -> bytes:
    """Insert the extended header behind root offset and identifier, and append the segments."""
    size = len(flatbuffer) + _HEADER_SIZE
    base = size + -size % _SEGMENT_ALIGNMENT
    body = bytearray()
    for segment in segments:
        body.extend(bytes(-len(body) % _SEGMENT_ALIGNMENT))
        body.extend(segment)
    header = b"".join(
        (
            _HEADER_MAGIC,
            _HEADER_SIZE.to_bytes(4, "little"),
            size.to_bytes(8, "little"),
            base.to_bytes(8, "little"),
            len(body).to_bytes(8, "little"),
        )
    )
    root = int.from_bytes(flatbuffer[:4], "little") + _HEADER_SIZE
    program = root.to_bytes(4, "little") + flatbuffer[4:8] + header + flatbuffer[8:]
    return program.ljust(base, b"\0") + bytes(body)


def read_container(data: bytes) -> Container:
    """Parse a .pte file, which is untrusted.

    Raises:
        ArtifactError: another format, truncated, altered, or not written by Pocketpress.
    """
    _check_trailer(data)
    size, base = _check_header(data)
    flatbuffer = (int.from_bytes(data[:4], "little") - _HEADER_SIZE) % (1 << 32)
    program = decode(
        program_schema(), flatbuffer.to_bytes(4, "little") + data[4:8] + data[8 + _HEADER_SIZE : size]
    )
    return Container(program, _signature_text(program), _delegate(program, data, base))


def _check_trailer(data: bytes) -> None:
    if len(data) < 64 or data[4:8] != program_schema().identifier:
        raise ArtifactError("not an ExecuTorch program", got=data[4:8], allowed="ET12")
    trailer = data[-TRAILER_SIZE:]
    if not trailer.startswith(TRAILER_MAGIC):
        raise ArtifactError(
            "ExecuTorch program without Pocketpress trailer (truncated, or written by another tool)",
            next_step="build the artifact again",
        )
    if hashlib.sha256(data[:-TRAILER_SIZE]).digest() != trailer[len(TRAILER_MAGIC) :]:
        raise ArtifactError("ExecuTorch program is corrupt (hash differs)", next_step="build it again")


def _check_header(data: bytes) -> tuple[int, int]:
    """Program size and segment base, after checking that everything lies inside the file."""
    header = data[8 : 8 + _HEADER_SIZE]
    length, size, base, body = (
        int.from_bytes(header[a:b], "little") for a, b in ((4, 8), (8, 16), (16, 24), (24, 32))
    )
    if header[:4] != _HEADER_MAGIC or length != _HEADER_SIZE:
        raise ArtifactError("ExecuTorch program without extended header", got=header[:4])
    if not 8 + _HEADER_SIZE < size <= min(base, MAX_PROGRAM_BYTES) or base + body + TRAILER_SIZE != len(data):
        raise ArtifactError(
            "ExecuTorch program sizes do not fit the file", got=(size, base, body), allowed=len(data)
        )
    return size, base


def _signature_text(program: Record) -> str:
    for plan in program["execution_plan"]:
        if plan["name"] == SIGNATURE_METHOD and len(plan["values"]) == 1:
            value = plan["values"][0]["val"]
            if value is not None and value[0] == "String" and value[1]["string_val"] is not None:
                return str(value[1]["string_val"])
    raise ArtifactError(
        "ExecuTorch program without embedded signature", next_step="build it with Pocketpress"
    )


def _delegate(program: Record, data: bytes, base: int) -> bytes:
    delegates = [d for plan in program["execution_plan"] for d in plan["delegates"]]
    if len(delegates) != 1 or delegates[0]["id"] != BACKEND or delegates[0]["processed"] is None:
        raise ArtifactError(
            "ExecuTorch program is not one XNNPACK delegate", got=[d["id"] for d in delegates]
        )
    index, segments = int(delegates[0]["processed"]["index"]), program["segments"]
    if index >= len(segments):
        raise ArtifactError("delegate data is missing", got=index, allowed=len(segments))
    start, size = base + int(segments[index]["offset"]), int(segments[index]["size"])
    if start + size > len(data):
        raise ArtifactError("delegate data lies outside the file", got=start + size, allowed=len(data))
    return data[start : start + size]
