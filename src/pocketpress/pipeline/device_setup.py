"""What devices there are and what they need first; setting one up and removing it again.

Phones that measured are among them: `press` judges by what is kept of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.devices import all_devices
from pocketpress.core.errors import PocketpressError, UserError
from pocketpress.devices.arm64 import setup as arm64
from pocketpress.devices.store import Store

TYPED = {
    "adb": ("adb:SERIAL", "an Android phone with debugging switched on"),
    "arm64": ("arm64, arm64:cortex-a53, arm64:4GB", "Arm64 Linux, emulated: parity, no latency"),
    "host": ("host", "this machine"),
    "ssh": ("ssh:USER@HOST", "a board or another Linux machine with Python"),
}
WITH_SET_UP = ("arm64",)


@dataclass(frozen=True)
class Kind:
    """A kind of device, or a phone.

    Attributes:
        name: of the entry point, or what the phone is called.
        typed: what follows ``--device``.
        what: in words.
        state: "ready", "not set up", "set up", or "not here" and why; of a phone what is kept.
        folder: where it was or will be set up, or measurements are kept; None where nothing is.
        disk_bytes: that it takes there.
    """

    name: str
    typed: str
    what: str
    state: str
    folder: Path | None = None
    disk_bytes: int = 0


def phones(store: Store) -> tuple[Kind, ...]:
    """Every phone that something is kept of."""
    known = all_devices()
    names = (name for name in store.names() if name.partition(":")[0] not in known)
    return tuple(_phone(name, store) for name in names)


def _phone(name: str, store: Store) -> Kind:
    what = "a phone, for press only"
    try:
        found = store.read(name)
    except PocketpressError as error:
        return Kind(name, name, what, str(error), store.folder)
    artifacts = () if found is None else found.artifacts
    last = max((e.created or "" for kept in artifacts for e in kept.entries), default="")
    state = f"{len(artifacts)} artifact{'' if len(artifacts) == 1 else 's'} measured"
    if last:
        state += f", last {last[:10]}"
    if found is not None and found.description:
        what += f": {found.description}"
    return Kind(name, name, what, state, store.folder)


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
