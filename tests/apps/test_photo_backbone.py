"""Pretrained convolutions are read and reproduced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from apps.photo.network import MOBILENET, PhotoEncoder
from torch import nn

BACKBONE = (
    Path(os.environ.get("POCKETPRESS_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "mobilenet"
    / "mobilenet_v1_0.25_128_quant.tflite"
)


@pytest.mark.skipif(
    not BACKBONE.is_file(), reason="needs the MobileNetV1 of the benchmark data ($POCKETPRESS_DATA)"
)
def test_encoder_computes_the_pretrained_features() -> None:
    pytest.importorskip("ai_edge_litert")
    from apps.photo.backbone import read_convolutions, start_from

    weights = read_convolutions(BACKBONE)
    assert len(weights) == 28  # a stem, 13 blocks of two, and the classifier
    torch.manual_seed(0)
    samples = torch.rand(2, 3, 64, 64)
    network = PhotoEncoder(layout=MOBILENET)
    start_from(network, BACKBONE, samples)
    with torch.no_grad():
        x = samples * 2 - 1
        for convolution, (weight, bias) in zip(
            (m for m in network.features if isinstance(m, nn.Conv2d)), weights, strict=False
        ):
            padding = convolution.padding
            if (
                weight.shape[1] == 3
            ):  # [-1, 1] would pad with mid-grey what the merged scaling pads with black
                x = nn.functional.pad(x, (1, 1, 1, 1), value=-1)
                padding = (0, 0)
            x = nn.functional.conv2d(x, weight, bias, convolution.stride, padding, groups=convolution.groups)
            x = x.clamp(0, 6)
        found = network.features(samples)
    assert float((found - x).abs().max()) < 2e-3 * float(x.max())
