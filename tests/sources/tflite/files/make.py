"""How the files beside this were made, with litert-torch 0.10 (it takes 20 s, so tests read the files).

python tests/sources/tflite/files/make.py
"""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from torch import nn

HERE = Path(__file__).parent


class Attention(nn.Module):
    """A transformer layer and an upsampled image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu")
        self.wider = nn.ConvTranspose2d(4, 6, 2, 2)
        self.larger = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means of tokens, and the image."""
        return self.layer(x).mean(1), self.larger(nn.functional.leaky_relu(self.wider(y), 0.1))


def vision() -> nn.Module:
    """Convolutions, pooling, resizing, a normalised head."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.Hardswish(), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, groups=8), nn.SiLU(), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), nn.LayerNorm(4), nn.Softmax(1),
    )  # fmt: skip


if __name__ == "__main__":
    litert_torch.convert(vision().eval(), (torch.rand(1, 3, 16, 16),)).export(HERE / "vision.tflite")
    inputs = (torch.rand(1, 5, 16), torch.rand(1, 4, 6, 6))
    litert_torch.convert(Attention().eval(), inputs).export(HERE / "attention.tflite")
