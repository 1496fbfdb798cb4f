"""Metrics for data without labels: the float network's own outputs are the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array

Values = npt.NDArray[np.float64]

SQNR_LIMIT_DB = 120.0
"""Ceiling of a sample's ratio (about the resolution of float32), so that equal outputs have a finite one."""


def agreement(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Values:
    """Per sample: 1 where the arg-max of (N, C) scores is the same, else 0.

    Of whole numbers, which are classes, the share of equal ones.  Other outputs that are no score vectors
    give the share of the target's energy that is not error, ``max(0, 1 - |output - target|² / |target|²)``:
    20 dB of SQNR are 0.99, 40 dB 0.9999.
    """
    _check_shapes(outputs, targets)
    if outputs.dtype.kind in "iu" and targets.dtype.kind in "iu":
        return equal_share(outputs, targets)
    if targets.ndim == 2 and targets.shape[1] > 1:
        return np.asarray(outputs.argmax(axis=1) == targets.argmax(axis=1), dtype=np.float64)
    signal, noise = _energies(outputs, targets)
    share = 1 - noise / np.where(signal > 0, signal, 1)
    return np.where(signal > 0, np.maximum(share, 0), (noise == 0).astype(np.float64))


def equal_share(outputs: Array, targets: Array) -> Values:
    """Per sample, the share of elements of (N, …) that are equal."""
    same = outputs.reshape(len(outputs), -1) == targets.reshape(len(targets), -1)
    return np.asarray(same.mean(axis=1), dtype=np.float64)


def sqnr(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Values:
    """Per sample: ``10 log10(|target|² / |output - target|²)`` in dB, between -120 and 120."""
    _check_shapes(outputs, targets)
    signal, noise = _energies(outputs, targets)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(signal / noise)
    ratio = np.where(noise == 0, SQNR_LIMIT_DB, ratio)
    return np.asarray(np.clip(ratio, -SQNR_LIMIT_DB, SQNR_LIMIT_DB))


def _check_shapes(outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        raise DataError(
            "targets have another shape than the outputs", got=targets.shape, allowed=str(outputs.shape)
        )


def _energies(outputs: Array, targets: Array) -> tuple[Values, Values]:
    target = targets.reshape(len(targets), -1).astype(np.float64)
    error = outputs.reshape(len(outputs), -1).astype(np.float64) - target
    return np.asarray(np.square(target).sum(axis=1)), np.asarray(np.square(error).sum(axis=1))


FUNCTIONS: dict[str, Callable[[Array, Array, Mapping[str, Any]], Values]] = {
    "agreement": agreement,
    "sqnr": sqnr,
}
