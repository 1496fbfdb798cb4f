"""The device ``arm64``: parity on Arm kernels without an Arm machine.

The runtimes execute other code on Arm than on x86, and another again on processors with dot products and
with matrix multiplication: ``arm64:cortex-a53`` and its like choose.  An emulator's times mean nothing and
are not recorded.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from pocketpress.core.device import Description
from pocketpress.core.errors import DeviceError, UserError
from pocketpress.devices.arm64 import pieces
from pocketpress.devices.arm64.setup import NEW, Place, check_machine, default_place
from pocketpress.devices.isolated import Patience
from pocketpress.devices.link import ProcessLink
from pocketpress.devices.python_device import PythonDevice
from pocketpress.devices.runner import runner_bytes

SET_UP = "run: pocketpress device setup arm64"
PATIENCE = Patience(start_s=240.0, load_s=900.0, run_s=900.0)
"""Emulation is ten to fifty times slower than the processor it runs on."""
PROCESSORS = {
    "max": "everything that the emulator knows",
    "cortex-a53": "Armv8.0, NEON only, as in cheap and old phones",
    "cortex-a76": "Armv8.2 with dot products, as in phones from 2019 on",
    "cortex-a710": "Armv9 with matrix multiplication and SVE2, as in phones from 2022 on",
}
UNITS = {"MB": 10**6, "GB": 10**9}
LEAST_MEMORY_BYTES = 10**9

_LIMITED = """\
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""The emulator does not hand its guest's own limits to the system, so it gets one itself."""


class Arm64(PythonDevice):
    """An emulated Arm64 Linux machine; see `pocketpress.core.device.Device`."""

    def __init__(
        self, name: str, place: Place, cpu: str = "max", memory_limit_bytes: int | None = None
    ) -> None:
        """Remember where it is.

        Args:
            name: as typed after ``--device``.
            place: where it was set up.
            cpu: one of `PROCESSORS`.
            memory_limit_bytes: allocations of the emulator beyond this fail.
        """
        super().__init__(name, "arm64", self._start, emulated=True, patience=PATIENCE, install=_install)
        self._place, self._cpu, self._memory_limit_bytes = place, cpu, memory_limit_bytes

    def describe(self) -> Description:
        """What is emulated."""
        words = f"Arm64 Linux, emulated by qemu {pieces.QEMU_VERSION}, processor {self._cpu}"
        return replace(super().describe(), words=f"{words} ({PROCESSORS[self._cpu]})")

    def _start(self) -> ProcessLink:
        check_machine()
        missing = self._place.missing()
        if missing:
            lacking = f"it lacks {', '.join(missing)}" if self._place.folder.is_dir() else None
            raise DeviceError("the device arm64 is not set up", got=lacking, next_step=SET_UP)
        command = [*self._place.command(self._cpu), str(_unpacked_runner(self._place))]
        if self._memory_limit_bytes is not None:
            command = [sys.executable, "-c", _LIMITED, str(self._memory_limit_bytes), *command]
        return ProcessLink(command, environment=self._place.environment(), doing="start the emulator")


def open_arm64(rest: str) -> Arm64:
    """The device, from what follows ``arm64:``: a processor, a limit on memory, both or nothing.

    Raises:
        UserError: neither.
    """
    cpu, memory = "max", None
    for part in (p for p in rest.split(":") if p):
        found = re.fullmatch(r"(\d{1,6})(MB|GB)", part)
        if found:
            memory = int(found[1]) * UNITS[found[2]]
        elif part in PROCESSORS:
            cpu = part
        else:
            raise UserError(
                "the device arm64 takes a processor and a limit on memory",
                got=part,
                allowed=[*PROCESSORS, "4GB"],
            )
    if memory is not None and memory < LEAST_MEMORY_BYTES:
        raise UserError("too little memory for the emulator", got=rest, allowed="1GB and more")
    return Arm64(f"arm64:{rest}" if rest else "arm64", default_place(), cpu, memory)


def _install(*packages: str) -> str:
    return f"install {' '.join(p.replace('_', '-') for p in packages if p != 'numpy')} here, then {SET_UP}"


def _unpacked_runner(place: Place) -> Path:
    """The runner's modules in a folder, where Python keeps them compiled."""
    content = runner_bytes()
    folder = place.folder / f"runner-{hashlib.sha256(content).hexdigest()[:12]}"
    if not folder.is_dir():
        new = Path(tempfile.mkdtemp(prefix=NEW, dir=place.folder))
        try:
            with zipfile.ZipFile(BytesIO(content)) as archive:
                archive.extractall(new)
            new.replace(folder)
        except OSError as error:
            if not folder.is_dir():
                raise DeviceError(f"cannot write to {place.folder}", got=error.strerror) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return folder
