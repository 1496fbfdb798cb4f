"""Write and read the .pte container: the network's method, its delegates, and the embedded signature.

Layout: FlatBuffer program with the extended header ``eh00`` behind its first eight bytes, then the segments
(constants read in place, the delegates), then a trailer of our own with the SHA-256 of everything before it.
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
from pocketpress.targets.executorch.kernels import KernelCall
from pocketpress.targets.executorch.method import ALIGNMENT, BACKEND, Loop, Method, Stage, constant_method
from pocketpress.targets.executorch.schema import program_schema

SIGNATURE_METHOD = "pocketpress_signature"
TRAILER_MAGIC = b"PPTRAIL1"
TRAILER_SIZE = len(TRAILER_MAGIC) + 32
MAX_PROGRAM_BYTES = 1 << 26

_HEADER_MAGIC, _HEADER_SIZE = b"eh00", 32
_TENSOR_ALIGNMENT = 16


@dataclass(frozen=True)
class Container:
    """What a .pte file of ours holds.

    Attributes:
        program: the decoded program table.
        signature: the embedded JSON text, untrusted.
        delegates: the XNNPACK blobs, in the order of their calls.
    """

    program: Record
    signature: str
    delegates: tuple[bytes, ...]


def write_container(
    stages: Sequence[Stage],
    types: dict[str, TensorType],
    constants: dict[str, Array],
    inputs: Sequence[str],
    outputs: Sequence[str],
    signature: str,
) -> bytes:
    """Serialise the file.

    Args:
        stages: what the method does, in order.
        types: of every name in ``stages``, ``inputs`` and ``outputs``.
        constants: of the names in ``stages`` that are constants.
        inputs: of the method ``forward``, in order.
        outputs: of the method ``forward``, in order.
        signature: JSON text returned by the method ``pocketpress_signature``.
    """
    read = [name for stage in stages for name in _read(stage)]
    held = [name for name in dict.fromkeys((*read, *outputs)) if name in constants]
    data, offsets = _constant_segment([constants[name] for name in held])
    blobs = [stage.step if isinstance(stage, Loop) else stage for stage in stages]
    segments = [data, *(blob.data for blob in blobs if not isinstance(blob, KernelCall))]
    method = Method(types, held)
    for stage in stages:
        method.add(stage)
    table: Record = {
        "version": 0,
        "execution_plan": [
            method.plan(inputs, outputs),
            constant_method(SIGNATURE_METHOD, signature),
        ],
        "constant_buffer": [],
        "backend_delegate_data": [],
        "segments": _segment_table(segments),
        "constant_segment": {"segment_index": 0, "offsets": offsets},
        "named_data": [],
    }
    return _with_trailer(_assemble(encode(program_schema(), table), segments))


def _read(stage: Stage) -> Sequence[str]:
    """Tensors that a stage reads."""
    if isinstance(stage, KernelCall):
        return [a for a in stage.arguments if isinstance(a, str)]
    if isinstance(stage, Loop):
        return [*(first for first, *_ in stage.layer.states), stage.layer.sequence, *stage.step.inputs]
    return stage.inputs


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
        offset += -offset % ALIGNMENT
        table.append({"offset": offset, "size": len(segment)})
        offset += len(segment)
    return table


def _assemble(flatbuffer: bytes, segments: list[bytes]) -> bytes:
    """Insert the extended header behind root offset and identifier, and append the segments."""
    size = len(flatbuffer) + _HEADER_SIZE
    base = size + -size % ALIGNMENT
    body = bytearray()
    for segment in segments:
        body.extend(bytes(-len(body) % ALIGNMENT))
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
    return Container(program, _signature_text(program), _delegates(program, data, base))


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


def _delegates(program: Record, data: bytes, base: int) -> tuple[bytes, ...]:
    delegates = [d for plan in program["execution_plan"] for d in plan["delegates"]]
    kernels = [operator for plan in program["execution_plan"] for operator in plan["operators"]]
    foreign = any(d["id"] != BACKEND or d["processed"] is None for d in delegates)
    if foreign or not (delegates or kernels):
        raise ArtifactError(
            "ExecuTorch program is not all XNNPACK delegates", got=[d["id"] for d in delegates]
        )
    return tuple(_segment(int(d["processed"]["index"]), program, data, base) for d in delegates)


def _segment(index: int, program: Record, data: bytes, base: int) -> bytes:
    segments = program["segments"]
    if index >= len(segments):
        raise ArtifactError("delegate data is missing", got=index, allowed=len(segments))
    start, size = base + int(segments[index]["offset"]), int(segments[index]["size"])
    if start + size > len(data):
        raise ArtifactError("delegate data lies outside the file", got=start + size, allowed=len(data))
    return data[start : start + size]
