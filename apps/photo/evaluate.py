"""PSNR on held-out photos with seeded synthetic errors: untouched, without a network, and with any network.

python -m apps.photo.evaluate --photos DIR [--artifact encoder.tflite ...] [--json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from apps.photo import lut
from apps.photo.baseline import grey_world_auto_contrast
from apps.photo.dataset import list_photos, read_photo
from apps.photo.degrade import STANDARD_ERRORS, ErrorDistribution, degrade
from apps.photo.enhance import Network, enhance_with, look
from apps.photo.metric import psnr_of_photos
from numpy.typing import NDArray

UNTOUCHED = "degraded"
BASELINE = "grey-world + auto-contrast"
LEVELS = "levels only"
"""The first step of the app without its network: every channel stretched to [0, 1]."""


@dataclass(frozen=True)
class Mean:
    """A mean over photos in dB, and half the width of its 95 % interval (normal approximation)."""

    mean_db: float
    half_width_db: float

    @staticmethod
    def of(values: NDArray[np.float64]) -> Mean:
        """The mean of one value per photo; at least two photos."""
        return Mean(float(values.mean()), float(1.96 * values.std(ddof=1) / np.sqrt(len(values))))

    def __str__(self) -> str:
        return f"{self.mean_db:.2f} ± {self.half_width_db:.2f}"


@dataclass(frozen=True)
class Row:
    """One method: its PSNR, and its gain over the degraded photos, paired photo by photo."""

    method: str
    photos: int
    psnr: Mean
    gain: Mean
    better: float
    """Share of the photos that gained."""


def psnr_per_photo(
    photos: Sequence[Path],
    networks: Mapping[str, Network],
    seed: int = 0,
    errors: ErrorDistribution = STANDARD_ERRORS,
) -> dict[str, NDArray[np.float64]]:
    """PSNR in dB of every photo at full size, shape (photos,) per method; all see the same errors."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {name: [] for name in (UNTOUCHED, BASELINE, LEVELS, *networks)}
    for path in photos:
        clean = read_photo(path)
        degraded = degrade(clean, errors.draw(rng))
        found[UNTOUCHED].append(psnr_of_photos(degraded, clean))
        found[BASELINE].append(psnr_of_photos(grey_world_auto_contrast(degraded), clean))
        levelled = lut.apply(lut.identity_table(2), degraded, look(degraded).levels)
        found[LEVELS].append(psnr_of_photos(levelled, clean))
        for name, network in networks.items():
            found[name].append(psnr_of_photos(enhance_with(degraded, network), clean))
    return {name: np.asarray(values) for name, values in found.items()}


def summarise(per_photo: Mapping[str, NDArray[np.float64]]) -> list[Row]:
    """Means, intervals and gains of the methods of `psnr_per_photo`."""
    untouched = per_photo[UNTOUCHED]
    return [
        Row(
            name,
            len(values),
            Mean.of(values),
            Mean.of(values - untouched),
            float((values > untouched).mean()),
        )
        for name, values in per_photo.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| method | PSNR, dB | gain, dB | photos better |", "|---|---|---|---|"]
    lines += [f"| {row.method} | {row.psnr} | {row.gain} | {row.better:.0%} |" for row in rows]
    return "\n".join(lines)


def float_network() -> Network:
    """The shipped encoder in PyTorch, float32."""
    import torch
    from apps.photo.network import load_encoder

    network = load_encoder()

    def run(thumbnail: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(thumbnail)).numpy(), dtype=np.float32)

    return run


def main() -> None:
    """Parse the arguments, measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of undamaged photos")
    parser.add_argument(
        "--artifact", type=Path, action="append", default=[], help="pressed encoder; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic errors")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    networks: dict[str, Network] = {"network, float": float_network()}
    if given.artifact:
        import pocketpress

        networks |= {path.name: pocketpress.open(path) for path in given.artifact}
    rows = summarise(psnr_per_photo(list_photos(given.photos), networks, given.seed))
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(
            f"{rows[0].photos} photos of {given.photos}, errors of seed {given.seed}; mean and 95 % interval"
        )
        print(table(rows))


if __name__ == "__main__":
    main()
