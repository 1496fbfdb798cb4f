"""A real SSH server on the loopback interface, with keys and folders of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.devices.elsewhere import Elsewhere

SERVER = shutil.which(
    "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
)
CLIENT = shutil.which("ssh")
MISSING = "no OpenSSH server here (apt-get install openssh-server)"

BLOCKING = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
"""


@dataclass
class Server(Elsewhere):
    """A running server.

    Attributes:
        folder: for everything of it; sessions have ``folder/tmp`` as TMPDIR, ``folder/home`` as HOME and
            ``folder/bin`` first in PATH.
        port: it listens on.
        process: of the server.
        environment: for `SshDevice`, so that the client reads the configuration made here.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def rest(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def mark(self) -> str:
        """Of workers, and of the shells and clients around them."""
        return f"TMPDIR={self.folder / 'tmp'}"

    def deserted(self, seconds: float = 15.0) -> bool:
        """Whether no connection is left, or soon will be."""
        until = time.monotonic() + seconds
        while self.connections() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.connections()

    def connections(self) -> list[int]:
        """Server processes of connections: the children of the one that listens, and theirs."""
        return _descendants(self.process.pid)

    def has_python(self, interpreter: str, *, without: tuple[str, ...] = ()) -> None:
        """Let sessions find an interpreter, and let that not find some packages."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(BLOCKING.format(names=set(without)))
        path = self.folder / "bin" / "python3"
        path.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {interpreter} "$@"\n')
        path.chmod(0o755)

    def cut(self) -> None:
        """Lose every connection, as if the cable were pulled: nobody says goodbye."""
        for pid in self.connections():
            if "sshd" in _command(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@contextlib.contextmanager
def serving(folder: Path, *lines: str) -> Iterator[Server]:
    """Start a server with further lines of configuration; everything of it is gone afterwards."""
    assert SERVER is not None
    port = free_port()
    for name in ("tmp", "bin", "home"):
        (folder / name).mkdir()
    host, mine = key(folder / "host_key"), key(folder / "my_key")
    shutil.copy(f"{mine}.pub", folder / "authorized")
    public = Path(f"{host}.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (folder / "sshd_config").write_text(
        "\n".join(
            [
                f"Port {port}",
                "ListenAddress 127.0.0.1",
                f"HostKey {host}",
                f"PidFile {folder / 'pid'}",
                f"AuthorizedKeysFile {folder / 'authorized'}",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "StrictModes no",
                "PermitRootLogin yes",
                f"SetEnv TMPDIR={folder / 'tmp'} HOME={folder / 'home'} PATH={folder / 'bin'}:/usr/bin:/bin",
                *lines,
            ]
        )
    )
    (folder / "config").write_text(
        f"Host *\n  IdentityFile {mine}\n  IdentitiesOnly yes\n  UserKnownHostsFile {folder / 'known'}\n"
        "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
    )
    with contextlib.suppress(OSError):  # a server of the system's own wants it
        Path("/run/sshd").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [SERVER, "-D", "-e", "-f", str(folder / "sshd_config")],
        stdin=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
    )
    server = Server(folder, port, process, {"POCKETPRESS_SSH": f"ssh -F {folder / 'config'}"})
    try:
        _wait_for(port, process, folder / "log")
        yield server
    finally:
        server.cut()
        process.kill()
        process.wait()
        server.end_all()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
