"""The device ``adb[:SERIAL]``: a phone on a cable, or on the network as adb knows it.

An artifact is executed by its runtime's own benchmark program, where the user has one and names it
(`devices.adb.tools`), else by a worker in a Python on the phone.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pocketpress.core.device import Description
from pocketpress.core.errors import DeviceError, InternalError, PocketpressError, UserError
from pocketpress.core.target import Array, Runner, TargetSpec
from pocketpress.core.targets import target_of
from pocketpress.core.timing import Times, TimingPlan
from pocketpress.devices.adb.programs import ProgramRunner, Programs
from pocketpress.devices.adb.server import Phone, Server, choose, lost
from pocketpress.devices.adb.shell import FEATURE, Session, run
from pocketpress.devices.adb.tools import TOOLS, Tool
from pocketpress.devices.boot import LOST, boot_command, boot_error, exit_status, send_runner
from pocketpress.devices.isolated import Child
from pocketpress.devices.link import printable
from pocketpress.devices.python_device import PATIENCE, PythonDevice

CLOSING_S = 10.0
KILLING_S = 5.0
ASKING_S = 20.0
SERIAL = re.compile(r"[A-Za-z0-9._:-]+(?:\([A-Za-z0-9._-]+\))?", re.ASCII)
PROPERTIES = (
    "ro.product.manufacturer", "ro.product.model", "ro.soc.model", "ro.product.cpu.abi",
    "ro.build.version.release",
)  # fmt: skip


def open_adb(rest: str) -> AdbDevice:
    """A phone from what follows ``adb:``, or the only one; nothing is reached yet.

    Raises:
        UserError: not a serial number.
    """
    serial = rest or os.environ.get("ANDROID_SERIAL") or None
    if serial is not None and not SERIAL.fullmatch(serial):
        got = f"adb:{rest}" if rest else f"ANDROID_SERIAL={serial}"
        raise UserError("not a serial number of a phone", got=got, allowed="adb, or adb:SERIAL")
    return AdbDevice(serial)


class AdbDevice:
    """A phone; see `pocketpress.core.device.Device`."""

    def __init__(self, serial: str | None, environment: Mapping[str, str] = os.environ) -> None:
        """Remember which; ``environment`` may name the server, programs, and the phone's interpreter."""
        self.name = "adb" if serial is None else f"adb:{serial}"
        self._serial, self._environment = serial, environment
        self._server = Server.of(environment)
        self._phone: Phone | None = None
        self._python = PythonDevice(self.name, "adb", self._link)
        self._no_python: str | None = None
        self._tools: dict[str, tuple[Tool, Path]] = {
            target: (tool, Path(environment[tool.variable]))
            for target, tool in TOOLS.items()
            if environment.get(tool.variable)
        }

    def describe(self) -> Description:
        """Ask the phone what it is."""
        phone = self._found()
        words = ", ".join(self._properties(phone)) or phone.model or phone.serial
        runtimes = {target: tool.program for target, (tool, _) in self._tools.items()}
        if self._has_python():
            there = self._python.describe()
            runtimes = {**there.runtimes, **runtimes}
            words += f"; {there.words}"
        return Description(self.name, "adb", words, False, runtimes)

    def refuses(self, spec: TargetSpec) -> str | None:
        """Why the phone cannot execute a target's artifacts, or None."""
        if spec.name in self._tools:
            return None
        reason = self._python.refuses(spec) if self._has_python() else self._no_python
        tool = TOOLS.get(spec.name)
        if reason is None or tool is None:
            return reason
        return f"{reason}; or name a {tool.program} built for Android in ${tool.variable}"

    def connect(self) -> AdbConnection:
        """A connection that starts what an artifact needs when it is opened."""
        self._phone = None  # it has another number once it was plugged in again
        phone = self._found()
        return AdbConnection(
            frozenset(self._tools),
            lambda: Programs(self._server, phone, self._tools, PATIENCE),
            self._python.connect,
        )

    def close(self) -> None:
        """Forget what was found."""
        self._phone, self._no_python = None, None
        self._python.close()

    def _found(self) -> Phone:
        if self._phone is None:
            phone = choose(self._server.phones(), self._serial)
            if FEATURE not in self._server.features(phone):
                raise DeviceError("the phone's Android is too old", got=phone.serial, allowed="7 and newer")
            self._phone = phone
        return self._phone

    def _has_python(self) -> bool:
        """Whether a worker starts there; asked once."""
        if self._no_python is None:
            try:
                self._python.describe()
            except DeviceError as error:
                self._phone = None
                self._found()  # still there, so it is the Python
                self._no_python = str(error)
            else:
                self._no_python = ""
        return self._no_python == ""

    def _properties(self, phone: Phone) -> list[str]:
        command = "; ".join(f"getprop {name}" for name in PROPERTIES)
        lines = [printable(line) for line in run(self._server, phone, command, ASKING_S).out.splitlines()]
        maker, model, chip, abi, release = (*lines, *[""] * len(PROPERTIES))[: len(PROPERTIES)]
        name = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
        return [part for part in (name.strip(), chip, abi, f"Android {release}" if release else "") if part]

    def _link(self) -> AdbLink:
        return AdbLink(self._server, self._found(), boot_command(self._environment))


