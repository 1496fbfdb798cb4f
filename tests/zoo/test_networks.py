"""The networks: as large as published, of the shapes they promise, and differing where they should."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketpress.compress.prune.macs import count, parameters
from pocketpress.zoo.build import build, example, noise, settle
from pocketpress.zoo.cards import CARDS
from pocketpress.zoo.layers import fewer_strides, rounded
from pocketpress.zoo.names import parse
from pocketpress.zoo.shufflenet_v2 import shuffled

PUBLISHED = {
    # torchvision's counts
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032,
    "mobilenet_v3_small": 2_542_856,
    "shufflenet_v2,width=0.5": 1_366_792,
    "shufflenet_v2": 2_278_604,
    "shufflenet_v2,width=1.5": 3_503_624,
    "shufflenet_v2,width=2": 7_393_996,
    "squeezenet": 1_235_496,
    # Keras' trainable counts; MLPerf Tiny's for DS-CNN
    "mobilenet_v1": 4_231_976,
    "ds_cnn": 23_756,
    # timm's
    "efficientnet_lite0": 4_652_008,
    "mobilevit_xxs": 1_272_024,
    "mobilevit_xs": 2_317_848,
    "mobilevit_s": 5_578_632,
    # examples/cifar/weights
    "resnet8": 78_042,
    "resnet20": 272_474,
    "resnet56": 855_770,
    # 3 gates of 154 units over 10 coefficients, two biases; 4 gates of 118; and 12 classes
    "gru": 3 * 154 * (10 + 154 + 2) + 154 * 12 + 12,
    "lstm": 4 * 118 * (10 + 118 + 2) + 118 * 12 + 12,
    # google/bert_uncased_L-2_H-128_A-2 has 4,385,920
    "tiny_bert": 4_385_920 + 2 * 129,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_the_published_number_of_parameters(name: str) -> None:
    assert parameters(build(parse(name))) == PUBLISHED[name]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_what_the_network_has(name: str) -> None:
    choice = parse(name)
    network = build(choice)
    assert parameters(network) == choice.card.parameters
    with torch.no_grad():
        scores = network(example(choice))
    assert scores.shape == (1, choice.classes)
    assert not network.training


@pytest.mark.parametrize(
    ("name", "millions", "tolerance"),
    [
        ("mobilenet_v1", 569, 1),  # arXiv:1704.04861
        ("mobilenet_v1,width=0.5", 149, 1),
        ("mobilenet_v2", 300, 1),  # arXiv:1801.04381
        ("mobilenet_v2,width=0.5", 97, 1),  # tensorflow/models research/slim
        ("mobilenet_v3_large", 217, 1),  # arXiv:1905.02244; slim
        ("mobilenet_v3_small", 56, 1),
        ("shufflenet_v2", 146, 2),  # arXiv:1807.11164
        ("shufflenet_v2,width=2", 591, 8),
        ("ds_cnn", 2.7, 0.05),  # arXiv:1711.07128: 5.4 M operations, two a multiply-accumulate
    ],
)
def test_a_network_computes_as_much_as_published(name: str, millions: float, tolerance: float) -> None:
    choice = parse(name)
    macs = count(build(choice), (example(choice),)).macs
    assert abs(macs / 1e6 - millions) <= tolerance


IMAGES = [name for name, card in CARDS.items() if card.task == "image-classification"]


@pytest.mark.parametrize("name", [n for n in IMAGES if CARDS[n].multiple == 1])
@pytest.mark.parametrize("size", [32, 64])
def test_small_images_keep_some_room(name: str, size: int) -> None:
    """The last feature map of 32 pixels is larger than one value, and classes follow the name."""
    choice = parse(f"{name},size={size},classes=7")
    network = build(choice)
    shapes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
            module.register_forward_hook(lambda _, __, out: shapes.append(out.shape[-1]))
    with torch.no_grad():
        assert network(torch.rand(2, 3, size, size)).shape == (2, 7)
    assert min(shapes) >= 4


def test_strides_are_dropped_from_the_front() -> None:
    assert fewer_strides((2, 1, 2, 2), 224) == [2, 1, 2, 2]
    assert fewer_strides((2, 1, 2, 2), 96) == [2, 1, 2, 2]
    assert fewer_strides((2, 1, 2, 2), 95) == [1, 1, 2, 2]
    assert fewer_strides((2, 1, 2, 2), 48) == [1, 1, 2, 2]
    assert fewer_strides((2, 1, 2, 2), 47) == [1, 1, 1, 2]


def test_widths_are_rounded_to_multiples_of_8() -> None:
    assert [rounded(c, 0.35) for c in (16, 24, 32, 96)] == [8, 8, 16, 32]  # 11.2 becomes 16, 8.4 stays 8
    assert rounded(4) == 8


def test_channels_are_shuffled_in_turn() -> None:
    x = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert shuffled(x).flatten().tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("name", ["mobilenet_v2,width=0.35,size=32", "ds_cnn", "mobilevit_xxs,size=64"])
def test_weights_are_seeded_and_settled_networks_answer_to_their_input(name: str) -> None:
    choice = parse(name)
    first, again, other = build(choice), build(choice), build(choice, seed=1)
    x = noise(choice, 3)
    with torch.no_grad():
        assert torch.equal(first(x), again(x))
        assert not torch.equal(first(x), other(x))
        scores = settle(first, choice)(x)
    assert (scores[0] - scores[1]).abs().max() > 1e-3
    assert torch.isfinite(scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("letters", ["xx_small", "x_small", "small"])
def test_mobilevit_counts_as_in_transformers(letters: str) -> None:
    transformers = pytest.importorskip("transformers")
    known = {
        "xx_small": ([16, 16, 24, 48, 64, 80, 320], [64, 80, 96], 2.0, "mobilevit_xxs"),
        "x_small": ([16, 32, 48, 64, 80, 96, 384], [96, 120, 144], 4.0, "mobilevit_xs"),
        "small": ([16, 32, 64, 96, 128, 160, 640], [144, 192, 240], 4.0, "mobilevit_s"),
    }
    channels, hidden, expansion, name = known[letters]
    config = transformers.MobileViTConfig(
        neck_hidden_sizes=channels, hidden_sizes=hidden, expand_ratio=expansion, num_labels=1000
    )
    theirs = transformers.MobileViTForImageClassification(config)
    assert parameters(theirs) == CARDS[name].parameters
