"""From a detector's outputs to objects, outside the artifact: thresholds and non-maximum suppression.

Phone runtimes disagree on such operators, or lack them; their results have no fixed shape, and nothing in
them needs 8 bits.  What is here is a few lines in any language; NumPy's are the reference.  Boxes are
(x0, y0, x1, y1) in pixels, float.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import DataError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """Objects, the surest first.

    Attributes:
        boxes: (N, 4).
        scores: (N,).
        labels: (N,) class numbers.
    """

    boxes: Array
    scores: Array
    labels: npt.NDArray[np.int64]


def corners(boxes: Array) -> Array:
    """(N, 4) boxes of centre and size, (x, y, width, height), as (x0, y0, x1, y1)."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def overlap(boxes: Array, others: Array) -> Floats:
    """Intersection over union of (N, 4) and (M, 4) boxes: (N, M); 0 where both are empty."""
    a, b = np.asarray(boxes, np.float64)[:, None], np.asarray(others, np.float64)[None]
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = size[..., 0] * size[..., 1]
    total = _areas(a) + _areas(b) - shared
    return np.asarray(np.divide(shared, total, out=np.zeros_like(shared), where=total > 0))


def _areas(boxes: Floats) -> Floats:
    size = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return np.asarray(size[..., 0] * size[..., 1])


def non_maximum_suppression(boxes: Array, scores: Array, threshold: float = 0.5) -> npt.NDArray[np.int64]:
    """Indices of boxes that no box of a higher score overlaps by more than ``threshold``, the surest first.

    Greedy: a suppressed box suppresses none.  Of equal scores the first wins, as int8 scores often are.

    Raises:
        DataError: shapes that do not fit.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise DataError(
            "boxes and scores do not fit", got=f"{boxes.shape} and {scores.shape}", allowed="(N, 4) and (N,)"
        )
    left = np.argsort(-scores, kind="stable")
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[overlap(boxes[best : best + 1], boxes[left])[0] <= threshold]
    return np.asarray(kept, np.int64)


def detections(
    boxes: Array, scores: Array, *, least_score: float = 0.25, threshold: float = 0.5, most: int = 100
) -> Detections:
    """Objects of every class: those sure enough, without those that a surer one of the class overlaps.

    Args:
        boxes: (N, 4).
        scores: (N, classes), 0 to 1.
        least_score: below it there is no object.
        threshold: largest overlap of two objects of a class.
        most: objects in all.
    """
    found: list[tuple[int, int]] = []
    for label in range(scores.shape[1]):
        sure = np.flatnonzero(scores[:, label] >= least_score)
        kept = non_maximum_suppression(boxes[sure], scores[sure, label], threshold)
        found += [(int(index), label) for index in sure[kept]]
    rows, labels = (np.array([f[i] for f in found], np.int64) for i in (0, 1))
    order = np.argsort(-scores[rows, labels], kind="stable")[:most]
    rows, labels = rows[order], labels[order]
    return Detections(boxes[rows], scores[rows, labels], labels)


def peaks(
    heat: Array, pooled: Array, size: Array, offset: Array, *, stride: int, least_score: float = 0.25
) -> Detections:
    """Objects of a CenterNet (Zhou et al. 2019, arXiv:1904.07850): the maxima of their neighbourhoods.

    Args:
        heat: (classes, H, W), 0 to 1.
        pooled: the same after ``max_pool2d(heat, 3, stride=1, padding=1)``, an output of the artifact;
            pooling only compares, so a peak of the heat map is equal to it in int8 too.
        size: (2, H, W), width and height in cells.
        offset: (2, H, W), of the centre from the cell's corner, x first, in cells.
        stride: pixels of a cell.
        least_score: below it there is no object.
    """
    labels, rows, columns = np.nonzero((heat == pooled) & (heat >= least_score))
    order = np.argsort(-heat[labels, rows, columns], kind="stable")
    labels, rows, columns = labels[order], rows[order], columns[order]
    centre = np.stack([columns, rows], 1) + offset[:, rows, columns].T
    boxes = corners(np.concatenate([centre, size[:, rows, columns].T], 1) * stride)
    return Detections(boxes, heat[labels, rows, columns], labels.astype(np.int64))
