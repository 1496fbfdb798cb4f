"""Mixed precision: what promises on drop and size give, beside int8 alone.

    python -m benchmarks.compress.mixed --cifar $POCKETPRESS_DATA/cifar10 --out results/mixed.json

Calibration sees training images only.  A promise on the drop is verified by the press on some of the test
images; the drop told here is on all others, which no decision saw.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from examples.cifar import networks
from examples.cifar.data import Split, read_split

import pocketpress
from benchmarks.compress.rows import MixedRow
from benchmarks.machine import describe
from pocketpress.core.record import Limits, Record
from pocketpress.measure.accuracy import compare_scores
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

Asked = tuple[str, str, Limits]
"""What is typed, the precision, the promises."""
VERIFIED = 2000
"""Test images of `examples.cifar.data.Split.draw` that the press sees."""
SIZES = {"resnet8": 75_000, "mobilenet_v2": 230_000}
TARGETS = "litert,executorch,onnxruntime"


def asked(network: str) -> Iterator[Asked]:
    """Every press of a network."""
    yield "w8a8-static", "w8a8-static", Limits()
    for drop in (0.005, 0.001):
        yield f"mixed --max-drop {drop:.1%}", "mixed", Limits(max_drop=drop)
    size = SIZES[network]
    yield f"mixed --max-size {size // 1000}KB", "mixed", Limits(max_size_bytes=size)


def measured(network: str, seen: Split, unseen: Split, cifar: Path, work: Path) -> Iterator[MixedRow]:
    """Press a network in every way and judge its LiteRT file."""
    seen.save(work / "seen.npz")
    inputs = unseen.images.astype(np.float32) / np.float32(255)
    module, _ = getattr(networks, network)()
    with torch.no_grad():
        floats = torch.cat([module(part) for part in torch.from_numpy(inputs).split(100)]).argmax(1).numpy()
    for label, precision, limits in asked(network):
        out = work / f"{network}-{label}"
        record = press(
            PressOptions(
                f"examples.cifar.networks:{network}", targets=TARGETS, out=out, precision=precision,
                limits=limits, data=str(cifar / "train.parquet"), evaluation=str(work / "seen.npz"),
                metric="top1", evaluation_samples=None, cache=work / "cache",
            )
        )  # fmt: skip
        file = next(out.glob("*.tflite"))
        yield _row(network, label, record, classes(file, inputs) == unseen.labels, floats == unseen.labels)


def classes(file: Path, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Best class of every image, (N,)."""
    with pocketpress.open(file) as session:
        scores = [next(iter(session(image[None]).values())) for image in inputs]
    best: npt.NDArray[np.int64] = np.concatenate(scores).argmax(1)
    return best


def _row(
    network: str, label: str, record: Record, right: npt.NDArray[np.bool_], floats: npt.NDArray[np.bool_]
) -> MixedRow:
    found = compare_scores("top1", right, floats, unit="share")
    assert found.drop is not None and found.drop_ci95 is not None
    layers = {bits: record.recipe.options.get(f"layers_{bits}") for bits in ("4_bit", "8_bit", "float")}
    return MixedRow(
        network,
        label,
        layers=None if layers["8_bit"] is None else tuple(int(n or 0) for n in layers.values()),
        size_bytes={t.name: t.size_bytes or 0 for t in record.targets},
        size_ratio={t.name: (t.size_bytes or 0) / (t.float_size_bytes or 1) for t in record.targets},
        latency_ratio={
            t.name: 1 / t.latency_s.speedup for t in record.targets if t.latency_s and t.latency_s.speedup
        },
        verdicts={t.name: t.verdict for t in record.targets},
        drop=100 * found.drop,
        drop_ci95=(100 * found.drop_ci95[0], 100 * found.drop_ci95[1]),
        images=len(right),
    )


def main() -> None:
    """Measure, write after every press."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    test = read_split(given.cifar / "test.parquet")
    order = np.random.default_rng(0).permutation(len(test.labels))
    seen, unseen = (Split(test.images[rows], test.labels[rows]) for rows in np.split(order, [VERIFIED]))
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for network in SIZES:
            for row in measured(network, seen, unseen, given.cifar, Path(folder)):
                print(row, file=sys.stderr, flush=True)
                rows.append(asdict(row))
    result = {"benchmark": "mixed", "format": 1, **describe(), "verified": VERIFIED, "rows": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
