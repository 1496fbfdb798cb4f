"""What ``hf:`` and ``timm:`` specifications name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import SourceError

PREFIXES = ("hf:", "timm:")
TIMM = "timm:"
ALLOWED = "hf:ORG/NAME, hf:ORG/NAME@REVISION, hf:./folder, timm:NAME"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,99}")


@dataclass(frozen=True)
class Checkpoint:
    """A repository of the hub, or a folder on this machine.

    Attributes:
        spec: what the user typed.
        repository: "org/name", or None for a folder.
        revision: a branch, tag or commit of the repository.
        folder: on this machine, or None for a repository.
    """

    spec: str
    repository: str | None = None
    revision: str = "main"
    folder: Path | None = None

    @property
    def name(self) -> str:
        """For files and tables: the last part."""
        if self.folder is not None:
            return self.folder.resolve().name
        return (self.repository or "").rpartition("/")[2]


def is_checkpoint(spec: str) -> bool:
    """Whether a specification speaks of the hub."""
    return spec.startswith(PREFIXES)


def parse(spec: str) -> Checkpoint:
    """The checkpoint that ``spec`` names; what starts with ``.``, ``/`` or ``~`` is a folder.

    Raises:
        SourceError: not a name that the hub could have.
    """
    prefix, _, text = spec.partition(":")
    if text.startswith((".", "/", "~")) or Path(text).is_absolute():
        return Checkpoint(spec, folder=Path(text).expanduser())
    name, at, revision = text.partition("@")
    if prefix == "timm" and "/" not in name:
        name = f"timm/{name}" if name else ""
    outside = ".." in text or "--" in name  # the cache spells slashes as two dashes
    if outside or not _REPOSITORY.fullmatch(name) or (at and not _REVISION.fullmatch(revision)):
        raise SourceError("not the name of a checkpoint", got=spec, allowed=ALLOWED)
    return Checkpoint(spec, name, revision if at else "main")
