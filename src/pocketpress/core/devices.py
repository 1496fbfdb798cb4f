"""Find devices through entry points, the built-in ones too; a name used twice is an error naming both."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pocketpress.core.device import Device
from pocketpress.core.errors import UserError

GROUP = "pocketpress.devices"
OpenDevice = Callable[[str], Device]


@cache
def all_devices() -> dict[str, EntryPoint]:
    """The entry point of every installed kind of device by name; nothing of them is imported."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise UserError(
                f"two packages define the device {point.name}",
                got=f"{other.value} and {point.value}",
                next_step="uninstall one of them",
            )
        found[point.name] = point
    return found


def open_device(text: str) -> Device:
    """A device from what follows ``--device``: a name, and behind a colon what the name needs.

    Nothing is reached yet: `Device.describe` and `Device.connect` do that.

    Raises:
        UserError: the name is no device, or the rest does not fit it.
    """
    name, _, rest = text.strip().partition(":")
    points = all_devices()
    if name not in points:
        raise UserError("unknown device", got=text, allowed=sorted(points))
    function: OpenDevice = points[name].load()
    return function(rest)
