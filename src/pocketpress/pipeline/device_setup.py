"""What devices there are and what they need first; setting one up and removing it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.devices import all_devices
from pocketpress.core.errors import UserError
from pocketpress.devices.arm64 import setup as arm64

TYPED = {
    "adb": ("adb:SERIAL", "an Android phone with debugging switched on"),
    "arm64": ("arm64, arm64:cortex-a53, arm64:4GB", "Arm64 Linux, emulated: parity, no latency"),
    "host": ("host", "this machine"),
    "ssh": ("ssh:USER@HOST", "a board or another Linux machine with Python"),
}
WITH_SET_UP = ("arm64",)


@dataclass(frozen=True)
class Kind:
    """A kind of device.

    Attributes:
        name: of the entry point.
        typed: what follows ``--device``.
        what: in words.
        state: "ready", "not set up", "set up", or "not here" and why.
        folder: where it was or will be set up; None where nothing is.
        disk_bytes: that it takes there.
    """

    name: str
    typed: str
    what: str
    state: str
    folder: Path | None = None
    disk_bytes: int = 0


def kinds() -> tuple[Kind, ...]:
    """Every kind of device that is installed; none of them is reached for."""
    found = []
    for name in sorted(all_devices()):
        typed, what = TYPED.get(name, (name, "from a plug-in"))
        if name not in WITH_SET_UP:
            found.append(Kind(name, typed, what, "ready"))
            continue
        place = arm64.default_place()
        refusal, missing = arm64.refusal(), place.missing()
        state = "set up" if not missing else "not set up"
        if len(missing) > 0 and arm64.disk_bytes(place):
            state = f"lacks {', '.join(missing)}"
        if refusal is not None:
            state = f"not here: {refusal}"
        found.append(Kind(name, typed, what, state, place.folder, arm64.disk_bytes(place)))
    return tuple(found)


def set_up(name: str, say: Callable[[str], None]) -> tuple[float, Kind]:
    """Set a device up; what is there already is kept.

    Args:
        name: its kind.
        say: is given a line before each step.

    Returns:
        Seconds that it took, and what it is now.

    Raises:
        UserError: it needs no set-up, or this machine cannot have it.
        DeviceError: the network, the disk or pip.
        TrustError: a download is not the pinned file.
    """
    _check(name)
    seconds = arm64.set_up(arm64.default_place(), say)
    return seconds, next(kind for kind in kinds() if kind.name == name)


def remove(name: str) -> int:
    """Delete what a set-up brought; returns the bytes that were freed.  Raises as `set_up`."""
    _check(name)
    return arm64.remove(arm64.default_place())


def _check(name: str) -> None:
    if name not in all_devices():
        raise UserError("unknown device", got=name, allowed=sorted(all_devices()))
    if name not in WITH_SET_UP:
        raise UserError(f"the device {name} needs no set-up", got=name, allowed=list(WITH_SET_UP))
