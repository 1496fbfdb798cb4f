"""An adb server with phones that are folders of this machine; it speaks the real protocol.

Smart-socket requests, the sync service and the shell protocol, version 2, as Android's adb 1.0.41 does; the
real ``adb`` command works with it (`test_adb_server`).  What a phone executes is executed here, with the
phone's own folder for temporary files and its own programs first in the path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.devices.elsewhere import Elsewhere

SYNC = struct.Struct("<4sI")
SHELL = struct.Struct("<BI")
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
VERSION = 41


@dataclass
class FakePhone(Elsewhere):
    """A phone.

    Attributes:
        serial: its number.
        folder: of its files: ``tmp``, and programs in ``bin``.
        state: as the server lists it.
        transport: number of the connection.
        features: of its adb.
        read_only: it takes no file.
        cut_after: bytes to the computer after which the cable is pulled; None for never.
        environment: of what it executes.
        commands: what it was asked to execute.
    """

    serial: str
    folder: Path
    state: str = "device"
    transport: int = 1
    features: str = "shell_v2,cmd,apex"
    read_only: bool = False
    cut_after: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("tmp", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def mark(self) -> str:
        return f"PHONE={self.folder}"

    def program(self, name: str, text: str) -> Path:
        """Put a script into its path."""
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path


class AdbServer:
    """The server, in threads."""

    def __init__(self, *phones: FakePhone, garbage: bytes = b"") -> None:
        self.phones, self.garbage = list(phones), garbage
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """For `AdbDevice`, so that it talks to this server."""
        return {"ANDROID_ADB_SERVER_PORT": str(self.port)}

    def cut(self) -> None:
        """Pull every cable."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            if self.garbage:
                connection.sendall(self.garbage)
                return
            phone: FakePhone | None = None
            while True:
                service = _exactly(connection, int(_exactly(connection, 4), 16)).decode()
                if phone is not None and not service.startswith("host"):
                    self._local(connection, phone, service)
                    return
                answer = self._host(connection, service)
                if answer is None:
                    return
                phone = answer

    def _host(self, connection: socket.socket, service: str) -> FakePhone | None:
        """Answer a request to the server; the phone when the connection is one to it from now on."""
        kind, _, rest = service.partition(":")
        if kind == "host" and rest == "version":
            _okay(connection, f"{VERSION:04x}")
        elif kind == "host" and rest in ("devices", "devices-l"):
            _okay(connection, "".join(self._listed(p, rest == "devices-l") for p in self.phones))
        elif kind == "host" and rest.startswith(("transport", "tport")):
            return self._transport(connection, rest)
        elif rest.endswith("features"):
            selected = self._selected(kind, rest)
            if isinstance(selected, str):
                _fail(connection, selected)
            else:
                _okay(connection, selected.features)
        else:
            _fail(connection, f"unknown host service '{service}'")
        return None

    def _transport(self, connection: socket.socket, rest: str) -> FakePhone | None:
        which, _, name = rest.partition(":")
        kinds = {"transport-id": "host-transport-id", "transport-any": "host"}
        if which == "tport":
            how, _, name = name.partition(":")
            chosen = self._selected("host-serial" if how == "serial" else "host", f"{name}:")
        else:
            chosen = self._selected(kinds.get(which, "host-serial"), f"{name}:")
        if isinstance(chosen, str):
            _fail(connection, chosen)
            return None
        connection.sendall(b"OKAY")
        if which == "tport":
            connection.sendall(struct.pack("<Q", chosen.transport))
        return chosen

    def _selected(self, kind: str, rest: str) -> FakePhone | str:
        """The phone that a request speaks of, or why there is none, in the words of the real server."""
        if kind == "host":
            found = self.phones
            if not found:
                return "no devices/emulators found"
            if len(found) > 1:
                return "more than one device/emulator"
        else:
            name = rest.rpartition(":")[0]
            key = "transport" if kind == "host-transport-id" else "serial"
            found = [p for p in self.phones if str(getattr(p, key)) == name]
            if not found:
                return f"device '{name}' not found"
        if found[0].state == "unauthorized":
            return "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set"
        return found[0] if found[0].state == "device" else f"device {found[0].state}"

    @staticmethod
    def _listed(phone: FakePhone, long: bool) -> str:
        if not long:
            return f"{phone.serial}\t{phone.state}\n"
        facts = f"product:panther model:Pixel_7 device:panther transport_id:{phone.transport}"
        return f"{phone.serial:<22} {phone.state} usb:1-1 {facts}\n"

    def _local(self, connection: socket.socket, phone: FakePhone, service: str) -> None:
        if service == "sync:":
            connection.sendall(b"OKAY")
            _Sync(connection, phone).serve()
        elif service.startswith(("shell,v2", "shell:", "exec:")):
            connection.sendall(b"OKAY")
            command = service.partition(":")[2]
            phone.commands.append(command)
            _Shell(connection, phone, command, packets=service.startswith("shell,v2")).serve()
        else:
            _fail(connection, "closed")


