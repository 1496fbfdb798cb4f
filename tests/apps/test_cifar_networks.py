"""The example networks: shapes, and answers that depend on what the network sees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from examples.cifar import networks
from examples.cifar.networks import WEIGHTS
from safetensors.torch import save_file

from pocketpress.zoo.mobilenet_v2 import InvertedResidual, MobileNetV2, Stage

TRAINED = ["mobilenet_v2", "mobilenet_v2_full", "resnet8", "resnet20", "resnet56"]


@pytest.mark.parametrize("name", TRAINED)
def test_trained_factories_answer_to_their_input(name: str) -> None:
    network, (example,) = getattr(networks, name)()
    assert not network.training
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        scores = network(example)
        noise = torch.cat([network(torch.rand(1, 3, 32, 32, generator=generator)) for _ in range(4)])
        dark, bright = network(torch.zeros(1, 3, 32, 32)), network(torch.ones(1, 3, 32, 32))
    assert scores.shape == (1, 10)
    assert torch.isfinite(noise).all()
    assert (dark - bright).abs().max() > 1
    assert (noise - scores).abs().max() > 1


@pytest.mark.parametrize("name", TRAINED)
def test_shipped_weights_are_small(name: str) -> None:
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 5e6


@pytest.mark.parametrize(("name", "depth"), [("resnet20", 20), ("resnet56", 56)])
def test_residual_networks_have_the_published_depth(name: str, depth: int) -> None:
    network, (example,) = getattr(networks, name)()
    convolutions = [
        m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert len(convolutions) + 1 == depth
    assert network(example).shape == (1, 10)


@pytest.mark.slow
def test_imagenet_network_has_the_published_size_and_steady_activations() -> None:
    network, (example,) = networks.mobilenet_v2_imagenet()
    assert sum(p.numel() for p in network.parameters()) == 3_504_872
    again, _ = networks.mobilenet_v2_imagenet()
    with torch.no_grad():
        scores = network(example)
        assert torch.equal(scores, again(example))
    assert scores.shape == (1, 1000)
    assert 0.05 < float(scores.std()) < 10


def test_blocks_add_their_input_only_where_it_fits() -> None:
    assert InvertedResidual(8, 8, 1, 4).adds_input
    assert not InvertedResidual(8, 8, 2, 4).adds_input
    assert not InvertedResidual(8, 16, 1, 4).adds_input


def test_width_is_rounded_to_multiples_of_8() -> None:
    network = MobileNetV2([Stage(1, 16, 1, 1)], stem=32, stem_stride=2, last=64, classes=5, width=0.35)
    channels = [m.out_channels for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert channels[0] == 16  # 11.2 rounds to 8, which is less than 90 % of it
    assert channels[-1] == 64


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"classifier.weight": torch.zeros(10, 64)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="resnet8: the weights lack"):
        networks.load("resnet8", tmp_path / "w.safetensors")
