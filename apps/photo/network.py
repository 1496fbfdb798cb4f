"""The encoder: a thumbnail in, the blend weights of the colour tables out.

A MobileNetV1 (Howard et al., arXiv:1704.04861) of width 0.25 made only of convolutions, ReLU6, one average
pool and two linear layers, so that every mobile runtime has integer kernels for all of it. Its last stage
pads nothing, so that the pool averages 7 x 7 positions, an odd number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from apps.photo.thumbnail import THUMBNAIL_PIXELS
from safetensors.torch import load_file
from torch import Tensor, nn

TABLES = 20
"""K: learned tables, and numbers that the network predicts."""

WEIGHTS = Path(__file__).with_name("weights") / "encoder.safetensors"
"""The shipped weights, float16 on disk."""

# (output channels, stride, padding) of the depthwise-separable blocks of MobileNetV1 0.25
_BLOCKS: Sequence[tuple[int, int, int]] = (
    (16, 1, 1),
    (32, 2, 1),
    (32, 1, 1),
    (64, 2, 1),
    (64, 1, 1),
    (128, 2, 1),
    *((128, 1, 1),) * 5,
    (256, 2, 0),
    (256, 1, 1),
)
_STEM_CHANNELS = 8
_HIDDEN = 128


def _conv(inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int) -> list[nn.Module]:
    """Convolution, batch-norm and ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs, momentum=0.05), nn.ReLU6()]


class PhotoEncoder(nn.Module):
    """Thumbnails of shape (N, 3, 256, 256) in [0, 1] to blend weights of shape (N, tables)."""

    def __init__(self, tables: int = TABLES) -> None:
        super().__init__()
        layers = _conv(3, _STEM_CHANNELS, 3, 2, 1, 1)
        channels = _STEM_CHANNELS
        for outputs, stride, padding in _BLOCKS:
            layers += _conv(channels, channels, 3, stride, padding, channels)
            layers += _conv(channels, outputs, 1, 1, 0, 1)
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(channels, _HIDDEN), nn.ReLU6(), nn.Linear(_HIDDEN, tables))

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Predict the blend weights."""
        weights: Tensor = self.head(torch.flatten(self.pool(self.features(thumbnails)), 1))
        return weights


def load_encoder(path: Path = WEIGHTS) -> PhotoEncoder:
    """Build the encoder with weights from a safetensors file (float16 or float32), in evaluation mode."""
    network = PhotoEncoder()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()}, strict=False)
    return network.eval()


def factory() -> tuple[PhotoEncoder, tuple[Tensor]]:
    """The trained encoder in evaluation mode, and an example input: a grey ramp of shape (1, 3, 256, 256)."""
    ramp = torch.linspace(0, 1, THUMBNAIL_PIXELS).expand(1, 3, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
    return load_encoder(), (ramp.contiguous(),)
