"""Keyword networks: factories return the module in evaluation mode and its example inputs.

Two layers of 64 gated recurrent units (Cho et al., arXiv:1406.1078) over 49 frames of 40 log-mel features,
and ten scores from the last step: the shape of the GRU network of Zhang et al., "Hello Edge",
arXiv:1711.07128, section 4.3, with one layer more.
"""

from __future__ import annotations

from pathlib import Path

import torch
from examples.keywords.features import BANDS, FRAMES
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("weights")
"""Shipped weights, float16."""

UNITS, LAYERS, DIGITS = 64, 2, 10

Pressable = tuple[nn.Module, tuple[Tensor]]
"""What a factory returns: the module in evaluation mode, and its example inputs."""


class Keywords(nn.Module):
    """A stack of gated recurrent units, read at its last step."""

    def __init__(self, bands: int = BANDS, units: int = UNITS, layers: int = LAYERS) -> None:
        super().__init__()
        self.cells = nn.GRU(bands, units, layers, batch_first=True)
        self.scores = nn.Linear(units, DIGITS)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, frames, bands) to scores of the digits (N, 10)."""
        heard, _ = self.cells(x)
        scores: Tensor = self.scores(heard[:, -1])
        return scores


def load(path: Path | None = None) -> Keywords:
    """The network with trained weights, in evaluation mode.

    Args:
        path: A .safetensors file, float16 or float32; the shipped one by default.
    """
    network = Keywords()
    saved = load_file(path or WEIGHTS / "keywords.safetensors")
    network.load_state_dict({key: value.float() for key, value in saved.items()})
    return network.eval()


def keywords() -> Pressable:
    """The network trained on spoken digits, for a second of sound."""
    ramp = torch.linspace(-1, 1, FRAMES * BANDS).reshape(1, FRAMES, BANDS)
    return load(), (ramp,)
