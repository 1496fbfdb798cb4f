"""Prune, fine-tune with the float network as teacher, quantise: one press, and what every step gains.

    python -m benchmarks.compress.stack --cifar $POCKETPRESS_DATA/cifar10 --out results/stack.json

Pruning and fine-tuning see training images only; accuracy is of all test images, the drop against the float
network as it was given with its paired 95 % interval; latency is paired with that network's float file in the
same runtime.  That of the pruned float network is measured before fine-tuning, which does not change it, or
(``--again``, where the amount of pruning is given) by a second press at the end, next to the quantised files.
A press that was stopped goes on from its last epoch when the same ``--work`` is given again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch

from benchmarks.compress.judge import judge_stacks
from benchmarks.compress.rows import StackRow
from benchmarks.machine import describe
from pocketpress.core.record import Metric, Record
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press
from pocketpress.pipeline.shrink_options import ShrinkOptions

TARGETS = "litert,executorch,onnxruntime"
PRECISION = "w8a8-static"
PARITY_IMAGES = 200


def options(given: argparse.Namespace, out: Path) -> PressOptions:
    """The press of one network."""
    train = str(given.cifar / "train.parquet")
    shrink = ShrinkOptions(
        prune=None if given.prune_for else given.prune, prune_for=given.prune_for,
        prune_latency=given.prune_latency, importance=given.importance, prune_steps=given.prune_steps,
        finetune=train, epochs=given.epochs, bfloat16=True, resume=(out / "checkpoints").exists(),
    )  # fmt: skip
    return PressOptions(
        source=f"examples.cifar.networks:{given.network}", targets=TARGETS, out=out, data=train,
        evaluation=str(given.cifar / "test.parquet"), metric="top1", precision=PRECISION, shrink=shrink,
        evaluation_samples=given.images or None, parity_samples=PARITY_IMAGES,
    )  # fmt: skip


def pruned_only(given: PressOptions, out: Path) -> PressOptions:
    """The press that times the pruned network: the same channels go, whatever is trained later."""
    shrink = replace(given.shrink, finetune=None, epochs=0, bfloat16=False, resume=False)
    return replace(given, shrink=shrink, out=out, precision="w8a8-fast", evaluation_samples=200)


def timed_again(rows: Iterable[StackRow], again: Iterable[StackRow]) -> Iterator[StackRow]:
    """Rows with the latencies of the second press, where shapes are those of the pruned float network."""
    latest = {row.target: row for row in again if row.step == "prune"}
    for row in rows:
        other = latest[row.target]
        if row.step not in ("prune", "fine-tune"):
            yield row
            continue
        if row.multiply_accumulates != other.multiply_accumulates:
            raise RuntimeError(f"the second press pruned otherwise: {other.multiply_accumulates}")
        yield replace(row, latency_ratio=other.latency_ratio)


def rows_of(record: Record, network: str, recipe: str) -> Iterator[StackRow]:
    """One row per step and runtime."""
    first = record.steps[0]
    floats = {target.name: target.size_bytes for target in first.targets}
    for step in record.steps:
        for target in step.targets:
            size, base = target.size_bytes, floats[target.name]
            assert size and base and step.multiply_accumulates and first.multiply_accumulates
            latency = target.latency_s
            speedup = None if latency is None else latency.speedup
            yield StackRow(
                network, recipe, step.name, target.name,
                multiply_accumulates=step.multiply_accumulates / first.multiply_accumulates,
                size_ratio=size / base,
                latency_ratio=None if speedup is None else 1 / speedup,
                seconds=step.seconds,
                **_accuracy(target.metric or step.metric),
            )  # fmt: skip


def _accuracy(metric: Metric | None) -> dict[str, float | int | tuple[float, float] | None]:
    if metric is None:
        return {}
    interval = metric.drop_ci95
    return {
        "top1": 100 * metric.value,
        "drop": None if metric.drop is None else 100 * metric.drop,
        "drop_ci95": None if interval is None else (100 * interval[0], 100 * interval[1]),
        "images": metric.samples,
    }


def write(path: Path, entry: dict[str, object], rows: list[StackRow]) -> None:
    """Replace this network and recipe in the result file, and judge everything in it."""
    old = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    same = ("network", "recipe")
    runs = [run for run in old if any(run[key] != entry[key] for key in same)]
    runs.append({**entry, **describe(), "rows": [asdict(row) for row in rows]})
    runs.sort(key=lambda run: tuple(run[key] for key in same))
    every = [StackRow.read(row) for run in runs for row in run["rows"]]
    bars = [asdict(bar) for bar in judge_stacks(every)]
    result = {"benchmark": "stack", "format": 1, "runs": runs, "bars": bars}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Parse, press, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--network", default="resnet56", help="factory of examples.cifar.networks")
    parser.add_argument("--prune", default="2x")
    parser.add_argument("--prune-for", help="target whose latency is the objective, instead of --prune")
    parser.add_argument("--prune-latency", type=float, help="share of the float network's latency to reach")
    parser.add_argument("--prune-steps", type=int, default=1)
    parser.add_argument("--importance", default="magnitude")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=0, help="test images; 0 for all")
    parser.add_argument("--threads", type=int, default=1, help="of fine-tuning; runtimes are timed with one")
    parser.add_argument("--again", action="store_true", help="time the pruned network in a second press, too")
    parser.add_argument("--work", type=Path, help="folder to keep, and to resume from")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    amount = f"{given.prune_latency}x time in {given.prune_for}" if given.prune_for else given.prune
    recipe = f"{amount}, {given.importance}, {given.epochs} epochs, {PRECISION}"
    place = tempfile.TemporaryDirectory() if given.work is None else nullcontext(str(given.work))
    with place as folder:
        wanted = options(given, Path(folder) / "out")
        rows = list(rows_of(press(wanted), given.network, recipe))
        if given.again and given.prune_steps == 1 and given.importance in ("magnitude", "bn-scale"):
            again = press(pruned_only(wanted, Path(folder) / "again"))
            rows = list(timed_again(rows, rows_of(again, given.network, recipe)))
    write(given.out, {"network": given.network, "recipe": recipe}, rows)


if __name__ == "__main__":
    main()
