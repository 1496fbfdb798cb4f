"""The device ``ssh:[user@]host[:port]``: any machine with an SSH server and Python.

The system's own OpenSSH client does the talking, with the user's configuration, keys and known hosts; it
never asks for anything.  One connection is held (a control master), and every worker is a session on it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import DeviceError, PocketpressError, UserError
from pocketpress.devices.boot import LOST, boot_command, boot_error, exit_status, send_runner
from pocketpress.devices.link import ProcessLink
from pocketpress.devices.python_device import PythonDevice
from pocketpress.devices.runner import install_command

COMMAND = "POCKETPRESS_SSH"
"""Environment variable: the client and further options of it, as ``ssh -F config``."""
CONNECT_S = 10
ALIVE_S = 5
ALIVE_COUNT = 3
CLOSING_S = 10.0
KILLING_S = 5.0
MAX_SOCKET_PATH = 103
"""Bytes, on macOS; Linux has a few more."""
SOCKET_SUFFIX = 16
"""Random characters that the client adds while it makes the socket."""
PLAIN = re.compile(r"[A-Za-z0-9/._+-]+", re.ASCII)
"""The client splits its settings at spaces, and puts other things for what follows a percent sign."""
TOKEN = b"pocketpress-ready\n"

_DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*)@)?"
    r"(?:(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<v6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_HINTS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key is another than before",
        "if that is expected, remove the old one with ssh-keygen -R",
    ),
    ("Host key verification failed", "the host key is not known", "log in once by hand, and check the key"),
    (
        "Permission denied",
        "the login was refused",
        "it must work without a password: ssh-copy-id, or an agent with the key",
    ),
    ("Could not resolve", "there is no machine of this name", "check the name"),
    ("Connection refused", "nothing listens there", "is the SSH server running, and the port right?"),
    ("timed out", "it does not answer", "is it on, and on this network?"),
)


@dataclass(frozen=True)
class Destination:
    """Where to log in.

    Attributes:
        host: name, address or alias of the user's configuration.
        user: None for what the configuration says.
        port: the same.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @property
    def arguments(self) -> list[str]:
        """Of the client; the host after a double hyphen."""
        user = [] if self.user is None else ["-l", self.user]
        port = [] if self.port is None else ["-p", str(self.port)]
        return [*user, *port, "--", self.host]

    @property
    def place(self) -> str:
        """``user@host:port``, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else f"{self.user}@"
        return f"{user}{host}{'' if self.port is None else f':{self.port}'}"

    @property
    def words(self) -> str:
        """As one types it after ``ssh``."""
        port = "" if self.port is None else f"-p {self.port} "
        return f"{port}{'' if self.user is None else self.user + '@'}{self.host}"


def parse_destination(text: str) -> Destination:
    """``[user@]host[:port]``, an IPv6 address in brackets.

    Raises:
        UserError: it is none; odd characters are refused, because configurations put names into commands.
    """
    match = _DESTINATION.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 1 << 16):
        raise UserError("not a place to log in", got=f"ssh:{text}", allowed="ssh:[user@]host[:port]")
    return Destination(match["host"] or match["v6"], match["user"], port)


def open_ssh(rest: str) -> SshDevice:
    """A machine from what follows ``ssh:``; nothing is reached yet.

    Raises:
        UserError: not a destination.
    """
    return SshDevice(f"ssh:{rest}", parse_destination(rest))


class SshDevice(PythonDevice):
    """A machine at the other end of the system's SSH client."""

    def __init__(
        self, name: str, destination: Destination, environment: Mapping[str, str] = os.environ
    ) -> None:
        """Remember where it is; ``environment`` may name another client and the device's interpreter."""
        super().__init__(name, "ssh", self._start, install=self._install_there)
        self._destination, self._environment = destination, environment
        self._master: Master | None = None

    def close(self) -> None:
        """End the connection."""
        super().close()
        self._log_out()

    def _start(self) -> SshLink:
        command = boot_command(self._environment)
        if self._master is None or not self._master.is_alive:
            self._log_out()
            self._master = Master(self._client(), self._destination)
        return SshLink(self._client(), self._master.control, self._destination, command)

    def _log_out(self) -> None:
        if self._master is not None:
            self._master.close()
            self._master = None

    def _client(self) -> list[str]:
        given = self._environment.get(COMMAND, "")
        try:
            return shlex.split(given) or ["ssh"]
        except ValueError as error:
            raise UserError(f"{COMMAND} is no command", got=given, allowed="as ssh -F config") from error

    def _install_there(self, *packages: str) -> str:
        return f"run: ssh {self._destination.words} {shlex.quote(install_command(*packages))}"


