"""Task metrics by name, or the user's own function.

A name may carry options and choose an output: ``psnr:data_range=1``, ``f1:average=micro``, ``top1@logits``.
torch and torchmetrics are imported when a metric is evaluated, or when its name is only torchmetrics' own.
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import DataError, MissingExtraError, PocketpressError, UserError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Signature
from pocketpress.data import agreement
from pocketpress.data.dataset import Sample
from pocketpress.data.user_code import find_function, is_function_name, line_of, reason

Values = npt.NDArray[np.float64]
Outputs = Array | Mapping[str, Array]
Function = Callable[[Array, Array, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Score:
    """A metric on one set: ``value``, and the values it is the mean of, (N,), where it is a mean."""

    value: float
    per_sample: Values | None


@dataclass(frozen=True)
class Metric:
    """One task metric.

    Attributes:
        name: as the user typed it.
        higher_is_better: direction.
        unit: "share" (0 to 1, shown in percent; a drop of 0.01 is one point), "dB" or "".
        needs_targets: False when the float network's outputs are the targets.
        output: name of the output it judges, or None for the only one.
        function: outputs and targets, both (N, …), and options, to (N,) values or one number.
        options: given after the name.
        takes_all: the function takes all outputs by name when there are several.
    """

    name: str
    higher_is_better: bool
    unit: str
    needs_targets: bool
    output: str | None
    function: Function
    options: Mapping[str, Any]
    takes_all: bool = False

    def evaluate(self, outputs: Outputs, targets: Outputs | None) -> Score:
        """Judge outputs.

        Args:
            outputs: (N, …), or one such array per output name.
            targets: (N, …); for a metric without targets, the float network's outputs, also by name.

        Raises:
            DataError: targets are missing, or do not fit the metric or the outputs.
            UserError: the user's function fails, or gives neither (N,) values nor one number.
        """
        chosen = self._chosen(outputs)
        if targets is None:
            raise DataError(
                f"metric {self.name} needs targets", got="unlabelled data", next_step="use --metric agreement"
            )
        wanted = self._chosen(targets) if isinstance(targets, Mapping) else np.asarray(targets)
        count = _samples(chosen)
        if _samples(wanted) != count or count == 0:
            raise DataError(
                f"metric {self.name}: outputs and targets differ in number",
                got=f"{count} and {_samples(wanted)}",
                allowed="one target per sample, at least one",
            )
        return self._score(self.function(chosen, wanted, self.options), count)

    def per_sample(self, outputs: Outputs, targets: Outputs | None) -> Values | None:
        """The values the metric is the mean of, (N,), or None where it is no mean."""
        return self.evaluate(outputs, targets).per_sample

    def aggregate(self, outputs: Outputs, targets: Outputs | None) -> float:
        """The metric on the whole set."""
        return self.evaluate(outputs, targets).value

    def _chosen(self, outputs: Outputs) -> Any:
        """The array to judge; all arrays by name for a user's function and several outputs."""
        if not isinstance(outputs, Mapping):
            return np.asarray(outputs)
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        name = self.output or (next(iter(arrays)) if len(arrays) == 1 else None)
        if name is None and self.takes_all:
            return arrays
        if name is None:
            raise UserError(
                f"metric {self.name} judges one output",
                got=f"{len(arrays)} outputs",
                allowed=[f"{self.name}@{n}" for n in arrays],
            )
        if name not in arrays:
            raise UserError("the network has no such output", got=name, allowed=list(arrays))
        return arrays[name]

    def _score(self, result: Any, count: int) -> Score:
        values = np.asarray(result.detach().cpu() if hasattr(result, "detach") else result)
        if values.dtype.kind not in "fiub" or values.shape not in ((), (count,)):
            raise UserError(
                f"metric {self.name} gives no usable result",
                got=f"{values.dtype} of shape {values.shape}",
                allowed=f"one number, or shape ({count},)",
            )
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(
                f"metric {self.name} is not finite on this data",
                got=f"{int(np.count_nonzero(~np.isfinite(values)))} of {values.size} values",
                next_step="check outputs and targets for NaN and constant samples",
            )
        return Score(float(values.mean()), values if values.shape else None)


@dataclass(frozen=True)
class _Card:
    """A built-in metric: where its function is, and how to read it."""

    function: str
    higher: bool
    unit: str
    fixed: tuple[tuple[str, Any], ...] = ()
    options: tuple[str, ...] = ()
    module: str = "torch_metrics"


_TASK = ("average", "num_classes", "num_labels", "task", "threshold", "ignore_index")


def _task(function: str, *more: str) -> _Card:
    return _Card("of_task", True, "share", (("function", function),), (*_TASK, *more))


BUILT_IN: dict[str, _Card] = {
    "top1": _Card("top_k", True, "share", (("k", 1),)),
    "top5": _Card("top_k", True, "share", (("k", 5),)),
    "mse": _Card("mean_squared_error", False, ""),
    "mae": _Card("mean_absolute_error", False, ""),
    "psnr": _Card("psnr", True, "dB", (), ("data_range",)),
    "ssim": _Card("ssim", True, "", (), ("data_range",)),
    "cosine": _Card("cosine", True, ""),
    "f1": _task("f1_score"),
    "precision": _task("precision"),
    "recall": _task("recall"),
    "auroc": _task("auroc"),
    "agreement": _Card("agreement", True, "share", module="agreement"),
    "sqnr": _Card("sqnr", True, "dB", module="agreement"),
}
ALIASES = {
    "accuracy": "top1",
    "top-1": "top1",
    "top-5": "top5",
    "top_1": "top1",
    "top_5": "top5",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "peak_signal_noise_ratio": "psnr",
    "structural_similarity_index_measure": "ssim",
    "cosine_similarity": "cosine",
    "f1_score": "f1",
    "roc_auc": "auroc",
}
WITHOUT_TARGETS = ("agreement", "sqnr")


