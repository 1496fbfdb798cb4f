"""MobileNetV2 1.0 at 224 pixels (Sandler et al., arXiv:1801.04381) with data-dependent initialisation.

No pretrained weights can be had offline.  `initialised` draws seeded He weights and takes the statistics of
every batch-norm from photos, so that activations have the spread of a trained network's and the answers
depend on the picture.  The answers mean nothing as classes; the network serves for speed, size and the error
that quantisation adds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketpress.zoo.mobilenet_v2 import IMAGENET_STAGES, MobileNetV2

SIDE = 224
CLASSES = 1000


def mobilenet_v2_224() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network without weights, in evaluation mode; input (1, 3, 224, 224), normalised pixels."""
    network = MobileNetV2(IMAGENET_STAGES, stem=32, stem_stride=2, last=1280, classes=CLASSES)
    return network.eval(), (torch.zeros(1, 3, SIDE, SIDE),)


def initialised(photos: Tensor, seed: int = 0) -> nn.Module:
    """He weights (fan in), batch-norm statistics of ``photos``, in evaluation mode.

    Args:
        photos: normalised pixels, shape (N, 3, 224, 224).
        seed: of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network, _ = mobilenet_v2_224()
        for layer in network.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
    with torch.no_grad():
        network.train()(photos)
    return network.eval()
