"""Metrics computed by torchmetrics' functional interface.

Functions take outputs and targets, both (N, …), and options; they return (N,) values where the metric is a
mean of per-sample values, else one number.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
import torchmetrics
import torchmetrics.functional.classification as classification
import torchmetrics.functional.image as image
import torchmetrics.functional.regression as regression

from pocketpress.core.errors import DataError, UserError
from pocketpress.core.program.ir import Array
from pocketpress.data.agreement import equal_share

TASKS = ("binary", "multiclass", "multilabel")
_DIRECTIONS = dict.fromkeys(("specificity", "negative_predictive_value", "pearson_corrcoef"), True)
_SLICE_ELEMENTS = 1 << 24
"""Elements compared at a time."""


def top_k(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """1 where the label is among the k largest scores, outputs (N, C), targets (N,).

    Of outputs that are classes already, whole numbers (N, …), the share that equals the labels (N, …).
    """
    if outputs.dtype.kind in "iu" and outputs[0].size == np.asarray(targets)[0].size:
        return equal_share(outputs, np.asarray(targets))
    labels = _labels(outputs, targets)
    scores = _tensor(outputs.reshape(len(outputs), -1))
    result = classification.multiclass_accuracy(
        scores[:, :, None],
        labels[:, None],
        num_classes=scores.shape[1],
        top_k=min(int(options["k"]), scores.shape[1]),
        average="micro",
        multidim_average="samplewise",
    )
    return np.asarray(result.numpy())


def mean_squared_error(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """Mean of squared differences of each sample."""
    return _by_column(regression.mean_squared_error, *_alike(outputs, targets))


def mean_absolute_error(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """Mean of absolute differences of each sample."""
    return _by_column(regression.mean_absolute_error, *_alike(outputs, targets))


def cosine(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """Cosine of the angle between output and target of each sample."""
    a, b = _alike(outputs, targets)
    result = regression.cosine_similarity(a.flatten(1), b.flatten(1), reduction="none")
    return np.asarray(result.numpy())


def psnr(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """Peak signal-to-noise ratio of each sample in dB; equal samples count as 1e-10 of the range apart."""
    span = _data_range(targets, options)
    a, b = _alike(outputs, targets)
    error = torch.from_numpy(_by_column(regression.mean_squared_error, a, b))
    floor = (1e-10 * span) ** 2
    decibels = 10 * torch.log10(span**2 / torch.clamp(error.double(), min=floor))
    return np.asarray(decibels.numpy())


def ssim(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Array:
    """Structural similarity of each sample, (N, C, H, W)."""
    a, b = _alike(outputs, targets)
    if a.ndim != 4 or min(a.shape[2:]) < 11:
        raise DataError(
            "metric ssim needs images", got=tuple(a.shape), allowed="(N, C, H, W), 11 pixels or more"
        )
    span = _data_range(targets, options)
    result = image.structural_similarity_index_measure(a, b, data_range=span, reduction="none")
    return np.asarray(result.numpy())


def of_task(outputs: Array, targets: Array, options: Mapping[str, Any]) -> float:
    """Any functional metric of torchmetrics with one number as result.

    Classification metrics get their task (binary, multiclass, multilabel) from the shapes; the average over
    classes is "macro" unless said otherwise.
    """
    given = dict(options)
    name = given.pop("function")
    function = _function(name)
    if function is None:
        raise UserError("torchmetrics has no such functional metric", got=name)
    if "task" in inspect.signature(function).parameters or name.startswith(TASKS):
        a, b = _for_task(name, function, outputs, targets, given)
    else:
        a, b = _alike(outputs, targets)
    try:
        result = function(a, b, **given)
    except Exception as error:
        detail = (str(error).strip().splitlines() or [""])[0]
        raise DataError(
            f"metric {name} refuses these outputs and targets",
            got=f"outputs {outputs.shape}, targets {targets.dtype} {targets.shape}",
            next_step=f"torchmetrics: {type(error).__name__}: {detail}",
        ) from error
    if not isinstance(result, torch.Tensor) or result.numel() != 1:
        raise UserError(
            f"metric {name} does not give one number", next_step="choose average=macro or another metric"
        )
    return float(result)


def direction(name: str) -> bool | None:
    """Whether higher is better, or None when torchmetrics has no such metric or does not say."""
    if _function(name) is None:
        return None
    if name in _DIRECTIONS:
        return _DIRECTIONS[name]
    classes = _classes()
    for candidate in (name, *(f"{task}_{name}" for task in TASKS)):
        found = getattr(classes.get(candidate.replace("_", "")), "higher_is_better", None)
        if isinstance(found, bool):
            return found
    return None


def names() -> list[str]:
    """Every metric of torchmetrics that `of_task` can compute."""
    known = {n for module in (classification, regression, image) for n in module.__all__}
    return sorted(n for n in known if direction(n) is not None)


def _function(name: str) -> Callable[..., Any] | None:
    for module in (classification, regression, image):
        function = getattr(module, name, None) if name in module.__all__ else None
        if function is not None and list(inspect.signature(function).parameters)[:2] == ["preds", "target"]:
            return function  # type: ignore[no-any-return]
    return None


@cache
def _classes() -> dict[str, Any]:
    modules = (torchmetrics, torchmetrics.classification, torchmetrics.regression, torchmetrics.image)
    return {n.lower(): getattr(module, n) for module in modules for n in module.__all__ if n[0].isupper()}


def _for_task(
    name: str, function: Callable[..., Any], outputs: Array, targets: Array, options: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tensors for a classification metric; completes ``options``."""
    parameters = inspect.signature(function).parameters
    prefix = next((task for task in TASKS if name.startswith(task)), None)
    task = prefix or options.get("task") or _task_of(outputs, targets)
    if prefix is None:
        options["task"] = task
    scores = _tensor(outputs.reshape(len(outputs), -1))
    if task == "multilabel":
        labels = torch.from_numpy(targets.reshape(len(targets), -1).astype(np.int64))
        options.setdefault("num_labels", scores.shape[1])
    elif task == "binary":
        scores = scores[:, -1] - scores[:, 0] if scores.shape[1] == 2 else scores[:, 0]
        labels = torch.from_numpy(targets.reshape(-1).astype(np.int64))
    else:
        labels = _labels(outputs, targets)
        options.setdefault("num_classes", scores.shape[1])
    if task != "binary" and "average" in parameters:
        options.setdefault("average", "macro")
    return scores, labels


