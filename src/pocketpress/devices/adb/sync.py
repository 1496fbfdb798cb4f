"""Files to and from a phone: the sync service.

A message is four letters, a length (four bytes, little-endian) and its content.
Source: ``file_sync_protocol.h`` of Android's adb.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError
from pocketpress.devices.adb.server import Phone, Server, Wire, lost
from pocketpress.devices.link import printable

MESSAGE = struct.Struct("<4sI")
PIECE_BYTES = 1 << 16
REGULAR_FILE = 0o100000


def push(server: Server, phone: Phone, path: Path, there: str, mode: int = 0o644) -> None:
    """Send a file.

    Raises:
        ArtifactError: it cannot be read here.
        DeviceError: the phone is gone, or refuses it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path.name}", got=error.strerror) from error
    push_bytes(server, phone, content, there, mode)


def push_bytes(server: Server, phone: Phone, content: bytes, there: str, mode: int = 0o644) -> None:
    """Send the content of a file; raises as `push`."""
    wire = server.service(phone, "sync:")
    try:
        try:
            _send(wire, b"SEND", f"{there},{mode | REGULAR_FILE}".encode())
            for start in range(0, len(content), PIECE_BYTES):
                _send(wire, b"DATA", content[start : start + PIECE_BYTES])
            wire.send(MESSAGE.pack(b"DONE", int(time.time())))
        except OSError:  # it may have said why before it closed
            wire.socket.settimeout(1.0)
        _check(wire, phone, f"the phone does not take {there}")
        wire.send(MESSAGE.pack(b"QUIT", 0))
    except OSError as error:
        raise lost(phone, error) from error
    finally:
        wire.close()


def pull(server: Server, phone: Phone, there: str, limit_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        DeviceError: there is none, it is larger than ``limit_bytes``, or the phone is gone.
    """
    wire = server.service(phone, "sync:")
    content = bytearray()
    try:
        _send(wire, b"RECV", there.encode())
        while True:
            kind, length = MESSAGE.unpack(wire.exactly(MESSAGE.size))
            if kind == b"DONE":
                return bytes(content)
            if kind != b"DATA":
                raise _refusal(wire, kind, length, f"the phone does not give {there}")
            if length > PIECE_BYTES or len(content) + length > limit_bytes:
                raise DeviceError(f"{there} is larger than it may be", allowed=f"{limit_bytes} bytes")
            content += wire.exactly(length)
    except OSError as error:
        raise lost(phone, error) from error
    finally:
        wire.close()


def _send(wire: Wire, kind: bytes, content: bytes) -> None:
    wire.send(MESSAGE.pack(kind, len(content)) + content)


def _check(wire: Wire, phone: Phone, what: str) -> None:
    kind, length = MESSAGE.unpack(wire.exactly(MESSAGE.size))
    if kind != b"OKAY":
        raise _refusal(wire, kind, length, what)


def _refusal(wire: Wire, kind: bytes, length: int, what: str) -> PocketpressError:
    said = wire.exactly(min(length, PIECE_BYTES)).decode(errors="replace") if kind == b"FAIL" else repr(kind)
    return DeviceError(what, got=printable(said), next_step="is there room, and may its shell write there?")
