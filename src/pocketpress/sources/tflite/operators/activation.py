"""The activation that an operator applies to its own result."""

from __future__ import annotations

from collections.abc import Callable, Container

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call

FUSED: dict[int, Callable[[Tensor], Tensor]] = {
    0: lambda x: x,
    1: F.relu,
    2: lambda x: torch.clamp(x, -1.0, 1.0),
    3: F.relu6,
}
"""ActivationFunctionType of the schema: NONE, RELU, RELU_N1_TO_1, RELU6; LiteRT's kernels ignore TANH."""
NONE = 0


def activated(call: Call, y: Tensor, allowed: Container[int] = FUSED) -> Tensor:
    """The result with the fused activation of the operator."""
    kind = int(call.attribute("fusedActivationFunction", 0))
    if kind not in allowed:
        raise call.refuse("fused activation", kind, "NONE" if allowed is not FUSED else sorted(FUSED))
    return FUSED[kind](y)
