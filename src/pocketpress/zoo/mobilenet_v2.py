"""MobileNetV2: inverted residuals with linear bottlenecks.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, Table 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from pocketpress.zoo.layers import Classifier, conv_norm, fewer_strides, rounded

STEM, LAST = 32, 1280


@dataclass(frozen=True)
class Stage:
    """A row of Table 2: `repeats` blocks, the first one with `stride`."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int = 3


IMAGENET_STAGES: Sequence[Stage] = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel, project (1x1, no activation); add the input if it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int = 3) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [*conv_norm(inputs, hidden, 1), nn.ReLU6()]
        layers += [*conv_norm(hidden, hidden, kernel, stride, hidden), nn.ReLU6()]
        self.block = nn.Sequential(*layers, *conv_norm(hidden, outputs, 1))
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds_input else y


class MobileNetV2(Classifier):
    """MobileNetV2 with any stages; `width` scales all channels, rounded to multiples of 8."""

    def __init__(
        self,
        stages: Sequence[Stage],
        stem: int,
        stem_stride: int,
        last: int,
        classes: int,
        width: float = 1.0,
    ) -> None:
        channels = rounded(stem, width)
        layers: list[nn.Module] = [*conv_norm(3, channels, 3, stem_stride), nn.ReLU6()]
        for stage in stages:
            outputs = rounded(stage.channels, width)
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                layers.append(InvertedResidual(channels, outputs, stride, stage.expansion, stage.kernel))
                channels = outputs
        last = rounded(last, max(width, 1.0))
        features = nn.Sequential(*layers, *conv_norm(channels, last, 1), nn.ReLU6())
        super().__init__(features, last, classes)


def of_stages(stages: Sequence[Stage], width: float, size: int, classes: int) -> MobileNetV2:
    """A network for images of ``size`` pixels."""
    stem_stride, *strides = fewer_strides((2, *(stage.stride for stage in stages)), size)
    fitted = [replace(stage, stride=stride) for stage, stride in zip(stages, strides, strict=True)]
    return MobileNetV2(fitted, STEM, stem_stride, LAST, classes, width)


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network of Table 2."""
    return of_stages(IMAGENET_STAGES, width, size, classes)
