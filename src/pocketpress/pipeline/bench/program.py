"""The quantised program of a press, kept to find the operator where a device computes otherwise."""

from __future__ import annotations

from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.files import write_atomically
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import from_bytes, to_bytes
from pocketpress.core.signature import Signature

MAX_FILE_BYTES = 1 << 30


def write_program(program: Program, path: Path) -> None:
    """Write it atomically; one over the limit, which nobody could read, is left out.

    Raises:
        DeviceError: the disk refuses.
    """
    content = to_bytes(program)
    if len(content) <= MAX_FILE_BYTES:
        write_atomically(path, content)


def read_program(path: Path, signature: Signature) -> Program:
    """Read and check what `write_program` wrote, against the signature of the network.

    Raises:
        ArtifactError: it is damaged, too large, or of another network.
    """
    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise ArtifactError(
                f"{path.name} is too large", got=f"{size_bytes} bytes", allowed=MAX_FILE_BYTES
            )
        program = from_bytes(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"cannot read {path}", got=error.strerror) from error
    got = [(name, program.type(name).shape) for name in (*program.inputs, *program.outputs)]
    wanted = [(spec.name, spec.shape) for spec in (*signature.inputs, *signature.outputs)]
    if got != wanted:
        raise ArtifactError(
            f"{path.name} is of another network",
            got=str(got)[:200],
            allowed=str(wanted)[:200],
            next_step="press the network again",
        )
    return program
