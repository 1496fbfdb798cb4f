"""Networks to press: factories return the module in evaluation mode and its example inputs.

All take RGB pixels in [0, 1]; the CIFAR-10 ones return 10 class scores for (1, 3, 32, 32). The trained ones
load the weights beside this file. The architectures are those of `pocketpress.zoo`; MobileNetV2 has stages of
its own here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from pocketpress.zoo.mobilenet_v2 import IMAGENET_STAGES, MobileNetV2, Stage
from pocketpress.zoo.resnet import ResNet

WEIGHTS = Path(__file__).with_name("weights")
"""Shipped weights, float16: one .safetensors file per trained factory."""

Pressable = tuple[nn.Module, tuple[Tensor]]
"""What a factory returns: the module in evaluation mode, and its example inputs."""


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
