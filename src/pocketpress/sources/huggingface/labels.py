"""Names of classes in a checkpoint's ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Notes = tuple[tuple[str, str], ...]


def class_labels(config: Mapping[str, Any], key: str) -> tuple[tuple[str, ...] | None, Notes]:
    """Names of the classes, and why they were left out.

    Args:
        config: of the checkpoint.
        key: under which it holds them: ``id2label`` or ``label_names``, a list or an object by number.

    Returns:
        The names, None where there are none but placeholders (``LABEL_0``, ...), and notes.
    """
    held = config.get(key)
    if held is None or held == {} or held == []:
        return None, ()
    listed = _by_number(held) if isinstance(held, Mapping) else held
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        return None, ((key, "left out: it does not name every class"),)
    if all(name == f"LABEL_{number}" for number, name in enumerate(listed)):
        return None, ()
    return tuple(" ".join(name.split()) for name in listed), ()


def _by_number(held: Mapping[str, Any]) -> list[Any] | None:
    """The values of an object whose keys are the numbers from 0 on, in order; None for others."""
    if any(str(number) not in held for number in range(len(held))):
        return None
    return [held[str(number)] for number in range(len(held))]