def resolve_metric(name: str) -> Metric:
    """Find a metric by name.

    Args:
        name: a name of `BUILT_IN` or `ALIASES`; the name of a torchmetrics functional for classification,
            regression or images; or ``module:function`` or ``file.py:function``, called with outputs and
            targets, (N, …) both, and returning (N,) values or one number (higher is better unless the
            function has the attribute ``higher_is_better = False``; ``unit`` is read too).

    Raises:
        UserError: unknown name or option; the message names the closest.
    """
    base, output = _split(name)
    stem, _, options = base.partition(":")
    if options and "=" not in options:
        return _of_user(name, base, output)
    key = ALIASES.get(
        stem.lower().replace("-", "_"), ALIASES.get(stem.lower(), stem.lower().replace("-", "_"))
    )
    parsed = _options(name, options)
    card = BUILT_IN.get(key)
    if card is None:
        return _of_torchmetrics(name, key, output, parsed)
    unknown = [option for option in parsed if option not in card.options]
    if unknown:
        raise UserError(
            f"metric {key} has no option {unknown[0]}", got=name, allowed=list(card.options) or "no options"
        )
    merged = {**parsed, **dict(card.fixed)}
    function = agreement.FUNCTIONS[key] if card.module == "agreement" else _torch_function(card.function)
    return Metric(name, card.higher, card.unit, key not in WITHOUT_TARGETS, output, function, merged)


def _split(name: str) -> tuple[str, str | None]:
    """A metric and the output that it judges, whose name may be any: ``/head/scores``, ``Identity:0``."""
    if ".py:" in name:  # a folder of the user's may be called by an @
        path, function, rest = name.rpartition(".py:")
        stem, at, output = rest.partition("@")
        return path + function + stem, output if at else None
    base, at, output = name.partition("@")
    return base, output if at else None


def suggest_metric(signature: Signature, sample: Sample | None = None) -> str:
    """The metric a network and one of its samples call for when the user named none.

    "agreement" without targets, "top1" for whole-number labels of a score vector or of an output that is
    classes, else "mse"; of the first output where there are several.
    """
    outputs = signature.returned
    suffix = f"@{outputs[0].name}" if len(outputs) > 1 else ""
    if sample is None or sample.target is None:
        return f"agreement{suffix}"
    target, shape = sample.target, outputs[0].shape
    whole = target.size == 1 and target.dtype.kind in "iub"
    classes = (
        outputs[0].dtype in ("int32", "int64") and outputs[0].scale is None and target.dtype.kind in "iub"
    )
    scores = whole and len(shape) == 2 and shape[1] > 1
    return f"top1{suffix}" if scores or classes else f"mse{suffix}"


def _samples(values: Any) -> int:
    return len(next(iter(values.values()))) if isinstance(values, Mapping) else len(values)


def _torch_function(name: str) -> Function:
    def call(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Any:
        function: Function = getattr(_torch_metrics(), name)
        return function(outputs, targets, options)

    return call


def _torch_metrics() -> Any:
    try:
        return importlib.import_module("pocketpress.data.torch_metrics")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "metrics need packages that are not installed",
            got=f"missing {error.name}",
            next_step="run: pip install 'pocketpress[torch]'",
        ) from error


def _of_torchmetrics(name: str, key: str, output: str | None, options: dict[str, Any]) -> Metric:
    direction = _torch_metrics().direction(key)
    if direction is None:
        known = sorted({*BUILT_IN, *ALIASES})
        close = difflib.get_close_matches(key, [*known, *_torch_metrics().names()], n=1, cutoff=0.5)
        raise UserError(
            "unknown metric",
            got=name,
            allowed=[*BUILT_IN, "a functional metric of torchmetrics", "module:function"],
            next_step=f"did you mean {close[0]}?" if close else None,
        )
    fixed = {**options, "function": key}
    return Metric(name, direction, "", True, output, _torch_function("of_task"), fixed)


def _of_user(name: str, spec: str, output: str | None) -> Metric:
    if not is_function_name(spec):
        raise UserError(
            "unknown metric", got=name, allowed=[*BUILT_IN, "module:function", "file.py:function"]
        )
    function = find_function(spec, UserError)

    def call(outputs: Array, targets: Array, options: Mapping[str, Any]) -> Any:
        try:
            return function(outputs, targets)
        except PocketpressError:
            raise
        except Exception as error:
            raise UserError(
                f"metric {spec} failed", got=reason(error), next_step=f"see {line_of(error)}"
            ) from error

    higher = bool(getattr(function, "higher_is_better", True))
    return Metric(name, higher, str(getattr(function, "unit", "")), True, output, call, {}, takes_all=True)


def _options(name: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, _, value = part.partition("=")
        if not key.isidentifier() or not value:
            raise UserError("metric option is malformed", got=name, allowed="name:option=value,option=value")
        options[key] = _number(value)
    return options


def _number(text: str) -> Any:
    for convert in (int, float):
        try:
            value = convert(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)
