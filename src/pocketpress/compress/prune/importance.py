"""How much each channel matters.

Four scores, all summed over the layers that a unit couples by Torch-Pruning:

* ``magnitude``: sum of squared weights (Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017,
  arXiv:1608.08710, with the 2-norm), divided by its mean over the unit so that units compare;
* ``bn-scale``: |gamma| of the batch-norm (Liu et al., "Network Slimming", ICCV 2017, arXiv:1708.06519);
* ``taylor``: sum of |w dL/dw| (Molchanov et al., CVPR 2019, arXiv:1906.10771, eq. (8) without the square);
* ``hessian``: sum of w^2 E[(dL/dw)^2], the diagonal Fisher form of Optimal Brain Damage (LeCun et al.,
  NIPS 1989, eq. (5) without the factor 1/2).

The last two are changes of the loss, and are compared per multiply-accumulate saved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pocketpress.compress.prune.graph import engine, groups, trace
from pocketpress.core.errors import UserError

IMPORTANCES = ("magnitude", "bn-scale", "taylor", "hessian")
LOSS_BASED = ("taylor", "hessian")

Batch = tuple[tuple[Tensor, ...], Tensor]
Loss = Callable[[Any, Tensor], Tensor]


def channel_scores(
    network: nn.Module,
    examples: tuple[Any, ...],
    importance: str,
    batches: Iterable[Batch] = (),
    loss: Loss | None = None,
    roots: Collection[str] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Scores (C,) by root layer; a unit without such a score (no batch-norm) is left out.

    Args:
        network: in evaluation mode, which it stays in.
        examples: inputs to trace with.
        importance: one of `IMPORTANCES`.
        batches: labelled batches, for the loss-based scores; ``hessian`` wants batches of one sample.
        loss: of outputs and targets, a scalar.
        roots: score these units alone; the library stumbles over some that cannot be pruned anyway.

    Raises:
        UserError: unknown importance, or a loss-based one without labelled data.
    """
    library = engine().importance
    if importance not in IMPORTANCES:
        raise UserError("unknown importance", got=importance, allowed=IMPORTANCES)
    graph = trace(network, examples)
    if importance in LOSS_BASED:
        _gradients(network, batches, loss, importance)
    scorers = {
        "magnitude": lambda: library.GroupMagnitudeImportance(p=2, normalizer="mean"),
        "bn-scale": library.BNScaleImportance,
        "taylor": lambda: library.GroupTaylorImportance(normalizer=None),
        "hessian": lambda: library.GroupHessianImportance(normalizer=None),
    }
    scorer = scorers[importance]()
    try:
        found = {root: scorer(group) for root, group in groups(graph) if roots is None or root in roots}
    finally:
        network.zero_grad(set_to_none=True)
    return {r: s.detach().cpu().double().numpy() for r, s in found.items() if s is not None}


def _gradients(network: nn.Module, batches: Iterable[Batch], loss: Loss | None, importance: str) -> None:
    """Leave in ``grad`` the mean gradient, or for ``hessian`` the mean squared gradient.

    The squares are summed here: the library's own accumulation keeps those of the last sample alone.
    """
    if loss is None:
        raise UserError(
            f"importance {importance} needs labelled data",
            next_step="give --finetune data with labels, or use --importance magnitude",
        )
    owned = [p for p in network.parameters() if p.is_floating_point()]
    sums = [torch.zeros_like(p) for p in owned]
    count = 0
    before = [p.requires_grad for p in owned]
    for parameter in owned:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        for inputs, targets in batches:
            network.zero_grad(set_to_none=True)
            loss(network(*inputs), targets).backward()  # type: ignore[no-untyped-call]
            count += 1
            for total, parameter in zip(sums, owned, strict=True):
                if parameter.grad is not None:
                    total += parameter.grad**2 if importance == "hessian" else parameter.grad
    if count == 0:
        raise UserError(f"importance {importance} needs at least one batch of labelled data")
    for parameter, total, wanted in zip(owned, sums, before, strict=True):
        parameter.grad = total / count
        parameter.requires_grad_(wanted)
