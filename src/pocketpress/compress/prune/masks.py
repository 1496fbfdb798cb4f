"""Weight masks: W_ij = 0 where pruned, the shapes unchanged.

Two forms, both by magnitude (Han et al., "Learning both Weights and Connections", NIPS 2015,
arXiv:1506.02626; N:M as in Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021,
arXiv:2104.08378):

* ``50%``: in every layer, the half of the weights with the least magnitude;
* ``2:4``: of every 4 neighbours along a filter's inputs, the 2 largest stay.

No runtime here executes such a mask faster: it saves bytes after compression, nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pocketpress.core.errors import UserError

MASKED = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class MaskRule:
    """Which weights go: a share of each layer, or all but ``keep`` of every ``of`` neighbours."""

    share: float | None = None
    keep: int = 0
    of: int = 0


def parse_mask(text: str) -> MaskRule:
    """``50%`` or ``2:4``.

    Raises:
        UserError: neither form, or a share or count without sense.
    """
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text)) and 0 < float(match[1]) < 100:
        return MaskRule(share=float(match[1]) / 100)
    if (match := re.fullmatch(r"(\d{1,3}):(\d{1,3})", text)) and 0 < int(match[1]) < int(match[2]):
        return MaskRule(keep=int(match[1]), of=int(match[2]))
    raise UserError("not a mask", got=text, allowed=["50%", "2:4"])


def make_mask(weight: Tensor, rule: MaskRule) -> Tensor:
    """1 where a weight stays and 0 where it goes, in the weight's shape.

    Args:
        weight: (outputs, inputs, ...); neighbours are taken along the inputs of one filter tap.
        rule: a trailing rest of fewer than ``of`` neighbours stays whole.
    """
    size = weight.abs()
    if rule.share is not None:
        gone = int(weight.numel() * rule.share)
        mask = torch.ones(weight.numel())
        mask[size.reshape(-1).argsort(stable=True)[:gone]] = 0
        return mask.reshape(weight.shape)
    rows = size.movedim(1, -1)
    whole = rows.shape[-1] // rule.of * rule.of
    blocks = rows[..., :whole].reshape(*rows.shape[:-1], -1, rule.of)
    least = blocks.argsort(dim=-1, stable=True)[..., : rule.of - rule.keep]
    kept = torch.ones_like(blocks).scatter(-1, least, 0.0).flatten(-2)
    mask = torch.ones_like(rows)
    mask[..., :whole] = kept
    return mask.movedim(-1, 1)


def apply_masks(network: nn.Module, rule: MaskRule) -> dict[str, Tensor]:
    """Mask every convolution and linear layer in place; returns the masks by parameter name.

    Depthwise convolutions have too few weights a filter to spare and stay whole.

    Raises:
        UserError: there is nothing to mask.
    """
    masks = {}
    for name, module in network.named_modules():
        if not isinstance(module, MASKED) or module.weight.shape[1] < max(2, rule.of):
            continue
        mask = make_mask(module.weight.detach(), rule)
        with torch.no_grad():
            module.weight.mul_(mask)
        masks[f"{name}.weight" if name else "weight"] = mask
    if not masks:
        raise UserError("the network has no weights to mask", next_step="press it without --mask")
    return masks


def sparsity(network: nn.Module) -> float:
    """Share of zeros among the weights of convolutions and linear layers."""
    weights = [m.weight.detach() for m in network.modules() if isinstance(m, MASKED)]
    return sum(int((w == 0).sum()) for w in weights) / max(1, sum(w.numel() for w in weights))
