"""One runtime in a process of its own: ``python -m benchmarks.recurrent.measure TARGET WORK``.

Opens the whole network, the step and the long one in both precisions, times whole against step and against a
step that computes nothing, runs the long one on the test sequences, and writes ``WORK/measured-TARGET.npz``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.recurrent.networks import nothing
from benchmarks.recurrent.produce import KINDS, PRECISIONS
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import Array, Runner, TargetSpec, file_to_real, real_to_file
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave

PLAN = TimingPlan(warmup=20, block=16, min_rounds=40, max_rounds=400, budget_s=20.0)
TIMED = ("whole", "step", "nothing")
"""The long one takes longer than a busy machine leaves a process alone."""


def main() -> None:
    """Parse, run, time, write."""
    parser = argparse.ArgumentParser(description="Run and time the files of one runtime.")
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    spec = all_targets()[given.target]
    with np.load(given.work / "long-test.npz") as file:
        sequences = file["x"]
    arrays: dict[str, Array] = {}
    for precision in PRECISIONS:
        paths = {kind: artifact(given.work / f"{kind}-{precision}", spec.suffix) for kind in KINDS}
        runners = {kind: spec.open_runner(path, 1) for kind, path in paths.items()}
        runners["nothing"] = _nothing(spec, runners["step"].signature, given.work)
        long = runners["long"]
        arrays[f"{precision}/scores"] = np.concatenate([_scores(long, x[None]) for x in sequences])
        seconds = interleave([_call(runners[kind]) for kind in TIMED], PLAN).seconds
        arrays |= {f"{precision}/{kind}/s": taken for kind, taken in zip(TIMED, seconds, strict=True)}
    np.savez(given.work / f"measured-{given.target}.npz", **arrays)  # type: ignore[arg-type]


def artifact(folder: Path, suffix: str) -> Path:
    """The one pressed file of a runtime, not its float original."""
    (found,) = (path for path in folder.glob(f"*{suffix}") if not path.name.startswith("float-"))
    return found


def _nothing(spec: TargetSpec, step: Signature, work: Path) -> Runner:
    program, path = nothing(step), work / f"nothing{spec.suffix}"
    spec.lower(program, signature_of(program, precision="fp32"), path)
    return spec.open_runner(path, 1)


def _scores(runner: Runner, x: Array) -> Array:
    given, got = runner.signature.inputs[0], runner.signature.outputs[0]
    (y,) = runner.run([real_to_file(x, given.dtype, given.scale, given.zero_point)])
    return file_to_real(y, got.scale, got.zero_point)


def _call(runner: Runner) -> Callable[[], list[Array]]:
    """One inference on noise: none of these networks takes longer on other values."""
    rng = np.random.default_rng(0)
    feeds = [
        real_to_file(rng.uniform(-1, 1, spec.shape), spec.dtype, spec.scale, spec.zero_point)
        for spec in runner.signature.inputs
    ]
    return lambda: runner.run(feeds)


if __name__ == "__main__":
    main()
