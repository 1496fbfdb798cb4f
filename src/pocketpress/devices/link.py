"""The way to a worker process: two byte streams, its end, and what it said last.

A worker answers frames on its standard streams (`devices.worker`).  Where it runs is the link's business: a
child of this process, a program that emulates another processor, a board at the other end of ``ssh``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO, Protocol, cast

from pocketpress.core.errors import DeviceError, PocketpressError

STDERR_BYTES = 8192
TEXT_CHARACTERS = 200
CLOSING_S = 1.0
"""For a process to end by itself once its input is closed."""
LOCAL_CLOSING_S = 10.0
"""The same of a process here: one with a browser closes that, and removes its profile."""


class Link(Protocol):
    """A worker process, wherever it is.

    Attributes:
        shares_files: it reads files under the paths of this machine; others are sent to it.
        requests: what it reads.
        answers: what it writes.
    """

    shares_files: bool

    @property
    def requests(self) -> BinaryIO:
        """What the worker reads."""

    @property
    def answers(self) -> BinaryIO:
        """What the worker writes."""

    def ended(self, wait_s: float = 0.0) -> int | None:
        """Its exit status, negative for a signal, waiting so long for it; None while it runs."""

    def last_line(self) -> str:
        """The last line that it wrote to standard error, printable characters only."""

    def broken(self) -> PocketpressError | None:
        """The error of the way itself, once it has ended: nothing was found there, or it was lost."""

    def met(self, greeting: Mapping[str, object]) -> None:
        """Take note of what the worker said of itself when it started."""

    def kill(self) -> None:
        """End it at once, from any thread."""

    def close(self) -> None:
        """Close its input, wait a little for its end, then end it; safe to call twice."""


class ProcessLink:
    """A worker that is a child of this process, or at the other end of one."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        shares_files: bool = True,
        closing_s: float = CLOSING_S,
        doing: str = "start a process to load the artifact in",
    ) -> None:
        """Start it.

        Args:
            command: what to execute; no shell reads it.
            environment: of the process; this process's by default.
            shares_files: it reads files under the paths of this machine.
            closing_s: how long it may take to end by itself once its input is closed.
            doing: what the command is for, in messages.

        Raises:
            DeviceError: the command cannot be executed.
        """
        self.shares_files, self._closing_s = shares_files, closing_s
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(f"cannot {doing}", got=f"{command[0]}: {error.strerror}") from error
        self._said = Tail(cast("IO[bytes]", self._process.stderr))

    @property
    def pid(self) -> int:
        """Of the process on this machine."""
        return self._process.pid

    @property
    def requests(self) -> BinaryIO:
        """What the worker reads."""
        return cast("BinaryIO", self._process.stdin)

    @property
    def answers(self) -> BinaryIO:
        """What the worker writes."""
        return cast("BinaryIO", self._process.stdout)

    def ended(self, wait_s: float = 0.0) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        if wait_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=wait_s)
        return self._process.poll()

    def last_line(self) -> str:
        """The last line that it wrote to standard error."""
        return self._said.last_line()

    def text(self) -> str:
        """What it wrote to standard error last."""
        return self._said.text()

    def broken(self) -> PocketpressError | None:
        """None: a child's pipes do not break by themselves."""
        return None

    def met(self, greeting: Mapping[str, object]) -> None:
        """Nothing to note."""

    def kill(self) -> None:
        """End the process and those that it started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def close(self) -> None:
        """Close its input, wait, then end it."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast("IO[bytes]", stream).close()
        try:
            self._process.wait(timeout=self._closing_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._said.close()


def local_link(memory_limit_bytes: int | None = None) -> ProcessLink:
    """A worker with this interpreter, on this machine.

    Args:
        memory_limit_bytes: allocations of the child beyond this fail (Linux only).
    """
    command = [sys.executable, "-m", "pocketpress.devices.worker"]
    if memory_limit_bytes is not None:
        command.append(f"--memory-limit={memory_limit_bytes}")
    return ProcessLink(command, environment=_environment(), closing_s=LOCAL_CLOSING_S)


def _environment() -> dict[str, str]:
    """The parent's import path, so that the child finds the same plug-ins, and nothing from its folder."""
    path = os.pathsep.join(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if entry))
    quiet = {"ORT_DISABLE_TELEMETRY": "1"}  # ONNX Runtime would report its use
    return {**quiet, **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


class Tail:
    """Drains a stream in a thread and keeps its last bytes, so that a chatty runtime cannot block."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._kept = stream, b""
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                self._kept = (self._kept + part)[-STDERR_BYTES:]

    def text(self) -> str:
        """All that was kept."""
        self._thread.join(timeout=1.0)
        return self._kept.decode(errors="replace")

    def last_line(self) -> str:
        """The last line with text in it, printable characters only, shortened."""
        lines = [printable(line) for line in self.text().splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def close(self) -> None:
        """Stop, once the process has ended."""
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._stream.close()


def printable(text: str) -> str:
    """One short line without control characters: it may come from a malicious file."""
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.split())[:TEXT_CHARACTERS]


def ending(status: int) -> str:
    """An exit status in words: a signal's name, or the number."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
