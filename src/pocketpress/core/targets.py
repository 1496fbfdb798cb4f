"""Find targets through entry points, the built-in ones too; a name used twice is an error naming both."""

from __future__ import annotations

import contextlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from pocketpress.core.errors import MOST_NAMED, ArtifactError, UserError
from pocketpress.core.target import TargetSpec

GROUP = "pocketpress.targets"


@cache
def all_targets() -> dict[str, TargetSpec]:
    """Every installed target's card by name."""
    found: dict[str, TargetSpec] = {}
    owners: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        if owners.get(point.name) == point.value:
            continue
        if point.name in owners:
            raise UserError(
                f"two packages define the target {point.name}",
                got=f"{owners[point.name]} and {point.value}",
                next_step="uninstall one of them",
            )
        owners[point.name] = point.value
        found[point.name] = point.load()
    return found


def resolve_targets(names: str) -> tuple[TargetSpec, ...]:
    """Comma-separated target or group names to cards, in order, without repeats.

    Raises:
        UserError: a name is neither a target nor a group.
    """
    targets = all_targets()
    groups: dict[str, list[str]] = {}
    for spec in targets.values():
        for group in spec.groups:
            groups.setdefault(group, []).append(spec.name)
    chosen: dict[str, TargetSpec] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        members = groups.get(name) or ([name] if name in targets else None)
        if members is None:
            raise UserError("unknown target", got=name, allowed=[*sorted(targets), *sorted(groups)])
        chosen.update({member: targets[member] for member in members})
    if not chosen:
        raise UserError("no target given", allowed=[*sorted(targets), *sorted(groups)])
    return tuple(chosen.values())


def check_exists(path: Path) -> None:
    """Raise ArtifactError where there is no artifact; it names others of the same folder."""
    if path.exists():
        return
    suffixes = tuple(sorted({spec.suffix for spec in all_targets().values()}))
    with contextlib.suppress(OSError):
        beside = sorted(entry.name for entry in path.parent.iterdir() if entry.name.endswith(suffixes))
        if beside:
            raise ArtifactError(
                "no such artifact",
                got=path,
                allowed=beside[:MOST_NAMED],
                next_step=f"these are in {path.parent}",
            )
    raise ArtifactError(
        "no such artifact", got=path, allowed=suffixes, next_step="pocketpress press makes them, in its --out"
    )


def target_of(path: Path) -> TargetSpec:
    """The target whose suffix an artifact carries, the longest of them (``.web.onnx`` before ``.onnx``).

    Raises:
        ArtifactError: no target has that suffix.
    """
    fitting = [spec for spec in all_targets().values() if path.name.endswith(spec.suffix)]
    if fitting:
        return max(fitting, key=lambda spec: len(spec.suffix))
    suffixes = sorted(spec.suffix for spec in all_targets().values())
    raise ArtifactError("not an artifact of any target", got=path.name, allowed=suffixes)
