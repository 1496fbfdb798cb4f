"""Whether errors pile up in the states of a network as a sequence gets longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pocketpress.core.record import Drift, Segment
from pocketpress.verify.parity import LARGEST, sqnr_db

Outputs = Sequence[Mapping[str, npt.NDArray[np.float32]]]

SEGMENTS = 8
GROWTH_DB = 3.0
"""Twice the error: less is what two quarters of a sequence differ by."""
FLOAT_DB = 60.0
"""Beyond this an error is float rounding, and its growth no one's loss."""
LARGEST_DB = 1e4


def drift(got: Outputs, reference: Outputs, floats: Outputs) -> Drift:
    """Errors by step.

    Args:
        got: an artifact's outputs, one mapping per sequence, arrays (steps, ...); its own states ran along.
        reference: the same of the reference interpreter.
        floats: the same of the float network.

    Returns:
        Errors in up to `SEGMENTS` spans of steps, as decibels below the mean power of a step of the float
        network's outputs; longer sequences alone count where others have ended.
    """
    signal, _ = _power_by_step(floats, None)
    mean = float(signal.sum() / max(len(signal), 1))
    from_float, count = _power_by_step(got, floats)
    from_reference, _ = _power_by_step(got, reference)
    spans = np.array_split(np.arange(len(count)), min(SEGMENTS, len(count)))
    segments = tuple(
        Segment(
            first=int(span[0]),
            last=int(span[-1]),
            sqnr_float_db=_decibels(mean, from_float[span]),
            sqnr_reference_db=_decibels(mean, from_reference[span]),
        )
        for span in spans
    )
    growth, last = None, float("inf")
    if len(count) >= SEGMENTS:
        quarters = np.array_split(from_float, 4)
        second, last = _decibels(mean, quarters[1]), _decibels(mean, quarters[3])
        growth = float(np.clip(second - last, -LARGEST_DB, LARGEST_DB)) if second != last else 0.0
    return Drift(
        sequences=len(got),
        steps=len(count),
        segments=segments,
        growth_db=growth,
        grows=growth is not None and growth > GROWTH_DB and last < FLOAT_DB,
    )


def _power_by_step(
    outputs: Outputs, others: Outputs | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Power of the outputs, or of their distance to ``others``, of every step: the mean over sequences."""
    longest = max(len(next(iter(o.values()))) for o in outputs)
    power, count = np.zeros(longest), np.zeros(longest, np.int64)
    for index, sequence in enumerate(outputs):
        steps = len(next(iter(sequence.values())))
        count[:steps] += 1
        for name, value in sequence.items():
            distance = np.asarray(value, np.float64)
            if others is not None:
                distance = distance - np.asarray(others[index][name], np.float64)
            distance = np.nan_to_num(distance, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)
            power[:steps] += (distance.reshape(steps, -1) ** 2).sum(axis=1)
    return power / np.maximum(count, 1), count


def _decibels(signal: float, noise: npt.NDArray[np.float64]) -> float:
    return sqnr_db(np.sqrt(np.asarray([signal])), np.sqrt(np.asarray([noise.mean()])))
