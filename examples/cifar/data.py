"""Read CIFAR-10 from parquet files with the columns `image` (JPEG or PNG bytes) and `label`."""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Split:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse labels of another length than images."""
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"got {len(self.images)} images and {len(self.labels)} labels; they must be as many"
            )

    def draw(self, count: int, seed: int) -> Split:
        """`count` different samples, drawn at random; the same seed draws the same ones."""
        chosen = np.random.default_rng(seed).permutation(len(self.labels))[:count]
        return Split(self.images[chosen], self.labels[chosen])

    def save(self, path: Path) -> None:
        """Write an .npz: `x` float32 (N, 3, 32, 32) in [0, 1], `y` int64 (N,)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=self.images.astype(np.float32) / np.float32(255), y=self.labels)


def read_split(path: Path) -> Split:
    """Decode a parquet file."""
    table = parquet.read_table(path, columns=["image", "label"])
    decoded = [np.asarray(Image.open(io.BytesIO(blob)).convert("RGB")) for blob in table["image"].to_pylist()]
    images = np.ascontiguousarray(np.stack(decoded).transpose(0, 3, 1, 2))
    return Split(images, table["label"].to_numpy().astype(np.int64))


def main() -> None:
    """Write a random part of a parquet file as .npz for the press command."""
    parser = argparse.ArgumentParser(
        description="Write samples of a CIFAR-10 parquet file as .npz with x and y."
    )
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    read_split(given.parquet).draw(given.count, given.seed).save(given.out)


if __name__ == "__main__":
    main()
