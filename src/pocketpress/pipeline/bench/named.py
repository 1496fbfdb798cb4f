"""Which devices ``--device`` names, before any work: those that can be reached, and phones that measured."""

from __future__ import annotations

from dataclasses import dataclass

from pocketpress.core.device import Device
from pocketpress.core.devices import all_devices, open_device
from pocketpress.core.errors import UserError
from pocketpress.devices.store import Store, slug

MOST_LISTED = 20
BENCH = "pocketpress bench ARTIFACT --phone"


@dataclass(frozen=True)
class Named:
    """What the texts behind ``--device`` name.

    Attributes:
        devices: opened and not reached yet.
        phones: names under which phones' measurements are kept.
    """

    devices: tuple[Device, ...] = ()
    phones: tuple[str, ...] = ()


def named_devices(texts: str, store: Store) -> Named:
    """Look up comma-separated names, in order, without repeats; nothing is reached.

    Args:
        texts: as they follow ``--device``.
        store: of what phones measured.

    Raises:
        UserError: a name is neither a device nor a phone of the store, or what follows it does not fit.
        ArtifactError: what is kept of a phone is damaged.
    """
    devices, phones = list[Device](), list[str]()
    for text in dict.fromkeys(filter(None, (part.strip() for part in texts.split(",")))):
        if text.partition(":")[0] in all_devices():
            devices.append(open_device(text))
        elif store.read(text) is not None:
            phones.append(slug(text))
        else:
            raise UserError(
                "unknown device",
                got=text,
                allowed=known_names(store),
                next_step=f"a phone is known once it measured something: {BENCH}",
            )
    return Named(tuple(devices), tuple(dict.fromkeys(phones)))


def reachable_devices(texts: str, store: Store) -> tuple[Device, ...]:
    """The same where only a device that can be reached is of use.

    Raises:
        UserError: as `named_devices`, a phone is named, or there is no name.
    """
    named = named_devices(texts, store)
    if named.phones:
        raise UserError(
            "a phone cannot be reached from here",
            got=", ".join(named.phones),
            next_step=f"it measures by {BENCH}",
        )
    if not named.devices:
        raise UserError("no device given", allowed=known_names(store))
    return named.devices


def known_names(store: Store) -> list[str]:
    """Kinds of devices, then phones."""
    kinds = all_devices()
    phones = [name for name in store.names() if name.partition(":")[0] not in kinds]
    more = [f"and {len(phones) - MOST_LISTED} more"] if len(phones) > MOST_LISTED else []
    return [*sorted(kinds), *phones[:MOST_LISTED], *more]
