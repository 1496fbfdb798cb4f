"""Write calibration and evaluation sets from any folder of photos.

    python -m apps.photo.dataset --photos DIR --count 200 --seed 1 --out eval.npz

Key `x`: the network's inputs, thumbnails of degraded photos with stretched levels, float32 (N, 256, 256, 3)
in [0, 1]. Key `y`: random pixels of each photo, with stretched levels and undamaged, float32 (N, 2, 4096,
3) in [0, 1], for `apps.photo.metric:psnr`. A folder with fewer photos than samples is gone through several
times, from the second time on with random parts of the photos, mirrored half of the time; samples of the
same photo are then not independent, and an interval computed from them is too narrow.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from apps.photo.degrade import STANDARD_ERRORS, ErrorDistribution, degrade
from apps.photo.enhance import look
from apps.photo.thumbnail import THUMBNAIL_PIXELS
from numpy.typing import NDArray
from PIL import Image

SHIPPED_PHOTOS = Path(__file__).with_name("photos")
"""Four photos that may be redistributed; see the README beside them."""

PIXELS = 4096
"""Random pixels kept of each photo for measuring."""

LEAST_PART = 0.5
"""Smallest height and width of a random part, as a share of the photo's."""


@dataclass(frozen=True)
class Samples:
    """What an .npz holds: `x` float32 (N, 256, 256, 3), `y` float32 (N, 2, 4096, 3); and how many photos."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    photos: int

    def save(self, path: Path) -> None:
        """Write the .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=self.x, y=self.y)


def list_photos(folder: Path) -> list[Path]:
    """The .jpg and .png photos of a folder, in the order of their names.

    Raises:
        FileNotFoundError: There are none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise FileNotFoundError(f"{folder}: no .jpg or .png photos there; name a folder that has some")
    return found


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Decode a photo, shape (height, width, 3), sRGB bytes."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def random_part(
    photo: NDArray[np.uint8], rng: np.random.Generator, least: float = LEAST_PART
) -> NDArray[np.uint8]:
    """A random rectangle of a photo, at least `least` of each side, mirrored half of the time."""
    height, width = (int(size * rng.uniform(least, 1)) for size in photo.shape[:2])
    top, left = int(rng.integers(photo.shape[0] - height + 1)), int(rng.integers(photo.shape[1] - width + 1))
    part = photo[top : top + height, left : left + width]
    return part[:, ::-1] if rng.random() < 0.5 else part


def shipped_pairs(seed: int = 7) -> list[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """The shipped photos as (name, undamaged, degraded by a seeded random error), for showing the app."""
    rng = np.random.default_rng(seed)
    pairs = []
    for path in list_photos(SHIPPED_PHOTOS):
        clean = read_photo(path)
        pairs.append((path.stem, clean, degrade(clean, STANDARD_ERRORS.draw(rng))))
    return pairs


def build(
    photos: Sequence[Path], count: int, seed: int, errors: ErrorDistribution = STANDARD_ERRORS
) -> Samples:
    """Degrade photos with random errors; the same photos, count and seed give the same samples."""
    rng = np.random.default_rng(seed)
    x = np.empty((count, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS, 3), dtype=np.float32)
    y = np.empty((count, 2, PIXELS, 3), dtype=np.float32)
    for index in range(count):
        clean = read_photo(photos[index % len(photos)])
        if index >= len(photos):
            clean = random_part(clean, rng)
        degraded = degrade(clean, errors.draw(rng))
        chosen = rng.integers(clean.shape[0] * clean.shape[1], size=PIXELS)
        seen = look(degraded)
        x[index] = seen.network_input[0]
        before, after = (whole.reshape(-1, 3)[chosen].astype(np.float32) for whole in (degraded, clean))
        y[index] = seen.levels.stretch(before / np.float32(255)), after / np.float32(255)
    return Samples(x, y, min(count, len(photos)))


def main() -> None:
    """Parse the arguments, build, write, and say what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, default=SHIPPED_PHOTOS, help="folder; default: the shipped photos"
    )
    parser.add_argument("--count", type=int, default=100, help="samples to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    given = parser.parse_args()
    samples = build(list_photos(given.photos), given.count, given.seed)
    samples.save(given.out)
    print(f"{given.out}: {given.count} samples with synthetic errors")
    print(f"made from {samples.photos} photos of {given.photos}")
    if samples.photos < given.count:
        print("samples are parts of the same few photos, not independent: averages are a rough guide")


if __name__ == "__main__":
    main()
