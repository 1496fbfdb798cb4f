"""Palettes: every weight is an index into a codebook of 2^N numbers found by k-means.

"Trained quantisation" of Han et al. 2016 (arXiv:1510.00149, section 3): one codebook per layer minimises
``sum_i (w_i - c_{a(i)})^2``.  In one dimension Lloyd's algorithm works on the sorted weights and their prefix
sums, so an iteration costs one binary search per centroid.  Centroids start at equal steps over the range
(section 3.2: linear initialisation keeps the few large weights), empty clusters keep their centroid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketpress.compress.weight_only.integers import (
    WeightPlan,
    stored_weights,
    why_float,
    with_constants,
)
from pocketpress.core.program import Program, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped

ITERATIONS = 100
Real = npt.NDArray[np.float64]


def kmeans(values: npt.ArrayLike, clusters: int, iterations: int = ITERATIONS) -> Real:
    """Centroids of one-dimensional Lloyd's algorithm, ascending, shape (clusters,) or fewer.

    Distinct values up to ``clusters`` are returned as they are.
    """
    points = np.sort(np.asarray(values, np.float64).reshape(-1))
    distinct = np.unique(points)
    if len(distinct) <= clusters:
        return distinct
    sums = np.concatenate([[0.0], np.cumsum(points)])
    best, best_error = points[:1], np.inf
    spread = np.quantile(points, (np.arange(clusters) + 0.5) / clusters)
    for start in (np.linspace(points[0], points[-1], clusters), np.unique(spread)):
        centroids = _lloyd(points, sums, start, iterations)
        error = float(np.sum((points - centroids[assign(points, centroids)]) ** 2))
        if error < best_error:
            best, best_error = centroids, error
    return best


def _lloyd(points: Real, sums: Real, start: Real, iterations: int) -> Real:
    centroids = start.astype(np.float64)
    for _ in range(iterations):
        borders = np.searchsorted(points, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], borders, [len(points)]])
        counts = np.diff(edges)
        means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1)
        moved = np.sort(np.where(counts > 0, means, centroids))
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


def assign(values: npt.ArrayLike, centroids: Real) -> npt.NDArray[np.uint8]:
    """Index of the nearest centroid (ascending; halfway goes up)."""
    borders = (centroids[1:] + centroids[:-1]) / 2
    return np.searchsorted(borders, np.asarray(values, np.float64), side="right").astype(np.uint8)


def palettize(program: Program, bits: int) -> tuple[Program, tuple[Skipped, ...]]:
    """Replace the weights of all products by palettes of 2^bits entries."""
    plan = plan_palettes(program, bits)
    values: dict[str, Array] = {}
    for name, type_ in plan.types.items():
        assert type_.palette is not None
        values[name] = assign(program.constants[name], np.asarray(type_.palette, np.float64))
    return with_constants(program, values, plan.types), plan.skipped


def plan_palettes(program: Program, bits: int) -> WeightPlan:
    """One codebook per weight."""
    types: dict[str, TensorType] = {}
    skipped: list[Skipped] = []
    for node, name in stored_weights(program):
        reason = why_float(program, name)
        if reason is not None:
            skipped.append(Skipped(f"{node.op} {node.name}", reason))
        elif name not in types:
            weight = program.constants[name]
            codebook = tuple(float(v) for v in kmeans(weight, 2**bits))
            types[name] = TensorType(tuple(weight.shape), "uint8", palette=codebook)
    return WeightPlan(types, tuple(skipped))
