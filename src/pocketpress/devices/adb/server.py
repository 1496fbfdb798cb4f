"""Talk to the adb server, which the ``adb`` command starts and which knows the phones.

A request is its length in four hexadecimal digits and its text; the answer is ``OKAY``, or ``FAIL`` and a
message.  After ``host:transport-id:N`` the connection is one to that phone, and the next request is a service
of the phone's own.  Source: ``docs/dev/services.md`` of Android's adb.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketpress.core.errors import DeviceError, PocketpressError, UserError
from pocketpress.devices.link import printable

PORT = 5037
CONNECT_S = 5.0
ANSWER_S = 20.0
START_S = 30.0
MAX_TEXT = 0xFFFF

_STATES = {
    "unauthorized": (
        "the phone has not allowed this computer to debug it",
        "unlock it and confirm the question on its screen",
    ),
    "offline": ("the phone does not answer", "plug it in again, or type adb reconnect"),
    "no": ("this user may not open the phone's USB device", "see adb devices -l"),
    "authorizing": ("the phone is just being connected", "try again in a moment"),
}


@dataclass(frozen=True)
class Phone:
    """A phone that the server lists.

    Attributes:
        serial: its number, or address and port.
        state: ``device`` when it can be used.
        transport: number of the connection to it, where the server tells.
        model: what it calls itself.
    """

    serial: str
    state: str
    transport: str | None = None
    model: str | None = None


class Refused(Exception):
    """The server, or the phone, answered FAIL."""


class Wire:
    """A connection to the server."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket."""
        self.socket = connection

    def send(self, data: bytes) -> None:
        """All of it."""
        self.socket.sendall(data)

    def exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            ConnectionError: the stream ended before.
        """
        parts, missing = [], count
        while missing:
            part = self.socket.recv(min(missing, 1 << 16))
            if not part:
                raise ConnectionError("the connection was closed")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def text(self) -> str:
        """A length in hexadecimal digits, and so much text."""
        digits = self.exactly(4)
        if not re.fullmatch(rb"[0-9A-Fa-f]{4}", digits):
            raise ConnectionError("the answer is no adb protocol")
        return self.exactly(int(digits, 16)).decode(errors="replace")

    def request(self, service: str) -> None:
        """Ask for a service.

        Raises:
            Refused: with the message of the other side.
            ConnectionError: the connection ended, or the other side does not speak the protocol.
        """
        data = service.encode()
        if len(data) > MAX_TEXT:
            raise Refused(f"a request of {len(data)} bytes")
        self.send(b"%04x%s" % (len(data), data))
        answer = self.exactly(4)
        if answer == b"FAIL":
            raise Refused(self.text())
        if answer != b"OKAY":
            raise ConnectionError("the answer is no adb protocol")

    def close(self) -> None:
        """Close it, from any thread: whoever reads it wakes up."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@dataclass(frozen=True)
