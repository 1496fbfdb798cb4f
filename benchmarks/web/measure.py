"""All files in one page of one browser: ``python -m benchmarks.web.measure WORK --budget SECONDS --core N``.

Runs them on the held-out pictures, then times them interleaved, one thread, by the page's clock, and writes
``WORK/measured.npz``: ``<name>`` outputs of shape (N, outputs), ``<name>_s`` seconds (rounds, block).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.web.files import FILES, File, place_of
from benchmarks.web.foreign import adopted
from pocketpress.core.target import Array
from pocketpress.core.targets import target_of
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave
from pocketpress.devices.web import WebRunner, close_browser, open_in_browser

THREADS = 1
WARMUP, BLOCK, MIN_ROUNDS, MAX_ROUNDS = 12, 6, 10, 400


class Inference:
    """One inference of a file on the same picture, timed in the page."""

    def __init__(self, runner: WebRunner, feeds: list[Array]) -> None:
        self.runner, self.feeds = runner, feeds

    def __call__(self) -> object:
        """Run once, untimed."""
        return self.runner.run(self.feeds)

    def time_block(self, count: int) -> list[float]:
        """Seconds of ``count`` inferences."""
        return self.runner.time_block(self.feeds, count)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run and time all files in a browser.")
    parser.add_argument("work", type=Path)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of timing")
    parser.add_argument("--core", type=int, help="processor to pin browser and page to")
    given = parser.parse_args()
    if given.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {given.core})  # the browser inherits it
    pictures = place_of(given.work).pictures("held_out")
    runners = {file.name: opened(given.work, file) for file in FILES}
    arrays = {
        name: np.stack([runner.run([x[None]])[0].reshape(-1) for x in pictures])
        for name, runner in runners.items()
    }
    calls = [Inference(runner, [pictures[:1]]) for runner in runners.values()]
    plan = TimingPlan(WARMUP, BLOCK, MIN_ROUNDS, MAX_ROUNDS, given.budget)
    times = interleave(calls, plan).seconds
    arrays |= {f"{name}_s": seconds for name, seconds in zip(runners, times, strict=True)}
    arrays["load_s"] = np.asarray([runner.load_s for runner in runners.values()])
    arrays["browser"] = np.asarray([runner.runtime for runner in runners.values()])
    np.savez(given.work / "measured.npz", **arrays)  # type: ignore[arg-type]
    close_browser()


def opened(work: Path, file: File) -> WebRunner:
    """Load a file in the page."""
    path = work / file.path
    if file.peer:
        path, signature = adopted(path)
        return open_in_browser(path, signature, file.runtime, THREADS)
    runner = target_of(path).open_runner(path, THREADS)
    assert isinstance(runner, WebRunner)
    return runner


if __name__ == "__main__":
    main()
