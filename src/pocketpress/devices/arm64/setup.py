"""Set the device up once: fetch, unpack, try; what an interrupted set-up has finished is not done again.

Every piece is a folder that gets its name only when it is complete, so nothing half-written is taken for
done.  No administrator's rights are needed and nothing outside the folder is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import DeviceError, UserError
from pocketpress.core.files import locked
from pocketpress.core.words import size
from pocketpress.devices.arm64 import pieces
from pocketpress.devices.arm64.deb import unpack
from pocketpress.devices.arm64.download import AGAIN, fetch
from pocketpress.devices.arm64.pieces import PYTHON, QEMU, SYSTEM, Wheel, wheels

Say = Callable[[str], None]
ROOM_BYTES = 700_000_000
"""For downloads and what they become, together."""
PIP_LIMIT_S = 1800.0
PROBE_LIMIT_S = 600.0
NEW = ".new-"
STARTS = {
    "ai-edge-litert": "import ai_edge_litert.interpreter",
    "executorch": "import ctypes, executorch; "
    "ctypes.CDLL(list(executorch.__path__)[0] + '/lib/libexecutorch_backend_xnnpack.so')",
    "numpy": "import numpy",
    "onnxruntime": "import onnxruntime",
}
"""What a runner does first with each; doing it once leaves its modules compiled."""


@dataclass(frozen=True)
class Place:
    """The folder of the device and what is in it.

    Attributes:
        folder: of everything.
    """

    folder: Path

    @property
    def emulator(self) -> Path:
        """The program that emulates."""
        return self.folder / f"qemu-{_short(QEMU.sha256)}" / pieces.EMULATOR

    @property
    def root(self) -> Path:
        """The Arm64 system."""
        return self.folder / f"system-{_short(*(deb.sha256 for deb in SYSTEM))}"

    def packages(self, wheel: Wheel) -> Path:
        """A Python package."""
        return self.folder / "python" / wheel.folder

    @property
    def started(self) -> Path:
        """A file that is there once all of this has worked together."""
        packages = (wheel.folder for wheel in wheels())
        return self.folder / f"works-{_short(QEMU.sha256, self.root.name, *packages)}"

    def command(self, cpu: str = "max") -> list[str]:
        """The emulated Python, without its site packages."""
        return [
            str(self.emulator),
            *("-cpu", cpu),
            *("-L", str(self.root)),
            str(self.root / PYTHON),
            "-S",
        ]

    def environment(self) -> dict[str, str]:
        """Of the emulated Python: the packages, and nothing of this machine's own."""
        path = os.pathsep.join(str(self.packages(wheel)) for wheel in wheels())
        return {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}

    def missing(self) -> tuple[str, ...]:
        """What a set-up has yet to bring, for people."""
        lacking = self._pieces_missing()
        return tuple(lacking or ([] if self.started.is_file() else ["a first start"]))

    @property
    def complete(self) -> bool:
        """Whether all pieces are there, whether or not they have worked together yet."""
        return not self._pieces_missing()

    def _pieces_missing(self) -> list[str]:
        lacking = [] if self.emulator.is_file() else ["qemu"]
        lacking += [] if (self.root / PYTHON).exists() else ["the Arm64 system"]
        return lacking + [w.folder for w in wheels() if not self.packages(w).is_dir()]


