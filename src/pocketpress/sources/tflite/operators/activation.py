"""The activation that an operator applies to its own result."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pocketpress.sources.steps.call import Call

FUSED: dict[int, Callable[[Tensor], Tensor]] = {
    0: lambda x: x,
    1: F.relu,
    2: lambda x: torch.clamp(x, -1.0, 1.0),
    3: F.relu6,
    4: torch.tanh,
}
"""ActivationFunctionType of the schema: NONE, RELU, RELU_N1_TO_1, RELU6, TANH."""


def activated(call: Call, y: Tensor) -> Tensor:
    """The result with the fused activation of the operator."""
    kind = int(call.attribute("fusedActivationFunction", 0))
    if kind not in FUSED:
        raise call.refuse("fused activation", kind, sorted(FUSED))
    return FUSED[kind](y)
