"""One runtime in a process of its own: ``python -m benchmarks.judge TOOL SUBJECT WORK --budget SECONDS``.

Runs our artifact, the peer's file and both float files on the held-out pictures, then times them
interleaved, one thread, and writes ``WORK/judged-TARGET.npz``: ``<who>`` outputs of shape (N, outputs) and
``<who>_s`` seconds of shape (rounds, block), for who in ours, peer, float_ours, float_stock.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.peers.opened import Array, Opened
from benchmarks.workplace import FLOATS, OURS, PEERS, Workplace, peer
from pocketpress.core.target import file_to_real, real_to_file
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave

THREADS = 1
WARMUP, BLOCK, MIN_ROUNDS, MAX_ROUNDS = 10, 8, 15, 400


def main() -> None:
    parser = argparse.ArgumentParser(description="Run and time one runtime's files.")
    parser.add_argument("tool", choices=PEERS)
    parser.add_argument("subject")
    parser.add_argument("work", type=Path)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of timing")
    given = parser.parse_args()
    place, module = Workplace(given.work, given.subject), peer(given.tool)
    opened = open_all(place, module)
    pictures = place.pictures("held_out")
    arrays = {who: np.concatenate([file(x[None]) for x in pictures]) for who, file in opened.items()}
    calls = [_call(file, pictures[:1]) for file in opened.values()]
    plan = TimingPlan(WARMUP, BLOCK, MIN_ROUNDS, MAX_ROUNDS, given.budget)
    times = interleave(calls, plan).seconds
    arrays |= {f"{who}_s": seconds for who, seconds in zip(opened, times, strict=True)}
    np.savez(place.folder / f"judged-{module.TARGET}.npz", **arrays)  # type: ignore[arg-type]


def open_all(place: Workplace, module: ModuleType) -> dict[str, Opened]:
    """Our files first: the first one of ExecuTorch's sizes the thread pool."""
    suffix = all_targets()[module.TARGET].suffix
    return {
        "ours": open_ours(place.our_file(suffix, OURS), module.TARGET),
        "float_ours": open_ours(place.our_file(suffix, FLOATS), module.TARGET),
        "peer": module.open_file(place.peer_file(module), THREADS),
        "float_stock": module.open_file(place.stock_float(module), THREADS),
    }


def open_ours(path: Path, target: str) -> Opened:
    """An artifact of ours; the borders are converted as `pocketpress.open` does."""
    runner = all_targets()[target].open_runner(path, THREADS)
    given, got = runner.signature.inputs[0], runner.signature.outputs[0]
    return Opened(
        lambda x: real_to_file(x, given.dtype, given.scale, given.zero_point),
        lambda x: runner.run([x])[0],
        lambda y: file_to_real(y, got.scale, got.zero_point),
    )


def _call(file: Opened, x: Array) -> Callable[[], Array]:
    fed = file.encode(x)
    return lambda: file.run(fed)


if __name__ == "__main__":
    main()
