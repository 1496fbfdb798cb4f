"""What is a calibration without data worth?

    python -m benchmarks.no_data --cifar $POCKETPRESS_DATA/cifar10 --out results/no_data.json

A trained network is pressed to w8a8-static with ranges from real training images, from inputs synthesised of
its batch-norm statistics (`--data none`) and from uniform noise, and judged on real test images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from pocketpress.core.record import Metric, Record
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

NETWORKS = ("mobilenet_v2", "resnet8")
SEEDS = (0, 1)
SIDE, CHANNELS, SAMPLES = 32, 3, 128
SQNR_IMAGES = 500


@dataclass(frozen=True)
class Row:
    """One calibration of one network.

    Attributes:
        network: factory of `examples.cifar.networks`.
        calibration: "real", "none" or "uniform".
        seed: of the choice of images (test images too), of the synthesis or of the noise.
        top1: share right, of the artifact in ONNX Runtime.
        float_top1: of the float network, same images.
        drop_ci95: 95 % interval of the difference, paired.
        sqnr_db: mean over images of the outputs' signal to noise against the float network.
        images: test images of ``top1``.
        sqnr_images: test images of ``sqnr_db``.
        seconds: of calibration's own stage "synthesise", else None.
        note: what the press says of the trust that synthesised samples deserve.
    """

    network: str
    calibration: str
    seed: int
    top1: float
    float_top1: float
    drop_ci95: tuple[float, float] | None
    sqnr_db: float
    images: int
    sqnr_images: int
    seconds: float | None
    note: str | None


def rows(cifar: Path, images: int, work: Path) -> Iterator[Row]:
    """Press and judge, network by network."""
    for network in NETWORKS:
        for seed in SEEDS:
            noise = work / f"uniform-{seed}.npz"
            shape = (SAMPLES, CHANNELS, SIDE, SIDE)
            np.savez(noise, x=np.random.default_rng(seed).random(shape, dtype=np.float32))
            given = {"real": str(cifar / "train.parquet"), "none": "none", "uniform": str(noise)}
            for calibration, data in given.items():
                yield _row(network, calibration, data, seed, cifar, images, work)


def _row(network: str, calibration: str, data: str, seed: int, cifar: Path, images: int, work: Path) -> Row:
    def pressed(metric: str, count: int) -> tuple[Record, Metric]:
        options = PressOptions(
            f"examples.cifar.networks:{network}",
            targets="onnxruntime",
            out=work / "out",
            data=data,
            evaluation=str(cifar / "test.parquet"),
            metric=metric,
            preprocess="unit",
            evaluation_samples=count,
            calibration_samples=SAMPLES,
            parity_samples=8,
            measure=False,
            seed=seed,
            cache=work / "cache",
        )
        record = press(options)
        found = record.targets[0].metric
        assert found is not None
        return record, found

    record, top1 = pressed("top1", images)
    _, sqnr = pressed("sqnr", SQNR_IMAGES)
    used = record.data.calibration
    assert used is not None and top1.float_value is not None
    seconds = next((stage.seconds for stage in record.stages if stage.name == "synthesise"), None)
    return Row(
        network, calibration, seed, top1.value, top1.float_value, top1.drop_ci95, sqnr.value,
        images, SQNR_IMAGES, seconds, used.note,
    )  # fmt: skip


def main() -> None:
    """Measure, print as it goes, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cifar", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--images", type=int, default=2000, help="test images")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    given = parser.parse_args()
    result: dict[str, object] = {"benchmark": "no_data", **describe()}
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(given.cifar, given.images, Path(folder)):
            print(row, flush=True)
            measured.append(asdict(row))
    given.out.write_text(json.dumps({**result, "rows": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
