"""What was measured on devices, kept: one JSON file per device in the user's data folder.

A measurement is of one artifact, named by its SHA-256, in one runtime and backend.  A later one of the same
replaces it.  A phone's file also holds the identity that its browser keeps, so that two phones of one name
have a file each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError
from pocketpress.core.files import locked, write_atomically
from pocketpress.core.record import DeviceEntry, Name, Sha256, Text

FORMAT: Literal[1] = 1
MAX_FILE_BYTES = 16 << 20
MOST_ARTIFACTS = 1000
"""Of one device; the oldest go first."""
MOST_BACKENDS = 16
"""Of one artifact on one device; the oldest go first."""
MOST_ENTRIES = 256
"""Of one artifact in a record; the oldest go first."""
SLUG = re.compile(r"[^a-z0-9.@:_-]+")
NOBODY = ""
"""Owner of a name that no phone may have: something else is kept under it."""


class Kept(BaseModel):
    """Measurements of one artifact on one device."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    sha256: Sha256
    artifact: Name = Field(description="file name, for people")
    target: Name
    entries: tuple[DeviceEntry, ...] = Field(
        max_length=MOST_BACKENDS, description="one per runtime and backend"
    )


class DeviceFile(BaseModel):
    """All measurements of one device, the oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: Literal[1] = FORMAT
    name: Name
    kind: Name
    identity: Name | None = Field(
        default=None, description="of a phone, as its browser keeps it; older files have none"
    )
    description: Text | None = None
    artifacts: Annotated[tuple[Kept, ...], Field(max_length=MOST_ARTIFACTS)] = ()


@dataclass(frozen=True)
class Store:
    """The folder of all devices.

    Attributes:
        folder: made when first written to.
    """

    folder: Path

    def names(self) -> tuple[str, ...]:
        """Devices that something is kept of."""
        return tuple(sorted(path.stem.replace("+", ":") for path in self.folder.glob("*.json")))

    def owners(self) -> dict[str, str | None]:
        """Names under which something is kept, and the identity of the phone that has each.

        None where an older file does not tell: the next phone of that name takes it over.  `NOBODY` where
        it is no phone's, or cannot be read.
        """
        return {name: self._owner(name) for name in self.names()}

    def _owner(self, name: str) -> str | None:
        try:
            found = self.read(name)
        except PocketpressError:
            return NOBODY
        return found.identity if found is not None and found.kind == "browser" else NOBODY

    def read(self, name: str) -> DeviceFile | None:
        """What is kept of a device, or None.

        Raises:
            ArtifactError: the file is damaged.
            DeviceError: the disk refuses.
        """
        path = self._path(name)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ArtifactError("kept measurements are too large", got=path, allowed=MAX_FILE_BYTES)
            return DeviceFile.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DeviceError("cannot read kept measurements", got=f"{path}: {error.strerror}") from error
        except ValidationError as error:
            where = ".".join(map(str, error.errors(include_url=False)[0]["loc"]))[:200]
            raise ArtifactError(
                "kept measurements are damaged", got=f"{path} at {where}", next_step="remove that file"
            ) from None

    def find(self, name: str, sha256: str) -> tuple[DeviceEntry, ...]:
        """Measurements of an artifact on a device."""
        found = self.read(name)
        kept = () if found is None else found.artifacts
        return next((k.entries for k in kept if k.sha256 == sha256), ())

    def keep(
        self, artifact: str, target: str, sha256: str, entry: DeviceEntry, identity: str | None = None
    ) -> None:
        """Add a measurement, atomically; it replaces one of the same artifact, runtime and backend.

        Args:
            artifact: file name, for people.
            target: that it was lowered to.
            sha256: of it.
            entry: the measurement.
            identity: of the phone; None for other devices.

        Raises:
            DeviceError: the disk refuses, or the name is another phone's; what was kept before stays.
            ArtifactError: what was kept before is damaged.
        """
        name = slug(entry.name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder):
                before = self.read(name) or DeviceFile(name=name, kind=entry.kind, identity=identity)
                if before.identity not in (None, identity):
                    raise DeviceError(
                        "another phone has this name", got=name, next_step="give this one a name of its own"
                    )
                kept = _added(before, Kept(sha256=sha256, artifact=artifact, target=target, entries=(entry,)))
                after = kept.model_copy(update={"identity": identity, "description": entry.description})
                write_atomically(self._path(name), (after.model_dump_json(indent=1) + "\n").encode())
        except OSError as error:
            raise DeviceError("cannot keep measurements", got=f"{self.folder}: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{slug(name).replace(':', '+')}.json"


def _added(before: DeviceFile, new: Kept) -> DeviceFile:
    """With one more measurement; the oldest of one artifact, and the oldest artifacts, make room."""
    (entry,) = new.entries
    old = next((k for k in before.artifacts if k.sha256 == new.sha256), None)
    others = [e for e in (() if old is None else old.entries) if _which(e) != _which(entry)]
    kept = new.model_copy(update={"entries": (*others[-(MOST_BACKENDS - 1) :], entry)})
    rest = [k for k in before.artifacts if k.sha256 != new.sha256][-(MOST_ARTIFACTS - 1) :]
    return before.model_copy(update={"kind": entry.kind, "artifacts": (*rest, kept)})


def _which(entry: DeviceEntry) -> tuple[str | None, str | None]:
    return entry.runtime, entry.backend


def replaced(entries: Iterable[DeviceEntry], new: DeviceEntry) -> tuple[DeviceEntry, ...]:
    """``entries`` with ``new`` instead of the one of the same device, runtime and backend.

    A device that could not run it before, and now can, is no longer said to be unable.
    """
    kept = [
        e
        for e in entries
        if e.name != new.name or (_which(e) != _which(new) and not (e.runtime is None and new.runtime))
    ]
    return (*kept[-(MOST_ENTRIES - 1) :], new)


def slug(name: str) -> str:
    """A device's name as it is typed and as a file is called: ``Pixel 7`` is ``pixel-7``."""
    text = SLUG.sub("-", name.strip().lower()).strip("-.")[:64]
    return text or "device"


def own_store() -> Store:
    """This user's."""
    return Store(default_folder())


def default_folder() -> Path:
    """``$POCKETPRESS_DEVICES``, or ``pocketpress/devices`` in the user's data folder."""
    given = os.environ.get("POCKETPRESS_DEVICES")
    if given:
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "pocketpress" / "devices"
