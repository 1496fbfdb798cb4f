"""The encoder: a thumbnail in, the blend weights of the colour tables out.

A MobileNetV1 (Howard et al., arXiv:1704.04861) of width 0.25 made only of convolutions, ReLU6, one average
pool and two linear layers, so that every mobile runtime has integer kernels for all of it. Two changes make
it fast on a phone: it takes pixels as a camera stores them, channels last, and its first layers (8 and 16
channels at 128 x 128, where int8 kernels win nothing) are one 4 x 4 patch convolution to 32 channels. Its
last stage pads nothing, so that the pool averages 7 x 7 positions, an odd number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from apps.photo.thumbnail import THUMBNAIL_PIXELS
from safetensors.torch import load_file
from torch import Tensor, nn

TABLES = 20
"""K: learned tables, and numbers that the network predicts."""

WEIGHTS = Path(__file__).with_name("weights") / "encoder.safetensors"
"""The shipped weights, float16 on disk."""

_HIDDEN = 128


@dataclass(frozen=True)
class Layout:
    """The convolutions of an encoder.

    Attributes:
        stem: output channels, kernel, stride and padding of the first convolution.
        blocks: output channels, stride and padding of each depthwise-separable block.
    """

    stem: tuple[int, int, int, int]
    blocks: Sequence[tuple[int, int, int]]


_REST = ((32, 1, 1), (64, 2, 1), (64, 1, 1), (128, 2, 1), *((128, 1, 1),) * 5, (256, 2, 0), (256, 1, 1))

MOBILENET = Layout((8, 3, 2, 1), ((16, 1, 1), (32, 2, 1), *_REST))
"""As published, for the first stage of training: it can start from pretrained weights."""

PATCHES = Layout((32, 4, 4, 0), _REST)
"""As shipped: the same network behind a patch stem."""


def _conv(inputs: int, outputs: int, kernel: int, stride: int, padding: int, groups: int) -> list[nn.Module]:
    """Convolution, batch-norm and ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs, momentum=0.05), nn.ReLU6()]


class PhotoEncoder(nn.Module):
    """Thumbnails of shape (N, 256, 256, 3) in [0, 1] to blend weights of shape (N, tables)."""

    def __init__(self, tables: int = TABLES, layout: Layout = PATCHES) -> None:
        super().__init__()
        channels, kernel, stem_stride, stem_padding = layout.stem
        layers = _conv(3, channels, kernel, stem_stride, stem_padding, 1)
        for outputs, stride, padding in layout.blocks:
            layers += _conv(channels, channels, 3, stride, padding, channels)
            layers += _conv(channels, outputs, 1, 1, 0, 1)
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(channels, _HIDDEN), nn.ReLU6(), nn.Linear(_HIDDEN, tables))

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Predict the blend weights."""
        images = thumbnails.permute(0, 3, 1, 2)
        weights: Tensor = self.head(torch.flatten(self.pool(self.features(images)), 1))
        return weights


def load_encoder(path: Path = WEIGHTS) -> PhotoEncoder:
    """Build the encoder with weights from a safetensors file (float16 or float32), in evaluation mode."""
    network = PhotoEncoder()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()}, strict=False)
    return network.eval()


def factory() -> tuple[PhotoEncoder, tuple[Tensor]]:
    """The trained encoder in evaluation mode, and an example input: a grey ramp of shape (1, 256, 256, 3)."""
    ramp = torch.linspace(0, 1, THUMBNAIL_PIXELS).reshape(1, 1, THUMBNAIL_PIXELS, 1)
    return load_encoder(), (ramp.expand(1, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, 3).contiguous(),)
