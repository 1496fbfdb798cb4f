"""Commands on a phone: the shell protocol, version 2, which keeps the streams and the exit status apart.

A packet is its kind (one byte), its length (four bytes, little-endian) and its content.
Source: ``shell_protocol.h`` of Android's adb.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import time
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from pocketpress.core.errors import DeviceError
from pocketpress.devices.adb.server import Phone, Server, Wire, lost
from pocketpress.devices.boot import LOST, exit_status
from pocketpress.devices.deadline import deadline
from pocketpress.devices.link import STDERR_BYTES, printable

PACKET = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
PIECE_BYTES = 1 << 15
MAX_PACKET_BYTES = 1 << 24
MAX_OUTPUT_BYTES = 8 << 20
CLOSING_S = 10.0
FEATURE = "shell_v2"


class Session:
    """A command that runs on a phone.

    Attributes:
        requests: its standard input.
        answers: its standard output.
    """

    def __init__(self, server: Server, phone: Phone, command: str) -> None:
        """Start it.

        Raises:
            DeviceError: the phone is gone, or refuses.
        """
        self._wire = server.service(phone, f"shell,v2,raw:{command}")
        self._wire.socket.settimeout(None)
        self._status: int | None = None
        self._said = b""
        self._over = threading.Event()
        reading, self._writing = os.pipe()
        self.answers: BinaryIO = os.fdopen(reading, "rb")
        self.requests: BinaryIO = cast("BinaryIO", _Stdin(self._wire))
        threading.Thread(target=self._sort, daemon=True).start()

    def ended(self, wait_s: float = 0.0) -> int | None:
        """Exit status, 255 when the connection was lost; None while it runs."""
        self._over.wait(wait_s)
        return self._status if self._over.is_set() else None

    def errors(self) -> str:
        """The last of what it wrote to standard error."""
        return self._said.decode(errors="replace")

    def kill(self) -> None:
        """Close the connection at once, from any thread."""
        self._wire.close()

    def limited(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Close the connection when the block takes longer: blocking reads then return."""
        return deadline(seconds, self.kill)

    def close(self, wait_s: float = CLOSING_S) -> None:
        """Close its input, wait for its end, then close the connection; safe to call twice."""
        with contextlib.suppress(OSError, ValueError):
            self.requests.close()
        self.ended(wait_s)
        self._wire.close()
        self._over.wait(1.0)
        with contextlib.suppress(OSError):
            self.answers.close()

    def _sort(self) -> None:
        """Put every packet where it belongs, until the end."""
        status = LOST
        try:
            while True:
                kind, length = PACKET.unpack(self._wire.exactly(PACKET.size))
                if length > MAX_PACKET_BYTES:
                    break
                content = self._wire.exactly(length)
                if kind == EXIT:
                    status = content[0] if content else 0
                    break
                if kind == STDOUT:
                    _write(self._writing, content)
                elif kind == STDERR:
                    self._said = (self._said + content)[-STDERR_BYTES:]
        except OSError:  # closed on either side, or nobody reads any more
            pass
        self._status = status
        self._over.set()
        os.close(self._writing)


def _write(target: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(target, view) :]


class _Stdin(io.RawIOBase):
    """Standard input of a command, in packets."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any, /) -> int:
        """All of it."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE_BYTES):
            piece = view[start : start + PIECE_BYTES]
            self._wire.send(PACKET.pack(STDIN, len(piece)) + piece)
        return len(view)

    def close(self) -> None:
        """End of input."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._wire.send(PACKET.pack(CLOSE_STDIN, 0))
        super().close()


@dataclass(frozen=True)
class Finished:
    """A command that ended.

    Attributes:
        status: negative for a signal.
        out: standard output.
        err: the last of standard error.
    """

    status: int
    out: str
    err: str

    def last_line(self) -> str:
        """What it said last."""
        lines = [printable(line) for line in (*self.out.splitlines(), *self.err.splitlines())]
        return next((line for line in reversed(lines) if line), "")


def run(server: Server, phone: Phone, command: str, timeout_s: float) -> Finished:
    """Run a command to its end.

    Raises:
        DeviceError: the phone is gone, or the command takes longer or prints more than it may; it may then
            still be running.
    """
    session = Session(server, phone, command)
    began = time.monotonic()
    try:
        with session.limited(timeout_s):
            with contextlib.suppress(OSError):
                session.requests.close()
            out = session.answers.read(MAX_OUTPUT_BYTES)
            more = len(out) == MAX_OUTPUT_BYTES and session.answers.read(1)
            status = None if more else session.ended(1.0)
    finally:
        session.close(0.0)
    if more:
        raise DeviceError("a command on the phone prints too much", allowed=f"{MAX_OUTPUT_BYTES} bytes")
    if status is None or status == LOST:
        if time.monotonic() - began >= timeout_s:
            raise DeviceError("a command on the phone takes too long", got=f"no end in {timeout_s:g} s")
        raise lost(phone, session.errors())
    return Finished(exit_status(status) or 0, out.decode(errors="replace"), session.errors())