class _Sync:
    """Files to and from a phone."""

    def __init__(self, connection: socket.socket, phone: FakePhone) -> None:
        self._connection, self._phone = connection, phone

    def serve(self) -> None:
        while True:
            kind, length = SYNC.unpack(_exactly(self._connection, SYNC.size))
            name = _exactly(self._connection, length).decode() if kind != b"QUIT" else ""
            if kind == b"QUIT":
                return
            if kind == b"STAT":
                self._stat(Path(name))
            elif kind == b"SEND":
                path, _, mode = name.rpartition(",")
                self._take(Path(path), int(mode))
            elif kind == b"RECV":
                self._give(Path(name))
            else:
                self._fail(f"unknown command {kind!r}")

    def _stat(self, path: Path) -> None:
        try:
            found = path.stat()
            numbers = (found.st_mode, found.st_size, int(found.st_mtime))
        except OSError:
            numbers = (0, 0, 0)
        self._connection.sendall(b"STAT" + struct.pack("<III", *numbers))

    def _take(self, path: Path, mode: int) -> None:
        content, refusal = b"", None
        if self._phone.read_only:
            refusal = f"couldn't create file: Read-only file system ({path})"
        while True:
            kind, length = SYNC.unpack(_exactly(self._connection, SYNC.size))
            if kind == b"DONE":
                break
            assert kind == b"DATA" and length <= 1 << 16
            content += _exactly(self._connection, length)
        try:
            if refusal is None:
                path.write_bytes(content)
                path.chmod(mode & 0o777)
        except OSError as error:
            refusal = f"couldn't create file: {error.strerror}"
        if refusal is None:
            self._connection.sendall(SYNC.pack(b"OKAY", 0))
        else:
            self._fail(refusal)

    def _give(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        for start in range(0, len(content), 1 << 16):
            piece = content[start : start + (1 << 16)]
            self._connection.sendall(SYNC.pack(b"DATA", len(piece)) + piece)
        self._connection.sendall(SYNC.pack(b"DONE", 0))

    def _fail(self, text: str) -> None:
        data = text.encode()
        self._connection.sendall(SYNC.pack(b"FAIL", len(data)) + data)


class _Shell:
    """A command on a phone."""

    def __init__(self, connection: socket.socket, phone: FakePhone, command: str, *, packets: bool) -> None:
        self._connection, self._phone, self._packets = connection, phone, packets
        self._lock, self._sent = threading.Lock(), 0
        environment = {
            "PHONE": str(phone.folder),
            "TMPDIR": str(phone.folder / "tmp"),
            "HOME": "/",
            "PATH": f"{phone.folder / 'bin'}:/usr/bin:/bin",
            **phone.environment,
        }
        self._process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd="/", start_new_session=True,
        )  # fmt: skip

    def serve(self) -> None:
        """Until the command ends, or the connection does: then it is hung up on, as adbd does."""
        streams = ((self._process.stdout, STDOUT), (self._process.stderr, STDERR))
        threads = [threading.Thread(target=self._forward, args=pair, daemon=True) for pair in streams]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._feed, daemon=True).start()
        for thread in threads:
            thread.join()
        status = self._process.wait()
        with contextlib.suppress(OSError):
            self._send(EXIT, bytes([status if status >= 0 else 128 - status]))
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that still reads

    def _forward(self, stream: object, kind: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(stream.fileno(), 4096):  # type: ignore[attr-defined]
                self._send(kind, part)

    def _send(self, kind: int, content: bytes) -> None:
        with self._lock:
            limit = self._phone.cut_after
            if limit is not None and self._sent + len(content) > limit:
                self._connection.shutdown(socket.SHUT_RDWR)
                raise OSError("cut")
            self._sent += len(content)
            if self._packets:
                self._connection.sendall(SHELL.pack(kind, len(content)) + content)
            elif kind in (STDOUT, STDERR):
                self._connection.sendall(content)

    def _feed(self) -> None:
        """What the computer sends, into the command; at the end of the connection hang up."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            while self._packets:
                kind, length = SHELL.unpack(_exactly(self._connection, SHELL.size))
                content = _exactly(self._connection, length)
                if kind == STDIN:
                    stdin.write(content)
                    stdin.flush()
                elif kind == CLOSE_STDIN:
                    stdin.close()
            while self._connection.recv(4096):
                pass
        except (OSError, ValueError):
            pass
        with contextlib.suppress(OSError, ValueError):
            stdin.close()
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGHUP)  # the shell alone: what it started runs on


def _okay(connection: socket.socket, text: str) -> None:
    data = text.encode()
    connection.sendall(b"OKAY%04x%s" % (len(data), data))


def _fail(connection: socket.socket, text: str) -> None:
    data = text.encode()
    connection.sendall(b"FAIL%04x%s" % (len(data), data))


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = connection.recv(count)
        if not part:
            raise ConnectionError("closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def serving(*phones: FakePhone, garbage: bytes = b"") -> Iterator[AdbServer]:
    """A server; at the end nothing of its phones runs any more."""
    server = AdbServer(*phones, garbage=garbage)
    try:
        yield server
    finally:
        server.close()
        for phone in phones:
            phone.end_all()
