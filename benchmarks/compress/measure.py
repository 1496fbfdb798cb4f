"""One runtime in a process of its own: ``python -m benchmarks.compress.measure TARGET SUBJECT WORK``.

Opens the files that ``WORK/files-TARGET.json`` names, ``{label: [tool, path]}`` with our float file first,
runs each on all held-out pictures, times them interleaved, one thread, and writes
``WORK/measured-TARGET.npz``:
``LABEL`` real-valued outputs of shape (N, outputs) and ``LABEL/s`` seconds of shape (rounds, block).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.compress.rows import OURS
from benchmarks.judge import open_ours
from benchmarks.peers.opened import Array, Opened
from benchmarks.workplace import Workplace, peer
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave

PLAN = TimingPlan(warmup=5, block=4, min_rounds=8, max_rounds=200, budget_s=10.0)


def main() -> None:
    """Parse, run, time, write."""
    parser = argparse.ArgumentParser(description="Run and time the files of one runtime.")
    parser.add_argument("target")
    parser.add_argument("subject")
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    place = Workplace(given.work, given.subject)
    listed = json.loads((given.work / f"files-{given.target}.json").read_text())
    opened = {label: _open(given.target, tool, Path(path)) for label, (tool, path) in listed.items()}
    pictures = place.pictures("held_out")
    arrays = {label: np.concatenate([file(x[None]) for x in pictures]) for label, file in opened.items()}
    times = interleave([_call(file, pictures[:1]) for file in opened.values()], PLAN).seconds
    arrays |= {f"{label}/s": seconds for label, seconds in zip(opened, times, strict=True)}
    np.savez(given.work / f"measured-{given.target}.npz", **arrays)  # type: ignore[arg-type]


def _open(target: str, tool: str, path: Path) -> Opened:
    opened: Opened = open_ours(path, target) if tool == OURS else peer(tool).open_file(path, 1)
    return opened


def _call(file: Opened, x: Array) -> Callable[[], Array]:
    fed = file.encode(x)
    return lambda: file.run(fed)


if __name__ == "__main__":
    main()
