"""The keyword network with its scores after every step, for ten seconds of sound."""

from __future__ import annotations

import torch
from examples.keywords.features import BANDS, FRAMES
from examples.keywords.networks import Keywords, Pressable, load
from torch import Tensor, nn

RECORDINGS = 10


class EveryStep(nn.Module):
    """Scores after every step."""

    def __init__(self, network: Keywords) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, frames, bands) to scores (N, frames, digits)."""
        heard, _ = self.network.cells(x)
        scores: Tensor = self.network.scores(heard)
        return scores


def every_step() -> Pressable:
    """Ten recordings in a row."""
    return EveryStep(load()).eval(), (
        torch.linspace(-1, 1, RECORDINGS * FRAMES * BANDS).reshape(1, -1, BANDS),
    )
