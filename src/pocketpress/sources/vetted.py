"""Read an untrusted file in a child process first: a parser that crashes, hangs or eats memory does it there.

What follows in this process reads the same bytes with the same code, and has seen that it ends.  The child is
``python -m pocketpress.sources.vetted KIND PATH``; it answers with one line, the error's type and text.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pocketpress.core import errors
from pocketpress.core.errors import DeviceError, PocketpressError, SourceError, UserError

MEMORY_BYTES = 12 << 30
"""Address space of the child, libraries included, beside `MEMORY_RATIO` times the file."""
MEMORY_RATIO = 6
SECONDS = 120.0
BYTES_A_SECOND = 20 << 20
"""What a file may take besides: slow disks and machines."""
LONGEST_LINE = 1 << 16
REFUSED = 2


def check_readable(kind: str, path: Path, *, seconds: float = SECONDS) -> None:
    """Read a file in a child process.

    Args:
        kind: of `READERS`.
        path: of the file; what is no file is left to its reader.
        seconds: patience, beside what its size takes.

    Raises:
        SourceError: reading it crashes, hangs or eats memory, or it cannot be read.
        UserError: whatever the reader raises.
        DeviceError: no process can be started.
    """
    if not path.is_file():
        return
    size = path.stat().st_size
    command = [sys.executable, "-m", __name__, kind, str(path), str(size)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds + size / BYTES_A_SECOND,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"{path} cannot be read", got="its parser does not end", next_step="the file may be damaged"
        ) from None
    except OSError as error:
        raise DeviceError("cannot start a process to read the file in", got=error.strerror) from error
    if done.returncode:
        raise _problem(path, done.returncode, done.stdout[:LONGEST_LINE])


def unreadable(path: Path, name: str, error: Exception) -> SourceError:
    """What a parser stumbled over, as an error of the file, in one short line."""
    line = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")
    return SourceError(f"{path} is {name} that cannot be read", got=" ".join(line.split())[:200])


def _problem(path: Path, status: int, answer: bytes) -> PocketpressError:
    if status == REFUSED:
        with contextlib.suppress(ValueError, LookupError, TypeError):
            said = json.loads(answer.splitlines()[-1])
            kind = getattr(errors, str(said["error"]), None)
            if isinstance(kind, type) and issubclass(kind, UserError) and kind is not errors.BlockedError:
                return kind(" ".join(str(said["message"]).split()))
    ending = f"exit status {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            ending = signal.Signals(-status).name
    return SourceError(
        f"{path} cannot be read", got=f"its parser ends with {ending}", next_step="the file may be damaged"
    )


def _environment() -> Mapping[str, str]:
    """The parent's import path, and nothing from its folder."""
    path = os.pathsep.join(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if entry))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _onnx(path: Path) -> None:
    from pocketpress.sources.onnx.read import read_model

    read_model(path)


def _keras(path: Path) -> None:
    from pocketpress.sources.keras.read import read_keras

    read_keras(path)


def _exported(path: Path) -> None:
    from pocketpress.sources.pytorch import load_program

    load_program(path, str(path), vet=False)


def _state(path: Path) -> None:
    from pocketpress.sources.safe_load import read_state

    read_state(path)


READERS: dict[str, Callable[[Path], None]] = {
    "onnx": _onnx,
    "keras": _keras,
    "pt2": _exported,
    "state": _state,
}
"""Kinds of files whose parsers are native code, or hand bytes to such."""


def main(kind: str, path: str, size: int) -> int:
    """The child's part: its exit status."""
    _limit_memory(MEMORY_BYTES + MEMORY_RATIO * size)
    answer = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        READERS[kind](Path(path))
    except errors.BlockedError:
        return 0  # readable; who asked reads it too, and names what is not supported
    except UserError as error:
        line = json.dumps({"error": type(error).__name__, "message": str(error)[: LONGEST_LINE // 4]})
    except MemoryError:
        line = json.dumps({"error": "SourceError", "message": f"{path} wants more memory than there is"})
    else:
        return 0
    os.write(answer, line.encode() + b"\n")
    return REFUSED


def _limit_memory(size_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