def default_place() -> Place:
    """In ``$POCKETPRESS_CACHE``, or in the user's cache folder."""
    given = os.environ.get("POCKETPRESS_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pocketpress"
    return Place((Path(given) if given else base).absolute() / "devices" / "arm64")


def refusal() -> str | None:
    """Why this machine cannot emulate, or None."""
    machine = os.uname().machine if hasattr(os, "uname") else ""
    if sys.platform == "linux" and machine in ("x86_64", "amd64"):
        return None
    if machine in ("aarch64", "arm64"):
        return "this machine is an Arm64 machine itself; use --device host"
    return "the emulator runs on Linux with an x86-64 processor only"


def check_machine() -> None:
    """Raise UserError where this machine cannot emulate."""
    reason = refusal()
    if reason is not None:
        raise UserError("no device arm64 here", got=f"{sys.platform}", next_step=reason)


def set_up(place: Place, say: Say) -> float:
    """Bring what is missing.

    Args:
        place: where.
        say: is given a line before each step.

    Returns:
        Seconds that it took.

    Raises:
        UserError: this machine cannot emulate, or another set-up is under way.
        DeviceError: no network, no room, no pip; what is there is kept for the next time.
        TrustError: a download was another file than the pinned one.
    """
    check_machine()
    start = time.monotonic()
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        with _alone(place.folder):
            for stale in place.folder.rglob(f"{NEW}*"):
                shutil.rmtree(stale, ignore_errors=True)
            if place.missing():
                if not place.complete:
                    _check_room(place.folder)
                    say(_outlook(place))
                    _bring(place, say)
                _probe(place, say)
    except OSError as error:
        raise DeviceError(f"cannot set up {place.folder}", got=error.strerror or error) from error
    return time.monotonic() - start


def remove(place: Place) -> int:
    """Delete everything; returns the bytes that were freed."""
    freed = disk_bytes(place)
    if place.folder.exists():
        with _alone(place.folder):
            try:
                shutil.rmtree(place.folder)
            except OSError as error:
                raise DeviceError(f"cannot remove {place.folder}", got=error.strerror) from error
    return freed


def disk_bytes(place: Place) -> int:
    """What it takes on disk; a set-up may be changing that meanwhile."""
    total = 0
    for path in place.folder.rglob("*"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            total += found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
    return total


def _bring(place: Place, say: Say) -> None:
    downloads = place.folder / "downloads"
    downloads.mkdir(exist_ok=True)
    if not place.emulator.is_file():
        say(f"qemu {pieces.QEMU_VERSION}: {size(QEMU.size_bytes)}")
        fetch(QEMU.remote, downloads / QEMU.name)
        with _becoming(place.folder / place.emulator.relative_to(place.folder).parts[0]) as new:
            unpack(downloads / QEMU.name, new, frozenset({pieces.EMULATOR}))
    if not (place.root / PYTHON).exists():
        say(f"Arm64 Python {pieces.PYTHON_VERSION}: {size(sum(deb.size_bytes for deb in SYSTEM))}")
        with _becoming(place.root) as new:
            for deb in SYSTEM:
                fetch(deb.remote, downloads / deb.name)
                unpack(downloads / deb.name, new)
    for wheel in wheels():
        if not place.packages(wheel).is_dir():
            say(f"{wheel.name} {wheel.version}: about {size(pieces.WHEEL_BYTES.get(wheel.name, 0))}")
            _install(wheel, place.packages(wheel))
    shutil.rmtree(downloads, ignore_errors=True)


def _install(wheel: Wheel, to: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        raise DeviceError(
            "pip is missing in this Python", got=sys.executable, next_step="run: python -m ensurepip"
        )
    to.parent.mkdir(exist_ok=True)
    with _becoming(to) as new:
        command = [sys.executable, "-m", "pip", "install", f"{wheel.name}=={wheel.version}", "--quiet"]
        command += ["--disable-pip-version-check", "--no-input", "--no-deps", "--no-compile"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={pieces.PYTHON_VERSION}"]
        command += [f"--platform={platform}" for platform in pieces.PLATFORMS]
        try:
            done = subprocess.run(
                [*command, f"--target={new}"],
                env={**os.environ, "PIP_USER": "0"},  # a user's setting, which --target does not go with
                capture_output=True,
                text=True,
                timeout=PIP_LIMIT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(f"pip does not end installing {wheel.name}", next_step=AGAIN) from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise DeviceError(
                f"pip cannot install {wheel.name} {wheel.version} for Arm64",
                got=(lines or done.stderr.splitlines() or ["no word"])[-1].removeprefix("ERROR: "),
                next_step=AGAIN,
            )


def _probe(place: Place, say: Say) -> None:
    """Import everything once: it must work, and is then compiled for the next time."""
    say("starting Python and the runtimes once")
    code = "\n".join(STARTS[w.name] for w in wheels() if w.name in STARTS)
    try:
        done = subprocess.run(
            [*place.command(), "-c", code],
            env=place.environment(),
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError("the emulated Python does not answer", got=f"{PROBE_LIMIT_S:g} s") from error
    if done.returncode:
        raise DeviceError(
            "the emulated Python does not work",
            got=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1],
            next_step="run: pocketpress device remove arm64, then set it up again",
        )
    place.started.touch()


@contextlib.contextmanager
def _becoming(folder: Path) -> Iterator[Path]:
    """A new folder that gets its name when the block ends well, and goes when it does not."""
    new = Path(tempfile.mkdtemp(prefix=NEW, dir=folder.parent))
    try:
        yield new
        new.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        new.replace(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with locked(folder, wait=False) as alone:
        if not alone:
            raise UserError(
                "another process sets this device up", got=folder, next_step="wait until it is done"
            )
        yield


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES:
        raise DeviceError(
            "not enough room on the disk",
            got=f"{size(free)} free in {folder}",
            allowed=f"{size(ROOM_BYTES)} and more",
            next_step="make room, or name another folder in POCKETPRESS_CACHE",
        )


def _outlook(place: Place) -> str:
    """What is about to be fetched, in words."""
    lacking = set(place.missing())
    total = sum(pieces.WHEEL_BYTES.get(w.name, 0) for w in wheels() if w.folder in lacking)
    total += QEMU.size_bytes if "qemu" in lacking else 0
    total += sum(deb.size_bytes for deb in SYSTEM) if "the Arm64 system" in lacking else 0
    return f"fetching about {size(total)} into {place.folder}"


def _short(*hashes: str) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12]
