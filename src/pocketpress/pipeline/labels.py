"""Names of classes: from files that the user gives, the source, or a folder of class folders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import DataError, UserError
from pocketpress.core.labels import Labels, check_labels, class_counts
from pocketpress.core.record import SkippedEntry
from pocketpress.core.signature import MAX_JSON_BYTES, Signature, TensorSpec
from pocketpress.data import Dataset
from pocketpress.data.labels import read_labels
from pocketpress.sources.source import Source

NONE = "none"
"""As a file's name: no labels, whoever knows some."""


@dataclass(frozen=True)
class Found:
    """Names of classes by output, and those that were left out."""

    labels: Labels
    skipped: tuple[SkippedEntry, ...] = ()


def find_labels(
    asked: Sequence[str], source: Source, signature: Signature, data: Sequence[Dataset | None]
) -> Found:
    """Names of classes for the outputs of a network.

    Args:
        asked: ``FILE`` or ``OUTPUT=FILE``, each; ``none`` alone for no names at all.
        source: may know some; a file that names the same output takes their place.
        signature: of the network.
        data: sets whose class folders are names, where nothing else is known, for one vector of scores.

    Raises:
        DataError: a file cannot be read or does not fit its output.
        UserError: an output is not named and there are several, is named twice, or there is no such output.
    """
    if tuple(asked) == (NONE,):
        return Found({})
    outputs = {spec.name: spec for spec in signature.returned}
    named: dict[str, tuple[str, ...]] = {}
    for text in asked:
        spec, path = _target(text, outputs)
        if spec.name in named:
            raise UserError(f"output {spec.name} has two files of labels", got=", ".join(asked), allowed=1)
        named[spec.name] = _fitting(read_labels(path), spec, path)
    skipped = []
    for name, labels in source.labels.items():
        if name not in outputs or name in named:
            continue
        if (reason := _misfit(labels, outputs[name])) is None:
            named[name] = labels
        else:
            skipped.append(SkippedEntry(name=f"labels of {source.spec}", reason=reason))
    if not named and len(outputs) == 1:
        [spec] = outputs.values()
        found = _of_data(spec, data)
        return Found(found.labels, (*skipped, *found.skipped))
    return Found(named, tuple(skipped))


def check_fits(signature: Signature) -> None:
    """Raise DataError where the names make the signature too long to be embedded."""
    size = len(signature.to_json())
    if signature.labels and size > MAX_JSON_BYTES:
        raise DataError(
            "the names of classes are too long for an artifact",
            got=f"a signature of {size} bytes",
            allowed=MAX_JSON_BYTES,
            next_step="give shorter names",
        )


def _target(text: str, outputs: dict[str, TensorSpec]) -> tuple[TensorSpec, Path]:
    name, equals, path = text.partition("=")
    if equals and name in outputs:
        return outputs[name], Path(path)
    if text == NONE:
        raise UserError("--labels none leaves all labels out", next_step="leave the other --labels out")
    if len(outputs) == 1:
        [spec] = outputs.values()
        if equals and not Path(text).exists():
            raise UserError("no such output", got=name, allowed=list(outputs))
        return spec, Path(text)
    raise UserError(
        "--labels names no output of the network",
        got=text,
        allowed=[f"{known}={path if equals else text}" for known in outputs],
    )


def _fitting(labels: tuple[str, ...], spec: TensorSpec, path: Path) -> tuple[str, ...]:
    counts = class_counts(spec.shape)
    if len(labels) not in counts:
        raise DataError(
            f"{path} does not fit output {spec.name}",
            got=f"{len(labels)} names",
            allowed=" or ".join(map(str, dict.fromkeys(counts))) or "none: it is a single number",
        )
    return labels


def _misfit(labels: tuple[str, ...], spec: TensorSpec) -> str | None:
    """Why names do not fit an output; None where they do."""
    try:
        check_labels(labels, spec.shape)
    except ValueError as error:
        return f"left out: {error}"
    return None


def _of_data(spec: TensorSpec, sets: Sequence[Dataset | None]) -> Found:
    """Class folders are names where the output is one score per folder."""
    skipped = []
    for data in sets:
        if data is None or len(data.classes) < 2:
            continue
        reason = _misfit(data.classes, spec)
        if reason is None and math.prod(spec.shape) != len(data.classes):
            reason = f"left out: output {spec.name} is not one score per class"
        if reason is None:
            return Found({spec.name: data.classes})
        skipped.append(SkippedEntry(name=f"class names of {data.reference}", reason=reason))
    return Found({}, tuple(dict.fromkeys(skipped)))
