"""Networks to press: factories return the module in evaluation mode and its example inputs.

All take RGB pixels in [0, 1]; the CIFAR-10 ones return 10 class scores for (1, 3, 32, 32). The trained ones
load the weights beside this file. `mobilenet_v2` follows Sandler et al., arXiv:1801.04381; `resnet8` and
`resnet20` follow He et al., arXiv:1512.03385, section 4.2, with projection shortcuts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("weights")
"""Shipped weights, float16: one .safetensors file per trained factory."""

Pressable = tuple[nn.Module, tuple[Tensor]]
"""What a factory returns: the module in evaluation mode, and its example inputs."""


@dataclass(frozen=True)
class Stage:
    """A row of Table 2 of arXiv:1801.04381: `repeats` blocks, the first one with `stride`."""

    expansion: int
    channels: int
    repeats: int
    stride: int


IMAGENET_STAGES: Sequence[Stage] = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
FULL_CIFAR_STAGES: Sequence[Stage] = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 1),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 1),
    Stage(6, 320, 1, 1),
)
"""All 17 blocks of the ImageNet network, with two strides fewer for images of 32 pixels."""
CIFAR_STAGES: Sequence[Stage] = (
    Stage(1, 16, 1, 1),
    Stage(4, 24, 2, 1),
    Stage(4, 40, 3, 2),
    Stage(4, 80, 3, 2),
)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (3x3), project (1x1, no activation); add the input if it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [*_conv(inputs, hidden, 1), nn.ReLU6()]
        layers += [*_conv(hidden, hidden, 3, stride, hidden), nn.ReLU6(), *_conv(hidden, outputs, 1)]
        self.block = nn.Sequential(*layers)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.adds_input else y


class MobileNetV2(nn.Module):
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
        super().__init__()
        channels = _scaled(stem, width)
        layers: list[nn.Module] = [*_conv(3, channels, 3, stem_stride), nn.ReLU6()]
        for stage in stages:
            for repeat in range(stage.repeats):
                outputs = _scaled(stage.channels, width)
                stride = stage.stride if repeat == 0 else 1
                layers.append(InvertedResidual(channels, outputs, stride, stage.expansion))
                channels = outputs
        last = _scaled(last, max(width, 1.0))
        self.features = nn.Sequential(*layers, *_conv(channels, last, 1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) to class scores (N, classes)."""
        scores: Tensor = self.classifier(torch.flatten(self.pool(self.features(x)), 1))
        return scores


def _scaled(channels: int, width: float) -> int:
    """Channels times width, a multiple of 8 that is at least 90 % of it (the paper's rounding)."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: the input, or a strided 1x1 convolution of it if shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*_conv(inputs, outputs, 3, stride), nn.ReLU(), *_conv(outputs, outputs, 3))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: Tensor = functional.relu(self.block(x) + self.shortcut(x))
        return y


class ResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels with `blocks` blocks: 1, 3 and 9 for ResNet-8, -20 and -56."""

    def __init__(self, blocks: int, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_conv(3, 16, 3), nn.ReLU()]
        channels = 16
        for outputs, stride in ((16, 1), (32, 2), (64, 2)):
            for repeat in range(blocks):
                layers.append(BasicBlock(channels, outputs, stride if repeat == 0 else 1))
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) to class scores (N, classes)."""
        scores: Tensor = self.classifier(torch.flatten(self.pool(self.features(x)), 1))
        return scores


UNTRAINED: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v2": lambda: MobileNetV2(CIFAR_STAGES, stem=24, stem_stride=2, last=160, classes=10),
    "resnet8": lambda: ResNet(blocks=1),
    "resnet20": lambda: ResNet(blocks=3),
    "resnet56": lambda: ResNet(blocks=9),
    "mobilenet_v2_full": lambda: MobileNetV2(FULL_CIFAR_STAGES, 32, 2, last=1280, classes=10),
}
"""The CIFAR-10 networks without weights, by the name of their factory."""


def load(name: str, path: Path | None = None) -> nn.Module:
    """A CIFAR-10 network with trained weights, in evaluation mode.

    Args:
        name: A key of `UNTRAINED`.
        path: A .safetensors file, float16 or float32; the shipped one by default.
    """
    network = UNTRAINED[name]()
    saved = load_file(path or WEIGHTS / f"{name}.safetensors")
    missing, unexpected = network.load_state_dict(
        {key: value.float() for key, value in saved.items()}, strict=False
    )
    lost = [key for key in missing if not key.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise ValueError(f"{name}: the weights lack {lost} and have {unexpected} too many; train them again")
    return network.eval()


def _cifar_example() -> tuple[Tensor]:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    return (ramp.contiguous(),)


def mobilenet_v2() -> Pressable:
    """A narrow MobileNetV2 trained on CIFAR-10."""
    return load("mobilenet_v2"), _cifar_example()


def mobilenet_v2_full() -> Pressable:
    """MobileNetV2 of full width and depth trained on CIFAR-10."""
    return load("mobilenet_v2_full"), _cifar_example()


def resnet8() -> Pressable:
    """ResNet-8 trained on CIFAR-10."""
    return load("resnet8"), _cifar_example()


def resnet20() -> Pressable:
    """ResNet-20 trained on CIFAR-10."""
    return load("resnet20"), _cifar_example()


def resnet56() -> Pressable:
    """ResNet-56 trained on CIFAR-10."""
    return load("resnet56"), _cifar_example()


def mobilenet_v2_imagenet(width: float = 1.0) -> Pressable:
    """The standard MobileNetV2 for 224 pixels and 1000 classes, with seeded random weights: for timing only.

    Its batch-norms hold the statistics of a few seeded images of smooth noise, so that activations have the
    ranges of a trained network's and do not fade from layer to layer; its answers mean nothing.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MobileNetV2(IMAGENET_STAGES, stem=32, stem_stride=2, last=1280, classes=1000, width=width)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    noise = sum(
        functional.interpolate(
            torch.rand(8, 3, cells, cells, generator=generator), (224, 224), mode="bilinear"
        )
        for cells in (2, 7, 28, 112)
    )
    with torch.no_grad():
        network.train()(noise / 4)
    return network.eval(), (torch.rand(1, 3, 224, 224, generator=generator),)
