"""Names of an output's classes: what may be one, and what they are good for.

The browser client has the same rules (``web/src/labels.ts``): what one of them refuses the other refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = Mapping[str, tuple[str, ...]]
"""Names of classes by the name of the output."""

MAX_LABELS = 1 << 16
MAX_LABEL_BYTES = 256
MAX_LABELS_BYTES = 1 << 19
"""Of all labels of an output together, in UTF-8."""

_NOT_PRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_label(label: str) -> int:
    """Check one name of a class; returns its size in bytes of UTF-8.

    Raises:
        ValueError: it is empty, too long, or holds control characters, line breaks or half a character.
    """
    try:
        size = len(label.encode())
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character") from error
    if not label:
        raise ValueError("is empty")
    if size > MAX_LABEL_BYTES:
        raise ValueError(f"has {size} bytes, more than {MAX_LABEL_BYTES}")
    if _NOT_PRINTED.search(label):
        raise ValueError("holds a control character")
    return size


def check_labels(labels: Sequence[str], shape: tuple[int, ...]) -> None:
    """Check the names of an output's classes.

    Args:
        labels: in the order of the output's elements along its axis of classes.
        shape: of the output.

    Raises:
        ValueError: a name is none, there are too many, or no axis of ``shape`` has so many elements.
    """
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{len(labels)} labels, more than {MAX_LABELS}")
    size = 0
    for number, label in enumerate(labels):
        try:
            size += check_label(label)
        except ValueError as error:
            raise ValueError(f"label {number} {error}") from error
    if size > MAX_LABELS_BYTES:
        raise ValueError(f"labels of {size} bytes, more than {MAX_LABELS_BYTES}")
    if not labels or len(labels) not in class_counts(shape):
        raise ValueError(f"{len(labels)} labels for an output of shape {shape}")


def class_counts(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the axes that classes may lie along: all but the batch's, which is the first of several."""
    return shape[1:] if len(shape) > 1 else shape


def largest(scores: npt.NDArray[Any], labels: Sequence[str], k: int) -> list[tuple[str, float]]:
    """The ``k`` classes of the largest scores, best first; of equal scores the first class, NaN last.

    Args:
        scores: one per label, of any shape.
        labels: names of the classes.
        k: how many at most.
    """
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    order = np.argsort(-values, kind="stable")[:k]
    return [(labels[i], float(values[i])) for i in order]
