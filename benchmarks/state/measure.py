"""One runtime in a process of its own: ``python -m benchmarks.state.measure TARGET WORK``.

Times a step with its cache, the whole context without one, and a call with the step's inputs and outputs that
computes nothing, round by round, and writes ``WORK/measured-TARGET.npz``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.recurrent.measure import artifact
from benchmarks.state.produce import KINDS, PRECISIONS
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import Array, Runner, TargetSpec, real_to_file
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave

PLAN = TimingPlan(warmup=20, block=8, min_rounds=40, max_rounds=400, budget_s=20.0)
TIMED = (*KINDS, "nothing")


def main() -> None:
    """Parse, time, write."""
    parser = argparse.ArgumentParser(description="Time the files of one runtime.")
    parser.add_argument("target")
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    spec = all_targets()[given.target]
    arrays: dict[str, Array] = {}
    for precision in PRECISIONS:
        paths = {kind: artifact(given.work / f"{kind}-{precision}", spec.suffix) for kind in KINDS}
        runners = {kind: spec.open_runner(path, 1) for kind, path in paths.items()}
        runners["nothing"] = _nothing(spec, runners["step"].signature, given.work)
        seconds = interleave([_call(runners[kind]) for kind in TIMED], PLAN).seconds
        arrays |= {f"{precision}/{kind}/s": taken for kind, taken in zip(TIMED, seconds, strict=True)}
    np.savez(given.work / f"measured-{given.target}.npz", **arrays)  # type: ignore[arg-type]


def _nothing(spec: TargetSpec, step: Signature, work: Path) -> Runner:
    program, path = nothing(step), work / f"nothing{spec.suffix}"
    spec.lower(program, signature_of(program, precision="fp32"), path)
    return spec.open_runner(path, 1)


def nothing(step: Signature) -> Program:
    """The caches of a step, their signs turned, and as many other numbers as it has scores."""
    b, outputs = ProgramBuilder(), []
    given = {one.name: one for one in step.inputs}
    taken = {s.output: b.input(s.input, TensorType(given[s.input].shape)) for s in step.states}
    first = step.states[0]
    count = math.prod(given[first.input].shape)
    line = b.node("reshape", [taken[first.output]], TensorType((1, count)), shape=(1, count))
    for one in step.outputs:
        source, shape = taken.get(one.name), TensorType(one.shape)
        if source is None:
            row = (1, math.prod(one.shape))
            source = b.node("slice", [line], TensorType(row), starts=(0, 0), sizes=row, steps=(1, 1))
            source = b.node("reshape", [source], shape, shape=one.shape)
        outputs.append(b.node("neg", [source], shape, name=one.name))
    return b.build(outputs)


def _call(runner: Runner) -> Callable[[], list[Array]]:
    """One inference on zeros of whole numbers and noise: neither network takes longer on others."""
    rng = np.random.default_rng(0)
    feeds: list[Array] = []
    for spec in runner.signature.inputs:
        if spec.dtype.startswith("int") and spec.scale is None:
            feeds.append(np.zeros(spec.shape, spec.dtype))
        else:
            noise = rng.uniform(-1, 1, spec.shape)
            feeds.append(real_to_file(noise, spec.dtype, spec.scale, spec.zero_point))
    return lambda: runner.run(feeds)


if __name__ == "__main__":
    main()