def _task_of(outputs: Array, targets: Array) -> str:
    width = outputs[0].size
    if targets[0].size == width and width > 1:
        return "multilabel"
    return "binary" if width == 1 else "multiclass"


def _labels(outputs: Array, targets: Array) -> torch.Tensor:
    labels = targets.reshape(len(targets), -1)
    classes = outputs[0].size
    if labels.shape[1] != 1 or classes < 2:
        raise DataError(
            "the metric needs one label per sample and one score per class",
            got=f"outputs {outputs.shape}, targets {targets.shape}",
            allowed="outputs (N, C), targets (N,)",
        )
    whole = labels[:, 0].astype(np.int64)
    if not (whole == labels[:, 0]).all() or whole.min() < 0 or whole.max() >= classes:
        raise DataError(
            "labels do not fit the network's classes",
            got=f"{labels.min()} to {labels.max()}",
            allowed=f"whole numbers from 0 to {classes - 1}",
        )
    return torch.from_numpy(whole)


def _alike(outputs: Array, targets: Array) -> tuple[torch.Tensor, torch.Tensor]:
    if outputs.shape != targets.shape:
        raise DataError(
            "targets have another shape than the outputs", got=targets.shape, allowed=str(outputs.shape)
        )
    return _tensor(outputs), _tensor(targets)


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _by_column(function: Callable[..., Any], a: torch.Tensor, b: torch.Tensor) -> Array:
    """One value per sample, from a function that gives one per column."""
    a, b = a.flatten(1), b.flatten(1)
    rows = max(1, _SLICE_ELEMENTS // max(1, a.shape[1]))
    parts = []
    for start in range(0, len(a), rows):
        x, y = a[start : start + rows].T, b[start : start + rows].T
        parts.append(function(x, y, num_outputs=x.shape[1]).reshape(-1))
    return np.asarray(torch.cat(parts).numpy())


def _data_range(targets: Array, options: Mapping[str, Any]) -> float:
    if "data_range" in options:
        return float(options["data_range"])
    low, high = float(targets.min()), float(targets.max())
    if low >= 0 and high <= 1:
        return 1.0
    if low >= 0 and high <= 255:
        return 255.0
    raise DataError(
        "the range of the target images is unclear",
        got=f"{low:g} to {high:g}",
        next_step="say it: psnr:data_range=2",
    )
