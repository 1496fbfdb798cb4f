"""What fine-tuning and loss-based importance minimise: the user's loss, or one that suits the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.compress.distill.examples import Examples
from pocketpress.compress.distill.losses import TaskLoss, is_classifier, resolve_loss, tensors
from pocketpress.core.errors import DataError, PocketpressError, UserError
from pocketpress.data.metrics import Metric
from pocketpress.data.user_code import find_function, is_function_name, reason
from pocketpress.pipeline.shrink_options import ShrinkOptions, loss_name

SCORED = {"taylor": (16, 32), "hessian": (128, 1)}
"""Batches, and samples a batch, that loss-based importance sees."""
CLASSIFYING = ("top1", "top5", "agreement")


def choose_loss(
    options: ShrinkOptions, network: nn.Module, examples: Examples, metric: Metric | None
) -> tuple[TaskLoss | None, bool]:
    """The task loss, and whether the output is class scores.

    Raises:
        DataError: labels are missing or do not fit.
        UserError: the loss does not exist, fails, or is no number.
    """
    if len(examples) < 2:
        raise DataError("too few fine-tuning samples", got=len(examples), allowed="at least 2")
    rows = _telling_rows(examples.targets)
    labels = examples.labels(rows)
    outputs = _forward(network, examples.batch(rows))
    loss = task_loss_of(options.loss, outputs, labels)
    if loss is None and options.prunes and options.importance in SCORED:
        raise DataError(
            f"importance {options.importance} needs labels, and the fine-tuning data has none",
            next_step="give labelled data, or use --importance magnitude",
        )
    named = metric is not None and metric.name.partition(":")[0] in CLASSIFYING
    scores = len(tensors(outputs)) == 1 and tensors(outputs)[0].ndim == 2
    return loss, is_classifier(outputs, labels) or (named and scores)


@torch.no_grad()
def _forward(network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    try:
        return network(*inputs)
    except (RuntimeError, ValueError) as error:
        raise DataError(
            "the network fails on a batch of fine-tuning samples",
            got=reason(error)[:200],
            next_step="let forward take any batch size, not that of the example input alone",
        ) from error


def _telling_rows(targets: Tensor | None) -> Tensor:
    """Two samples, and those with the least and largest label."""
    rows = [0, 1]
    if targets is not None and targets.ndim == 1:
        rows += [int(targets.argmin()), int(targets.argmax())]
    return torch.tensor(rows)


def task_loss_of(loss: str | TaskLoss, outputs: Any, labels: Tensor | None) -> TaskLoss | None:
    """The task loss that a name or a user's function stands for; None to learn from the teacher alone."""
    if isinstance(loss, str) and not (":" in loss and is_function_name(loss)):
        return resolve_loss(loss, outputs, labels)
    return _user_loss(loss, outputs, labels)


def _user_loss(given: str | TaskLoss, outputs: Any, labels: Tensor | None) -> TaskLoss:
    spec = loss_name(given)
    if labels is None:
        raise DataError(
            f"--loss {spec} needs labels, and the fine-tuning data has none", next_step="give labelled data"
        )
    function: TaskLoss = find_function(given, UserError) if isinstance(given, str) else given
    try:
        value = function(outputs, labels)
    except PocketpressError:
        raise
    except Exception as error:  # the user's function may raise anything
        raise UserError(f"--loss {spec} fails", got=reason(error)) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"--loss {spec} gives no single number", got=got, allowed="a tensor of one element")
    return function


def scoring_batches(
    examples: Examples, importance: str, seed: int
) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """Random labelled batches, in the sizes that an importance wants."""
    count, size = SCORED[importance]
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    for rows in torch.split(order[: count * size], size):
        labels = examples.labels(rows)
        assert labels is not None
        yield examples.batch(rows), labels
