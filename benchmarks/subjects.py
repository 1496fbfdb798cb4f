"""What the benchmarks press: a network, and the pictures it is calibrated and judged on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from examples.cifar import networks as cifar
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.networks.mobilenet_v1 import data_folder, mobilenet_v1_075_192
from benchmarks.networks.mobilenet_v2 import initialised, mobilenet_v2_224
from benchmarks.networks.rescaled import mobilenet_v2_rescaled, resnet8_rescaled

Images = npt.NDArray[np.float32]
Factory = Callable[[], tuple[nn.Module, tuple[torch.Tensor, ...]]]
INITIALISATION_PHOTOS = 64
SEED = 0


@dataclass(frozen=True)
class Pixels:
    """How a picture becomes an input: ``(pixel / 255 - mean) / std`` per channel after a centre crop.

    Attributes:
        side: of the square input.
        mean: per channel, of pixels in [0, 1].
        std: per channel.
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def of(self, image: Image.Image) -> Images:
        """Shape (3, side, side): the shorter side scaled to side * 256/224, then the centre."""
        picture = image.convert("RGB")
        if picture.size != (self.side, self.side):
            factor = round(self.side * 256 / 224) / min(picture.size)
            size = (round(picture.width * factor), round(picture.height * factor))
            picture = picture.resize(size, Image.Resampling.BILINEAR)
            left, top = (picture.width - self.side) // 2, (picture.height - self.side) // 2
            picture = picture.crop((left, top, left + self.side, top + self.side))
        values = np.asarray(picture, np.float32).transpose(2, 0, 1) / np.float32(255)
        mean = np.asarray(self.mean, np.float32).reshape(3, 1, 1)
        std = np.asarray(self.std, np.float32).reshape(3, 1, 1)
        return np.ascontiguousarray((values - mean) / std)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Subject:
    """A network and its pictures.

    Attributes:
        name: as typed after ``--network``.
        factory: of the network and its example inputs.
        pixels: preprocessing.
        pictures: folder of photos or a parquet file, for calibration and for judging.
        weights: what the weights are, for the results.
        trained: whether its answers mean anything.
    """

    name: str
    factory: Factory
    pixels: Pixels
    pictures: tuple[str, str]
    weights: str
    trained: bool

    @property
    def specification(self) -> str:
        """The factory as ``pocketpress press`` takes it."""
        return f"{self.factory.__module__}:{self.factory.__name__}"

    def calibration(self, count: int) -> Images:
        """Pictures of the training part, shape (N, 3, side, side)."""
        return read_pictures(data_folder() / self.pictures[0], self.pixels, count)

    def held_out(self, count: int) -> Images:
        """Pictures of the test part."""
        return read_pictures(data_folder() / self.pictures[1], self.pixels, count)

    def labels(self, count: int) -> npt.NDArray[np.int64] | None:
        """Classes of the test pictures, where they are known."""
        source = data_folder() / self.pictures[1]
        if source.suffix != ".parquet":
            return None
        return np.asarray(_drawn(source, "label", count), np.int64)

    def save_weights(self, path: Path) -> None:
        """Write the weights that every tool is given, as safetensors."""
        network: nn.Module
        if self.factory is mobilenet_v2_224:
            network = initialised(torch.from_numpy(self.calibration(INITIALISATION_PHOTOS)))
        else:
            network, _ = self.factory()
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(state, path)

    def load(self, weights: Path) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """The float network with the saved weights, in evaluation mode, and its example inputs."""
        network, examples = self.factory()
        network.load_state_dict(load_file(weights))
        return network.eval(), examples


PHOTOS = ("photos/train", "photos/test")
CIFAR = ("cifar10/train.parquet", "cifar10/test.parquet")
SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "mobilenet_v1_075",
            mobilenet_v1_075_192,
            Pixels(192, *CENTRED),
            PHOTOS,
            "ImageNet, dequantised from the public 8-bit TFLite file",
            True,
        ),
        Subject(
            "mobilenet_v2_224",
            mobilenet_v2_224,
            Pixels(224, *IMAGENET),
            PHOTOS,
            f"untrained: seeded He initialisation, batch-norm statistics of {INITIALISATION_PHOTOS} photos",
            False,
        ),
        Subject(
            "cifar_mobilenet_v2",
            cifar.mobilenet_v2,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, examples/cifar/weights",
            True,
        ),
        Subject(
            "cifar_resnet8",
            cifar.resnet8,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, examples/cifar/weights",
            True,
        ),
        Subject(
            "cifar_resnet20",
            cifar.resnet20,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, examples/cifar/weights",
            True,
        ),
        Subject(
            "cifar_mobilenet_v2_full",
            cifar.mobilenet_v2_full,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, examples/cifar/weights",
            True,
        ),
        Subject(
            "cifar_mobilenet_v2_rescaled",
            mobilenet_v2_rescaled,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, bottleneck channels rescaled 1:1000",
            True,
        ),
        Subject(
            "cifar_resnet8_rescaled",
            resnet8_rescaled,
            Pixels(32, *PLAIN),
            CIFAR,
            "trained on CIFAR-10, channels inside blocks rescaled 1:1000",
            True,
        ),
    )
}


def read_pictures(source: Path, pixels: Pixels, count: int) -> Images:
    """Pictures, shape (N, 3, side, side): the first in name order, or rows drawn at random.

    Raises:
        FileNotFoundError: no such folder or file; set ``$POCKETPRESS_DATA``.
    """
    if not source.exists():
        raise FileNotFoundError(f"no pictures at {source}; set POCKETPRESS_DATA to the data folder")
    opened: list[Any]
    if source.suffix == ".parquet":
        opened = _parquet(source, count)
    else:
        opened = [Image.open(path) for path in sorted(source.glob("*.jpg"))[:count]]
    return np.stack([pixels.of(image) for image in opened])


def _parquet(source: Path, count: int) -> list[Image.Image]:
    return [Image.open(io.BytesIO(blob)) for blob in _drawn(source, "image", count)]


def _drawn(source: Path, column: str, count: int) -> list[Any]:
    """Rows at random, always the same ones: the rows of a data set may be sorted by class."""
    import pyarrow.parquet as parquet

    table = parquet.read_table(source, columns=[column])
    chosen = np.random.default_rng(SEED).permutation(table.num_rows)[:count]
    return list(table[column].take(chosen).to_pylist())
