"""What is known of every network without building it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pocketpress.core.errors import UserError

IMAGES, KEYWORDS, TEXT = "image-classification", "keyword-spotting", "text-classification"
TASKS = (IMAGES, KEYWORDS, TEXT)
COEFFICIENTS = 10
"""Cepstral coefficients of a frame of sound."""
IMAGENET, CIFAR, COMMANDS = "ImageNet-1k", "CIFAR-10", "Speech Commands"


@dataclass(frozen=True)
class Known:
    """A published accuracy.

    Attributes:
        width: multiplier of the channels.
        size: side of the image in pixels, or number of frames.
        top1: share of right answers.
        data: it was trained and measured on.
        source: who says so.
    """

    width: float
    size: int
    top1: float
    data: str
    source: str


@dataclass(frozen=True)
class Card:
    """One architecture.

    Attributes:
        name: as typed after ``zoo:``.
        title: in running text.
        task: one of `TASKS`.
        paper: authors, year and number.
        factory: ``module:function`` inside `pocketpress.zoo`; takes width, size and classes.
        parameters: trained numbers at width 1 and with ``classes``, as published or counted from the paper.
        size: side of the image in pixels, frames of a spectrum, or word pieces, by default.
        classes: by default.
        known: accuracies, of the widths and sizes that the network was published with.
        widths: that there are, or None for any from 0.1 to 4.
        sizes: least and largest; images are a multiple of ``multiple``.
        multiple: see ``sizes``.
    """

    name: str
    title: str
    task: str
    paper: str
    factory: str
    parameters: int
    size: int
    classes: int
    known: tuple[Known, ...] = ()
    widths: tuple[float, ...] | None = None
    sizes: tuple[int, int] = (32, 512)
    multiple: int = 1

    def top1(self, width: float, size: int) -> Known | None:
        """What is known of one width and size."""
        return next((k for k in self.known if (k.width, k.size) == (width, size)), None)


def _table(data: str, source: str, rows: Mapping[tuple[float, int], float]) -> tuple[Known, ...]:
    return tuple(
        Known(width, size, round(top1 / 100, 4), data, source) for (width, size), top1 in rows.items()
    )


def _grid(source: str, sizes: Sequence[int], rows: Mapping[float, Sequence[float]]) -> tuple[Known, ...]:
    cells = {
        (width, size): top1 for width, row in rows.items() for size, top1 in zip(sizes, row, strict=True)
    }
    return _table(IMAGENET, source, cells)


SLIM = "tensorflow/models research/slim"
VISION = "torchvision"

CARDS: Mapping[str, Card] = {
    card.name: card
    for card in (
        Card(
            "mobilenet_v1", "MobileNetV1", IMAGES, "Howard et al. 2017, arXiv:1704.04861",
            "mobilenet_v1:build", 4_231_976, 224, 1000,
            _grid(SLIM, (224, 192, 160, 128), {
                1.0: (70.9, 70.0, 68.0, 65.2),
                0.75: (68.4, 67.2, 65.3, 62.1),
                0.5: (63.3, 61.7, 59.1, 56.3),
                0.25: (49.8, 47.7, 45.5, 41.5),
            }),
        ),
        Card(
            "mobilenet_v2", "MobileNetV2", IMAGES, "Sandler et al. 2018, arXiv:1801.04381",
            "mobilenet_v2:build", 3_504_872, 224, 1000,
            _grid(SLIM, (224,), {1.4: (75.0,), 1.3: (74.4,)})
            + _grid(SLIM, (224, 192, 160, 128, 96), {
                1.0: (71.8, 70.7, 68.8, 65.3, 60.3),
                0.75: (69.8, 68.7, 66.4, 63.2, 58.8),
                0.5: (65.4, 63.9, 61.0, 57.7, 51.2),
                0.35: (60.3, 58.2, 55.7, 50.8, 45.5),
            }),
        ),
        Card(
            "mobilenet_v3_large", "MobileNetV3-Large", IMAGES, "Howard et al. 2019, arXiv:1905.02244",
            "mobilenet_v3:large", 5_483_032, 224, 1000,
            _grid(SLIM, (224,), {1.0: (75.2,), 0.75: (73.3,)}),
        ),
        Card(
            "mobilenet_v3_small", "MobileNetV3-Small", IMAGES, "Howard et al. 2019, arXiv:1905.02244",
            "mobilenet_v3:small", 2_542_856, 224, 1000,
            _grid(SLIM, (224,), {1.0: (67.5,), 0.75: (65.4,)}),
        ),
        Card(
            "shufflenet_v2", "ShuffleNetV2", IMAGES, "Ma et al. 2018, arXiv:1807.11164",
            "shufflenet_v2:build", 2_278_604, 224, 1000,
            _grid("Ma et al. 2018", (224,), {
                0.5: (60.3,), 1.0: (69.4,), 1.5: (72.6,), 2.0: (74.9,),
            }),
            widths=(0.5, 1.0, 1.5, 2.0),
        ),
        Card(
            "squeezenet", "SqueezeNet 1.1", IMAGES, "Iandola et al. 2016, arXiv:1602.07360",
            "squeezenet:build", 1_235_496, 224, 1000,
            _grid(VISION, (224,), {1.0: (58.18,)}),
        ),
        Card(
            "efficientnet_lite0", "EfficientNet-Lite0", IMAGES, "Tan and Le 2019, arXiv:1905.11946",
            "efficientnet_lite:build", 4_652_008, 224, 1000,
            _grid("tensorflow/tpu models/official/efficientnet/lite", (224,), {1.0: (75.1,)}),
        ),
        *(
            Card(
                f"mobilevit_{letters}", f"MobileViT-{letters.upper()}", IMAGES,
                "Mehta and Rastegari 2022, arXiv:2110.02178", f"mobilevit:{letters}", parameters, 256, 1000,
                _grid("Mehta and Rastegari 2022", (256,), {1.0: (top1,)}),
                widths=(1.0,), multiple=64,
            )
            for letters, parameters, top1 in (
                ("xxs", 1_272_024, 69.0), ("xs", 2_317_848, 74.8), ("s", 5_578_632, 78.4)
            )
        ),
        *(
            Card(
                f"resnet{depth}", f"ResNet-{depth}", IMAGES, "He et al. 2015, arXiv:1512.03385",
                f"resnet:resnet{depth}", parameters, 32, 10,
                _table(CIFAR, "examples/cifar (a JPEG copy of CIFAR-10)", {(1.0, 32): top1}),
                sizes=(16, 96),
            )
            for depth, parameters, top1 in ((8, 78_042, 79.72), (20, 272_474, 87.89), (56, 855_770, 88.27))
        ),
        Card(
            "ds_cnn", "DS-CNN", KEYWORDS, "Zhang et al. 2017, arXiv:1711.07128",
            "keywords:ds_cnn", 23_756, 49, 12,
            _table(COMMANDS, "Zhang et al. 2017", {(1.0, 49): 94.4}), sizes=(8, 1000),
        ),
        Card(
            "gru", "GRU", KEYWORDS, "Zhang et al. 2017, arXiv:1711.07128",
            "keywords:gru", 78_552, 25, 12,
            _table(COMMANDS, "Zhang et al. 2017", {(1.0, 25): 93.5}), sizes=(1, 1000),
        ),
        Card(
            "lstm", "basic LSTM", KEYWORDS, "Zhang et al. 2017, arXiv:1711.07128",
            "keywords:lstm", 62_788, 49, 12,
            _table(COMMANDS, "Zhang et al. 2017", {(1.0, 49): 92.0}), sizes=(1, 1000),
        ),
        Card(
            "tiny_bert", "BERT-Tiny", TEXT, "Turc et al. 2019, arXiv:1908.08962",
            "tiny_bert:build", 4_386_178, 128, 2, sizes=(2, 512),
        ),
    )
}  # fmt: skip
"""Every architecture by name."""


def card_of(name: str) -> Card:
    """The card of an architecture.

    Raises:
        UserError: there is none of that name.
    """
    if name not in CARDS:
        raise UserError("no such network in the zoo", got=name, allowed=tuple(CARDS))
    return CARDS[name]
