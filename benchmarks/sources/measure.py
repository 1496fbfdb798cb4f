"""One runtime in a process of its own: ``python -m benchmarks.sources.measure TARGET WORK``.

Opens the files that ``WORK/files-TARGET.json`` names by label, runs each on the pictures of
``WORK/pictures.npz``, times them interleaved, one thread, and writes ``WORK/measured-TARGET.npz``:
``LABEL`` real-valued outputs of shape (N, outputs) and ``LABEL/s`` seconds of shape (rounds, block).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers.opened import Array, Opened
from pocketpress.core.target import file_to_real, real_to_file
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave

PLAN = TimingPlan(warmup=10, block=8, min_rounds=30, max_rounds=400, budget_s=20.0)
CHANNELS_LAST = (0, 2, 3, 1)


def main() -> None:
    """Parse, run, time, write."""
    parser = argparse.ArgumentParser(description="Run and time the files of one runtime.")
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    listed = json.loads((given.work / f"files-{given.target}.json").read_text())
    opened = {label: open_file(Path(path), given.target) for label, path in listed.items()}
    with np.load(given.work / "pictures.npz") as file:
        pictures = file["x"]
    arrays = {label: np.concatenate([file(x[None]) for x in pictures]) for label, file in opened.items()}
    times = interleave([_call(file, pictures[:1]) for file in opened.values()], PLAN).seconds
    arrays |= {f"{label}/s": seconds for label, seconds in zip(opened, times, strict=True)}
    np.savez(given.work / f"measured-{given.target}.npz", **arrays)  # type: ignore[arg-type]


def open_file(path: Path, target: str) -> Opened:
    """An artifact; pictures (1, 3, H, W) are turned for networks whose channels come last."""
    runner = all_targets()[target].open_runner(path, 1)
    given, got = runner.signature.inputs[0], runner.signature.outputs[0]

    def encode(x: Array) -> Array:
        turned = x if x.shape == given.shape else np.ascontiguousarray(x.transpose(CHANNELS_LAST))
        return real_to_file(turned, given.dtype, given.scale, given.zero_point)

    return Opened(
        encode=encode,
        run=lambda x: runner.run([x])[0],
        decode=lambda y: file_to_real(y, got.scale, got.zero_point),
    )


def _call(file: Opened, x: Array) -> Callable[[], Array]:
    fed = file.encode(x)
    return lambda: file.run(fed)


if __name__ == "__main__":
    main()
