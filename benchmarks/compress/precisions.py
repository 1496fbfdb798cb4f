"""Press networks trained on CIFAR-10 to few bits and write down what each runtime's file costs.

    python -m benchmarks.compress.precisions --cifar $POCKETPRESS_DATA/cifar10 --out results/precisions.json

Calibration and learning see training images only; accuracy is of held-out test images, the drop with its
paired 95 % interval; latency is paired with the float file of the same runtime.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe
from pocketpress.core.record import Record
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

NETWORKS = ("mobilenet_v2_full", "mobilenet_v2", "resnet8")
PRECISIONS = ("w8a8-static", "w4a8", "w4")
TARGETS = "litert,executorch,onnxruntime"
IMAGES, PARITY_IMAGES = 4000, 500


@dataclass(frozen=True)
class Row:
    """One network at one precision in one runtime.

    Attributes:
        network: factory of `examples.cifar.networks`.
        precision: as typed.
        target: runtime.
        float_top1: of the float network, percent.
        drop: points of top-1 lost, with the paired interval ``drop_ci95``.
        images: test images of both.
        size: bytes over the float file's bytes.
        latency: median over the float file's median.
        sqnr_db: outputs against the float network's, over ``sqnr_images``.
        equal: share of outputs that are the reference's bits; None where outputs are computed in float.
        learning_s: seconds of learned rounding.
        verdict: of the press.
    """

    network: str
    precision: str
    target: str
    float_top1: float
    drop: float | None
    drop_ci95: tuple[float, float] | None
    images: int
    size: float
    latency: float | None
    sqnr_db: float | None
    sqnr_images: int
    equal: float | None
    learning_s: float | None
    verdict: str


def rows_of(network: str, precision: str, record: Record) -> Iterator[Row]:
    """One row per runtime that executed."""
    learning = [stage.seconds for stage in record.stages if stage.name == "learn rounding"]
    assert record.float_metric is not None
    for target in record.targets:
        assert target.metric is not None and target.parity is not None
        assert target.size_bytes is not None and target.float_size_bytes is not None
        speedup = None if target.latency_s is None else target.latency_s.speedup
        yield Row(
            network,
            precision,
            target.name,
            record.float_metric.value * 100,
            None if target.metric.drop is None else target.metric.drop * 100,
            None
            if target.metric.drop_ci95 is None
            else (target.metric.drop_ci95[0] * 100, target.metric.drop_ci95[1] * 100),
            target.metric.samples,
            target.size_bytes / target.float_size_bytes,
            None if speedup is None else 1 / speedup,
            target.parity.sqnr_float_db,
            target.parity.samples,
            target.parity.equal,
            learning[0] if learning else None,
            target.verdict,
        )


def measure(network: str, precision: str, cifar: Path) -> list[Row]:
    """Press once, to all runtimes."""
    with tempfile.TemporaryDirectory() as folder:
        record = press(
            PressOptions(
                source=f"examples.cifar.networks:{network}",
                targets=TARGETS,
                out=Path(folder) / "out",
                data=str(cifar / "train.parquet"),
                evaluation=str(cifar / "test.parquet"),
                metric="top1",
                precision=precision,
                evaluation_samples=IMAGES,
                parity_samples=PARITY_IMAGES,
            )
        )
    return list(rows_of(network, precision, record))


def main() -> None:
    """Parse, measure, write after every press."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    given = parser.parse_args()
    rows: list[Row] = []
    for network in given.networks.split(","):
        for precision in PRECISIONS:
            rows += measure(network, precision, given.cifar)
            text = json.dumps({"machine": describe(), "rows": [asdict(row) for row in rows]}, indent=1)
            given.out.write_text(text + "\n", encoding="utf-8")
            for row in rows[-3:]:
                print(row, flush=True)


if __name__ == "__main__":
    main()
