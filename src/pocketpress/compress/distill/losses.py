"""What fine-tuning minimises: the task loss, and the distance to the teacher's outputs.

Distillation follows Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015,
arXiv:1503.02531: for class scores, T^2 KL(softmax(teacher / T) || softmax(student / T)); for everything else
the mean squared error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from pocketpress.core.errors import DataError, UserError

TaskLoss = Callable[[Any, Tensor], Tensor]
LOSSES = ("auto", "cross-entropy", "mse", "l1", "none")


def tensors(outputs: Any) -> list[Tensor]:
    """All floating-point output tensors, in order."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
    """Of class scores or probabilities (B, C, ...) and class numbers (B, ...); mean."""
    return functional.cross_entropy(log_scores(tensors(outputs)[0]), targets.long())


def mse(outputs: Any, targets: Tensor) -> Tensor:
    """Mean squared error of the first output."""
    return functional.mse_loss(tensors(outputs)[0], targets.float())


def l1(outputs: Any, targets: Tensor) -> Tensor:
    """Mean absolute error of the first output."""
    return functional.l1_loss(tensors(outputs)[0], targets.float())


NAMED: dict[str, TaskLoss] = {"cross-entropy": cross_entropy, "mse": mse, "l1": l1}


def log_scores(scores: Tensor) -> Tensor:
    """Scores, or the logarithm of probabilities (a network that ends in a softmax)."""
    rows = scores.detach().sum(1)
    probable = bool((scores.detach() >= 0).all()) and bool(
        torch.allclose(rows, torch.ones_like(rows), atol=1e-3)
    )
    return scores.clamp_min(1e-9).log() if probable else scores


def is_classifier(outputs: Any, targets: Tensor | None) -> bool:
    """One output of scores (B, C) and class numbers (B,) within C."""
    found = tensors(outputs)
    if targets is None or targets.is_floating_point() or len(found) != 1 or found[0].ndim < 2:
        return False
    scores = found[0]
    dense = scores.shape[:1] + scores.shape[2:]
    return targets.shape == dense and int(targets.min()) >= 0 and int(targets.max()) < scores.shape[1]


def resolve_loss(name: str, outputs: Any, targets: Tensor | None) -> TaskLoss | None:
    """The task loss of a name; None for pure distillation.

    Args:
        name: one of `LOSSES`; "auto" is cross-entropy for class numbers, mse for targets of the first
            output's shape, and none without labels.
        outputs: of the network, for a few samples.
        targets: of the same samples, or None.

    Raises:
        DataError: the loss needs labels and there are none, or they do not fit.
    """
    if name == "none":
        return None
    if targets is None:
        if name == "auto":
            return None
        raise DataError(
            f"--loss {name} needs labels, and the fine-tuning data has none",
            next_step="give labelled data, or leave --loss out to learn from the float network alone",
        )
    shape = tensors(outputs)[0].shape
    if name == "auto":
        name = "cross-entropy" if is_classifier(outputs, targets) else "mse"
    if name not in NAMED:
        raise UserError("unknown loss", got=name, allowed=[*LOSSES, "module:function"])
    if name == "cross-entropy" and not is_classifier(outputs, targets):
        raise DataError(
            "the labels do not fit cross-entropy",
            got=f"{targets.dtype} {tuple(targets.shape)} from {int(targets.min())} to {int(targets.max())}",
            allowed=f"class numbers 0 to {shape[1] - 1}" if len(shape) > 1 else "class scores (N, C)",
            next_step="use --loss none, or --loss module:function",
        )
    if name in ("mse", "l1") and targets.shape != shape:
        raise DataError(
            f"the labels do not fit {name}",
            got=tuple(targets.shape),
            allowed=tuple(shape),
            next_step="use --loss none, or --loss module:function",
        )
    return NAMED[name]


@dataclass(frozen=True)
class Distillation:
    """Distance of the student's outputs from the teacher's.

    Attributes:
        classifier: class scores along axis 1 of the one output: Kullback-Leibler; else mean squared error.
        temperature: T of the formula above.
    """

    classifier: bool
    temperature: float = 4.0

    def __call__(self, student: Any, teacher: Any) -> Tensor:
        """A scalar; for several outputs the mean of each one's mean squared error over its power."""
        ours, theirs = tensors(student), tensors(teacher)
        if self.classifier:
            t = self.temperature
            wanted = functional.log_softmax(log_scores(theirs[0]) / t, dim=1)
            got = functional.log_softmax(log_scores(ours[0]) / t, dim=1)
            each = functional.kl_div(got, wanted, reduction="none", log_target=True).sum(1)
            return each.mean() * t * t
        parts = [
            functional.mse_loss(a, b) / b.detach().pow(2).mean().clamp_min(1e-12)
            for a, b in zip(ours, theirs, strict=True)
        ]
        return torch.stack(parts).mean()
