"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, ReLU6 for swish.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
arXiv:1905.11946, Table 1, as changed for mobile processors by its authors in the EfficientNet-Lite release
(tensorflow/tpu, models/official/efficientnet/lite).
"""

from __future__ import annotations

from torch import nn

from pocketpress.zoo.mobilenet_v2 import Stage, of_stages

STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 40, 2, 2, kernel=5),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1, kernel=5),
    Stage(6, 192, 4, 2, kernel=5),
    Stage(6, 320, 1, 1),
)


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network; its blocks are MobileNetV2's, with other kernels."""
    return of_stages(STAGES, width, size, classes)
