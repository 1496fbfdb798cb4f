"""Which form of a recurrent layer is fastest in ONNX Runtime, and what each loses.

    python -m benchmarks.recurrent_forms --out results/recurrent_forms.json

One GRU layer with seeded weights, 49 steps of 40 numbers, in four forms: the runtime's own operator on float
and on int8 weights, and a Scan over one step in float and with the state rounded to 8 bits.  Files are
interleaved; a latency is the median of all runs.  SQNR is that of all states against the float layer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe
from pocketpress.compress.quantize.recurrent import RecurrentPlan, apply_recurrent, plan_recurrent
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import UNIT_STATE_SCALE
from pocketpress.core.signature import signature_of
from pocketpress.targets.onnxruntime.spec import SPEC
from pocketpress.verify.reference import interpret

STEPS, WIDTH = 49, 40
HIDDEN = (64, 128, 256, 512)
ROUNDS, WARM_UP = 120, 5


@dataclass(frozen=True)
class Form:
    """One form of one layer.

    Attributes:
        form: in words.
        hidden: units.
        size_bytes: of the file.
        latency_s: median of one inference of 49 steps.
        sqnr_db: of all states against the float layer; None for the float forms.
    """

    form: str
    hidden: int
    size_bytes: int
    latency_s: float
    sqnr_db: float | None


def layer(hidden: int, *, shown: bool = False) -> Program:
    """A GRU and its input product; whoever shows the product gets a Scan."""
    rng, b = np.random.default_rng(hidden), ProgramBuilder()

    def constant(*shape: int) -> str:
        bound = 1 / np.sqrt(hidden)  # as torch starts
        return b.constant("c", rng.uniform(-bound, bound, shape).astype(np.float32))

    x, rows = b.input("x", TensorType((STEPS, 1, WIDTH))), 3 * hidden
    product = [x, constant(rows, WIDTH), constant(rows)]
    gates = b.node("linear", product, TensorType((STEPS, 1, rows)), name="gates", clamp=None)
    zero = b.constant("zero", np.zeros((1, hidden), np.float32))
    inputs = [gates, zero, constant(rows, hidden), constant(rows)]
    attrs: dict[str, Any] = {"reverse": False, "reset_after": True, "state_scale": None}
    y = b.node("gru", inputs, TensorType((STEPS, 1, hidden)), name="states", **attrs)
    return b.build([y, gates] if shown else [y])


def forms(hidden: int) -> dict[str, Program]:
    """The four forms."""
    plain, shown = layer(hidden), layer(hidden, shown=True)
    weights = plan_recurrent(plain, {}, integers=False)
    rounded = RecurrentPlan(weights.weights, {"states": UNIT_STATE_SCALE}, {})
    return {
        "operator, float weights": plain,
        "operator, int8 weights": apply_recurrent(plain, weights),
        "Scan, float weights": shown,
        "Scan, int8 weights, rounded state": apply_recurrent(plain, rounded),
    }


def measured(hidden: int, folder: Path) -> list[Form]:
    """All forms of one width, interleaved."""
    x = np.random.default_rng(1).normal(size=(STEPS, 1, WIDTH)).astype(np.float32)
    made, runners, sizes = forms(hidden), {}, {}
    for name, program in made.items():
        path = folder / f"{len(runners)}.onnx"
        SPEC.lower(program, signature_of(program, precision="w8"), path)
        runners[name], sizes[name] = SPEC.open_runner(path, threads=1), path.stat().st_size
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(ROUNDS + WARM_UP):
        for name, runner in runners.items():
            begin = time.perf_counter()
            runner.run([x])
            times[name].append(time.perf_counter() - begin)
    truth = interpret(layer(hidden), {"x": x})["states"]
    return [
        Form(name, hidden, sizes[name], statistics.median(times[name][WARM_UP:]), _sqnr(program, x, truth))
        for name, program in made.items()
    ]


def _sqnr(program: Program, x: Array, truth: Array) -> float | None:
    noise = float(np.square(interpret(program, {"x": x})["states"] - truth).sum())
    return None if noise == 0 else float(10 * np.log10(float(np.square(truth).sum()) / noise))


def main() -> None:
    """Measure all widths."""
    parser = argparse.ArgumentParser(description="Forms of a recurrent layer in ONNX Runtime.")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [asdict(form) for hidden in HIDDEN for form in measured(hidden, Path(folder))]
    result = {**describe(), "steps": STEPS, "inputs": WIDTH, "rounds": ROUNDS, "forms": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