def _options(client: Sequence[str], control: Path | None, *, master: bool) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT_S,
        "ServerAliveInterval": ALIVE_S,
        "ServerAliveCountMax": ALIVE_COUNT,
        "LogLevel": "ERROR",
        "RequestTTY": "no",
        "RemoteCommand": "none",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ControlPersist": "no",
    }
    if control is not None:
        settings |= {"ControlMaster": "yes" if master else "no", "ControlPath": control}
    return [*client, *(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))]


class Master:
    """The one connection, as long as it lasts; sessions find it through its socket."""

    def __init__(self, client: Sequence[str], destination: Destination) -> None:
        """Log in.

        Raises:
            DeviceError: the machine cannot be reached, or does not let us in.
        """
        self._folder = _short_folder()
        self.control = None if self._folder is None else Path(self._folder, "c")
        command = [*_options(client, self.control, master=True), *destination.arguments, "exec cat"]
        try:
            self._link = ProcessLink(
                command, shares_files=False, closing_s=CLOSING_S, doing="execute the SSH client"
            )
        except BaseException:
            _remove(self._folder)
            raise
        self._end = weakref.finalize(self, _close, self._link, self._folder)
        try:
            self._greet(destination)
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether the connection stands."""
        return self._link.ended() is None

    def close(self) -> None:
        """Log out; safe to call twice."""
        self._end()

    def _greet(self, destination: Destination) -> None:
        timer = threading.Timer(CONNECT_S * 3, self._link.kill)
        timer.daemon = True
        timer.start()
        seen = b""
        try:
            with contextlib.suppress(OSError, ValueError):
                self._link.requests.write(TOKEN)
                self._link.requests.flush()
            while TOKEN not in seen:
                part = os.read(self._link.answers.fileno(), 4096)
                if not part:
                    raise unreachable(destination, self._link.text())
                seen = seen[-len(TOKEN) :] + part
        finally:
            timer.cancel()


def _short_folder() -> str | None:
    """A folder for the socket, whose path is short and plain; None where connections cannot be shared."""
    if os.name != "posix":
        return None
    longest = MAX_SOCKET_PATH - len("/pp-xxxxxxxx/c.") - SOCKET_SUFFIX
    places = (
        p for p in (tempfile.gettempdir(), "/tmp") if len(os.fsencode(p)) <= longest and PLAIN.fullmatch(p)
    )
    place = next(places, None)
    return None if place is None else tempfile.mkdtemp(prefix="pp-", dir=place)


def _close(link: ProcessLink, folder: str | None) -> None:
    link.close()
    _remove(folder)


def _remove(folder: str | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def unreachable(destination: Destination, said: str) -> DeviceError:
    """What the client complained of, in one line with the next step."""
    what, hint = "", None
    for sign, meaning, step in _HINTS:
        if sign in said:
            what, hint = f": {meaning}", step
            break
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    return DeviceError(
        f"cannot log in at {destination.place}{what}",
        got=lines[-1][:200] if lines else "no answer",
        next_step=f"{hint} (ssh {destination.words})" if hint else f"try ssh {destination.words}",
    )


class SshLink(ProcessLink):
    """A worker in a session of its own."""

    def __init__(
        self, client: Sequence[str], control: Path | None, destination: Destination, command: str
    ) -> None:
        """Start a session that starts a worker."""
        self._client = [*_options(client, control, master=False), *destination.arguments]
        self._destination, self._pid = destination, 0
        super().__init__(
            [*self._client, command],
            shares_files=False,
            closing_s=CLOSING_S,
            doing="execute the SSH client",
        )
        send_runner(self.requests)

    def met(self, greeting: Mapping[str, object]) -> None:
        """Remember the worker's process, to end it when it hangs."""
        pid = greeting.get("pid")
        self._pid = pid if isinstance(pid, int) and pid > 1 else 0

    def ended(self, wait_s: float = 0.0) -> int | None:
        """The worker's exit status, negative for a signal."""
        return exit_status(super().ended(wait_s))

    def broken(self) -> PocketpressError | None:
        """The connection was lost, or there was nothing to start a worker with."""
        status = super().ended()
        if status == LOST:
            return DeviceError(
                f"the connection to {self._destination.place} is lost", got=self.last_line() or "no answer"
            )
        return boot_error(status, self._destination.place)

    def kill(self) -> None:
        """End the worker there, then the session; what was brought is removed by the shell that waits."""
        if self._pid and self.ended() is None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    [*self._client, f"kill -9 {self._pid}"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=KILLING_S,
                    check=False,
                    start_new_session=True,
                )
            self._pid = 0
            self.ended(KILLING_S)
        super().kill()