class Server:
    """Where the server listens."""

    host: str = "127.0.0.1"
    port: int = PORT

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Server:
        """The server that the ``adb`` command would use.

        Raises:
            UserError: the environment names something else than an address and a port.
        """
        given = environment.get("ADB_SERVER_SOCKET", "")
        host = environment.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
        port = environment.get("ANDROID_ADB_SERVER_PORT", str(PORT))
        if given:
            match = re.fullmatch(r"tcp:(?:(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9_.-]+):)?([0-9]+)", given)
            if match is None:
                raise UserError("ADB_SERVER_SOCKET is no address", got=given, allowed="tcp:HOST:PORT")
            host, port = (match[1] or "127.0.0.1").strip("[]"), match[2]
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
            raise UserError("the port of the adb server is no port", got=port, allowed="1 to 65535")
        return cls(host, int(port))

    def connect(self) -> Wire:
        """A connection; the server is started where there is none and the ``adb`` command is there.

        Raises:
            DeviceError: there is no server.
        """
        try:
            return self._connected()
        except OSError as error:
            reason = error.strerror or str(error)
        started = self._start()
        try:
            return self._connected()
        except OSError:
            raise DeviceError(
                f"no adb server at {self.host}:{self.port}",
                got=reason,
                next_step="type adb start-server" if started else "install Android's platform tools (adb)",
            ) from None

    def _connected(self) -> Wire:
        connection = socket.create_connection((self.host, self.port), timeout=CONNECT_S)
        connection.settimeout(ANSWER_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(connection)

    def _start(self) -> bool:
        """Let the command start the server; whether there is such a command."""
        command = shutil.which("adb")
        if command is None or self.host not in ("127.0.0.1", "localhost", "::1"):
            return command is not None
        try:
            subprocess.run(
                [command, "-P", str(self.port), "start-server"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=START_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return True
        return True

    def phones(self) -> tuple[Phone, ...]:
        """What is connected, in whatever state."""
        wire = self.connect()
        try:
            wire.request("host:devices-l")
            return parse_phones(wire.text())
        except (Refused, OSError) as error:
            raise DeviceError("the adb server does not list phones", got=printable(str(error))) from error
        finally:
            wire.close()

    def service(self, phone: Phone, service: str) -> Wire:
        """A connection to a service of a phone.

        Raises:
            DeviceError: the phone is gone, or refuses.
        """
        wire = self.connect()
        try:
            wire.request(
                f"host:transport-id:{phone.transport}"
                if phone.transport
                else f"host:transport:{phone.serial}"
            )
            wire.request(service)
        except (Refused, OSError) as error:
            wire.close()
            raise lost(phone, error) from error
        return wire

    def features(self, phone: Phone) -> frozenset[str]:
        """What the phone's adb can do."""
        prefix = f"host-transport-id:{phone.transport}" if phone.transport else f"host-serial:{phone.serial}"
        wire = self.connect()
        try:
            wire.request(f"{prefix}:features")
            return frozenset(wire.text().split(","))
        except (Refused, OSError) as error:
            raise lost(phone, error) from error
        finally:
            wire.close()


def lost(phone: Phone, error: Exception | str) -> PocketpressError:
    """What to say when a phone does not do what was asked."""
    return DeviceError(
        f"the connection to the phone {phone.serial} is lost",
        got=printable(str(error)) or "it was closed",
        next_step="is it still plugged in?",
    )


def parse_phones(text: str) -> tuple[Phone, ...]:
    """Lines of ``host:devices-l``: serial, state, and ``key:value`` pairs."""
    found = []
    for line in text.splitlines():
        parts = [printable(part) for part in line.split()]
        if len(parts) < 2 or not parts[0]:
            continue
        facts = dict(part.split(":", 1) for part in parts[2:] if ":" in part)
        transport = facts.get("transport_id", "")
        model = facts.get("model", "").replace("_", " ") or None
        found.append(Phone(parts[0], parts[1], transport if transport.isdigit() else None, model))
    return tuple(found)


def choose(phones: Sequence[Phone], serial: str | None) -> Phone:
    """The phone of a serial number, or the only one.

    Raises:
        UserError: there are several, and no serial number says which.
        DeviceError: there is none, not that one, or it cannot be used as it is.
    """
    names = [f"adb:{phone.serial}" for phone in phones]
    if serial is None:
        if len(phones) > 1:
            raise UserError("several phones are connected", got=len(phones), allowed=names)
        chosen = phones[0] if phones else None
    else:
        chosen = next((phone for phone in phones if phone.serial == serial), None)
    if chosen is None:
        what = "no phone is connected" if serial is None else f"no phone with the serial number {serial}"
        raise DeviceError(
            what,
            allowed=names or None,
            next_step="plug it in, and turn USB debugging on in its developer options",
        )
    if chosen.state != "device":
        what, step = _STATES.get(chosen.state, (f"the phone is in the state {printable(chosen.state)}", ""))
        raise DeviceError(what, got=chosen.serial, next_step=step or None)
    return chosen
