"""Run one program through the reference and through the ExecuTorch runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pocketpress.core.program import Program
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.lower import lower
from pocketpress.targets.executorch.run import open_runner
from pocketpress.verify.reference import interpret


def feeds_of(program: Program, *, positive: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Random stored values for every input; integers cover their whole range."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for name in program.inputs:
        type_ = program.type(name)
        if type_.dtype == "float32":
            value = rng.normal(size=type_.shape).astype(np.float32)
            feeds[name] = np.abs(value) + np.float32(0.1) if positive else value
        else:
            info = np.iinfo(type_.dtype)
            feeds[name] = rng.integers(info.min, info.max + 1, type_.shape).astype(type_.dtype)
    return feeds


def run_both(
    program: Program,
    folder: Path,
    *,
    feeds: dict[str, np.ndarray] | None = None,
    positive: bool = False,
    seed: int = 0,
    precision: str = "fp32",
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Outputs of the reference and of the runtime, in order."""
    path = folder / "program.pte"
    lower(program, signature_of(program, precision=precision), path)
    feeds = feeds_of(program, positive=positive, seed=seed) if feeds is None else feeds
    runner = open_runner(path, 1)
    got = runner.run([feeds[name] for name in program.inputs])
    runner.close()
    expected = interpret(program, feeds)
    return [expected[name].reshape(program.type(name).shape) for name in program.outputs], got