class AdbConnection:
    """Artifacts on the phone; those timed against each other are executed in the same way."""

    def __init__(
        self, by_program: frozenset[str], programs: Callable[[], Programs], worker: Callable[[], Child]
    ) -> None:
        """Start nothing yet.

        Args:
            by_program: targets that have a program of their own.
            programs: makes the folder for these.
            worker: starts the worker for the others.
        """
        self._by_program, self._make, self._start = by_program, programs, worker
        self._programs: Programs | None = None
        self._child: Child | None = None

    def open(self, path: Path, spec: TargetSpec | None = None, threads: int = 1) -> Runner:
        """Send an artifact; load it in a worker, or have it executed by its runtime's program.

        Raises:
            ArtifactError: the file is missing, or refused by its runtime.
            DeviceError: the phone is gone, hangs, or lacks the runtime.
        """
        spec = spec or target_of(path)
        if spec.name in self._by_program:
            self._programs = self._programs or self._make()
            return self._programs.open(path, spec, threads)
        self._child = self._child or self._start()
        return self._child.open(path, spec, threads)

    def time(self, pairs: Sequence[tuple[Runner, list[Array]]], plan: TimingPlan | None = None) -> Times:
        """Time artifacts against each other, on the phone."""
        programs = self._programs
        if programs is not None and isinstance(pairs[0][0], ProgramRunner):
            return programs.time(pairs, plan)
        if self._child is None:
            raise InternalError("nothing was opened", got=len(pairs))
        return self._child.time(pairs, plan)

    def close(self) -> None:
        """End what was started and remove what was brought; safe to call twice."""
        with contextlib.ExitStack() as stack:  # the second one whatever becomes of the first
            for part in (self._programs, self._child):
                if part is not None:
                    stack.callback(part.close)


class AdbLink:
    """A worker behind a shell session; see `pocketpress.devices.link.Link`."""

    shares_files = False

    def __init__(self, server: Server, phone: Phone, command: str) -> None:
        """Start a session that starts a worker."""
        self._server, self._phone, self._pid = server, phone, 0
        self._session = Session(server, phone, command)
        self.requests, self.answers = self._session.requests, self._session.answers
        send_runner(self.requests)

    def ended(self, wait_s: float = 0.0) -> int | None:
        """The worker's exit status, negative for a signal."""
        return exit_status(self._session.ended(wait_s))

    def last_line(self) -> str:
        """The last line that it wrote to standard error."""
        lines = [printable(line) for line in self._session.errors().splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def broken(self) -> PocketpressError | None:
        """The phone is gone, or there was nothing to start a worker with."""
        status = self._session.ended()
        if status == LOST:
            return lost(self._phone, self.last_line())
        return boot_error(status, f"the phone {self._phone.serial}")

    def met(self, greeting: Mapping[str, object]) -> None:
        """Remember the worker's process, to end it when it hangs."""
        pid = greeting.get("pid")
        self._pid = pid if isinstance(pid, int) and pid > 1 else 0

    def kill(self) -> None:
        """End the worker there, then the session; the shell that waits removes what was brought."""
        if self._pid and self.ended() is None:
            with contextlib.suppress(DeviceError):
                run(self._server, self._phone, f"kill -9 {self._pid}", KILLING_S)
            self._pid = 0
            self.ended(KILLING_S)
        self._session.kill()

    def close(self) -> None:
        """Close its input and wait for its end."""
        self._session.close(CLOSING_S)
