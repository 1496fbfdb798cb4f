"""What does a recurrent network cost, and what does it keep?

    python -m benchmarks.recurrent --digits $POCKETPRESS_DATA/spoken_digits/recordings.parquet \\
        --out results/recurrent.json

The keyword network of the examples (two layers of 64 gated recurrent units over 49 frames of sound) is
pressed to int8 for every runtime and judged on recordings that training never heard; then one step of it with
its states as inputs and outputs; then the same network over ten recordings in a row, whose scores after every
step are compared with those of the float PyTorch network.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from examples.keywords.data import read_recordings
from examples.keywords.features import FRAMES
from examples.keywords.networks import load

from benchmarks.machine import Child, describe, run
from benchmarks.recurrent.measure import TIMED, artifact
from benchmarks.recurrent.networks import RECORDINGS, every_step
from benchmarks.recurrent.produce import INT8, KINDS, PRECISIONS
from benchmarks.recurrent.rows import LongRow, StepRow, WholeRow
from pocketpress.core.targets import all_targets
from pocketpress.measure.latency import summarise

RUNTIMES = ("litert", "executorch", "onnxruntime")
SIZE_FACTOR, SIZE_EXTRA = 1.3, 30_000
SEQUENCES, FEW = 24, 64
"""Long ones that are compared; sequences that steps and long ones are calibrated on."""


def prepare(digits: Path, work: Path) -> None:
    """Features to calibrate and judge with, and sequences of ten recordings drawn at random."""
    to_learn, to_test = read_recordings(digits)
    to_learn.save(work / "train.npz")
    to_test.save(work / "test.npz")
    rng = np.random.default_rng(0)
    known = to_learn.features()
    np.savez(work / "step.npz", x=known[rng.permutation(len(known))[:FEW]])
    for name, features, count in (
        ("long", known, FEW),
        ("long-test", to_test.features(), SEQUENCES),
    ):
        drawn = features[rng.integers(0, len(features), (count, RECORDINGS))]
        np.savez(work / f"{name}.npz", x=drawn.reshape(count, RECORDINGS * FRAMES, -1))


def pressed(work: Path) -> dict[str, Child]:
    """All presses, by kind."""
    made = {}
    for kind in KINDS:
        made[kind] = run("benchmarks.recurrent.produce", kind, str(work))
        print(f"{kind}: {made[kind].seconds:.0f} s", file=sys.stderr, flush=True)
    return made


def weight_bytes() -> int:
    """Of all matrices in int8."""
    return sum(value.numel() for value in load().parameters() if value.dim() == 2)


def whole_rows(work: Path) -> Iterator[WholeRow]:
    """From the record of the int8 press."""
    record = json.loads((work / f"whole-{INT8}" / "record.json").read_text())
    weights = weight_bytes()
    for entry in record["targets"]:
        latency, metric = entry["latency_s"] or {}, entry["metric"] or {}
        parity = entry["parity"] or {}
        interval = metric.get("drop_ci95")
        yield WholeRow(
            entry["name"],
            size_bytes=entry["size_bytes"],
            float_size_bytes=entry["float_size_bytes"],
            weight_bytes=weights,
            size_limit_bytes=int(SIZE_FACTOR * weights) + SIZE_EXTRA,
            lower_s=entry["lower_s"],
            latency_s=latency.get("median"),
            float_latency_s=latency.get("float_median"),
            speedup=latency.get("speedup"),
            speedup_ci95=latency.get("speedup_ci95"),
            equal=parity.get("equal"),
            accuracy=metric.get("value"),
            float_accuracy=metric.get("float_value"),
            drop_points=100 * metric["drop"] if metric else None,
            drop_ci95_points=(100 * interval[0], 100 * interval[1]) if interval else None,
            samples=metric.get("samples"),
        )


@torch.no_grad()
def float_scores(work: Path) -> Any:
    """Of the PyTorch network on the long test sequences."""
    network, _ = every_step()
    with np.load(work / "long-test.npz") as file:
        return network(torch.from_numpy(file["x"])).numpy()


def compared(work: Path, target: str, wanted: Any) -> Iterator[StepRow | LongRow]:
    """Steps and long sequences in one runtime."""
    run("benchmarks.recurrent.measure", target, str(work))
    with np.load(work / f"measured-{target}.npz") as file:
        got = {name: file[name] for name in file.files}
    suffix = all_targets()[target].suffix
    for precision in PRECISIONS:
        paths = {kind: artifact(work / f"{kind}-{precision}", suffix) for kind in KINDS}
        times = {kind: got[f"{precision}/{kind}/s"] for kind in TIMED}
        paired = summarise(times["step"], times["whole"], threads=1)
        assert paired.speedup is not None
        step_s, whole_s, floor_s = (float(np.median(times[kind])) for kind in ("step", "whole", "nothing"))
        yield StepRow(
            target, precision, paths["step"].stat().st_size, step_s, floor_s, whole_s,
            paired.speedup, paired.speedup_ci95,
        )  # fmt: skip
        off = got[f"{precision}/scores"] - wanted
        yield LongRow(
            target, precision, wanted.shape[1], paths["long"].stat().st_size,
            error_first=_relative(off[:, :FRAMES], wanted[:, :FRAMES]),
            error_last=_relative(off[:, -FRAMES:], wanted[:, -FRAMES:]),
        )  # fmt: skip


def _relative(off: Any, wanted: Any) -> float:
    return float(np.sqrt(np.mean(off.astype(np.float64) ** 2) / np.mean(wanted.astype(np.float64) ** 2)))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--digits", type=Path, required=True, help="parquet file of the recordings")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(given.digits, work)
        made = pressed(work)
        wanted = float_scores(work)
        rows = [row for target in RUNTIMES for row in compared(work, target, wanted)]
        result = {
            "benchmark": "recurrent", "format": 1, **describe(),
            "whole": [asdict(row) for row in whole_rows(work)],
            "step": [asdict(row) for row in rows if isinstance(row, StepRow)],
            "long": [asdict(row) for row in rows if isinstance(row, LongRow)],
            "press_seconds": {kind: child.seconds for kind, child in made.items()},
            "load": max(child.load for child in made.values()),
        }  # fmt: skip
    result["lower_s"] = sum(row["lower_s"] for row in result["whole"])
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
