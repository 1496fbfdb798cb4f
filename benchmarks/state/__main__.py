"""What does a decoder with a cache of keys and values cost, and what does it keep?

    python -m benchmarks.state --text $POCKETPRESS_DATA/multi30k --out results/state.json

The decoder of the examples is pressed to float and to int8 for every runtime, one token at a time with its
cache as state, and judged on captions that training never heard of; then the same network without a cache,
which computes the whole context for every token, is timed beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from examples.decoder.network import CONTEXT
from examples.decoder.text import read_tokens, windows

from benchmarks.machine import describe, run
from benchmarks.recurrent.measure import artifact
from benchmarks.state.produce import KINDS, PRECISIONS
from benchmarks.state.rows import DecoderRow
from pocketpress.core.targets import all_targets
from pocketpress.measure.latency import summarise

RUNTIMES = ("litert", "executorch", "onnxruntime")
FILES = {"": "train.en.gz", "-test": "test_2017_flickr.en.gz"}
"""Captions to calibrate on, and to judge with."""
TEXTS = 40


def prepare(folder: Path, work: Path, texts: int = TEXTS) -> None:
    """Pieces of captions as long as the context, as sequences of steps and whole."""
    for seed, (suffix, name) in enumerate(FILES.items()):
        pieces = windows(read_tokens(folder / name), CONTEXT + 1, texts, seed)
        places = np.broadcast_to(np.arange(CONTEXT), (texts, CONTEXT))
        np.savez(work / f"step{suffix}.npz", token=pieces[:, :-1], position=places, y=pieces[:, 1:])
        np.savez(work / f"whole{suffix}.npz", token=pieces[:, :-1])


def row(target: str, precision: str, work: Path, times: Mapping[str, Any]) -> DecoderRow:
    """From the record of a press and the times of its files."""
    record = json.loads((work / f"step-{precision}" / "record.json").read_text())
    (entry,) = (one for one in record["targets"] if one["name"] == target)
    suffix = all_targets()[target].suffix
    paired = summarise(times["step"], times["whole"], threads=1)
    assert paired.speedup is not None
    drift, metric = entry["drift"] or {}, entry["metric"] or {}
    errors = [segment["sqnr_float_db"] for segment in drift.get("segments", ())]
    interval = metric.get("drop_ci95")
    return DecoderRow(
        target,
        precision,
        size_bytes=entry["size_bytes"],
        whole_size_bytes=artifact(work / f"whole-{precision}", suffix).stat().st_size,
        lower_s=entry["lower_s"],
        step_s=float(np.median(times["step"])),
        floor_s=float(np.median(times["nothing"])),
        whole_s=float(np.median(times["whole"])),
        ratio=paired.speedup,
        ratio_ci95=paired.speedup_ci95,
        error_first_db=errors[0] if errors else None,
        error_last_db=errors[-1] if errors else None,
        grows=drift.get("grows"),
        accuracy=metric.get("value"),
        drop_points=100 * metric["drop"] if metric else None,
        drop_ci95_points=(100 * interval[0], 100 * interval[1]) if interval else None,
        samples=metric.get("samples"),
    )


def measured(target: str, work: Path) -> Iterator[DecoderRow]:
    """Both precisions in one runtime."""
    run("benchmarks.state.measure", target, str(work))
    with np.load(work / f"measured-{target}.npz") as file:
        got = {name: file[name] for name in file.files}
    for precision in PRECISIONS:
        times = {kind: got[f"{precision}/{kind}/s"] for kind in (*KINDS, "nothing")}
        yield row(target, precision, work, times)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="folder of the captions")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--texts", type=int, default=TEXTS, help="pieces to calibrate on, and to judge with")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        prepare(given.text, work, given.texts)
        made = {kind: run("benchmarks.state.produce", kind, str(work)) for kind in KINDS}
        print(*(f"{kind}: {child.seconds:.0f} s" for kind, child in made.items()), file=sys.stderr)
        rows = [asdict(one) for target in RUNTIMES for one in measured(target, work)]
    result = {
        "benchmark": "state", "format": 1, **describe(), "context": CONTEXT, "decoder": rows,
        "press_seconds": {kind: child.seconds for kind, child in made.items()},
        "load": max(child.load for child in made.values()),
    }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
