"""Lower one case to one target, run it in the real runtime, and compare with the reference."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.session import run_stored
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Runner, Skipped, TargetSpec
from pocketpress.testing.case_builder import DYNAMIC, INTEGER, Case
from pocketpress.verify.reference import interpret

Open = Callable[[Path, TargetSpec], Runner]
FLOAT_TOLERANCE = 1e-5
"""Largest difference of a float operator from the reference, relative to the range of its output."""


DYNAMIC_TOLERANCE = 0.02
"""The same where activations are quantised at run time: some steps of 1/255, as every runtime likes."""


@dataclass(frozen=True)
class CaseResult:
    """What a target made of a case.

    Attributes:
        case: the case's id.
        target: the target's name.
        unsupported: the target's message when it refuses the case, else None.
        equal: share of output elements equal to the reference, 0 to 1.
        max_lsb: largest difference in steps of the output's integer grid; None in float.
        max_error: largest difference relative to the range of the reference's output.
        skipped: what the target's audit says is not computed in integers.
    """

    case: str
    target: str
    unsupported: str | None = None
    equal: float = 0.0
    max_lsb: float | None = None
    max_error: float = float("inf")
    skipped: tuple[Skipped, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether every output element is the reference's, bit for bit."""
        return self.unsupported is None and self.equal == 1.0

    @property
    def is_alike(self) -> bool:
        """Whether a result is the reference's up to 8-bit rounding of its activations."""
        return self.unsupported is None and self.max_error <= DYNAMIC_TOLERANCE

    @property
    def is_close(self) -> bool:
        """Whether a float result is the reference's up to the rounding of float32 arithmetic."""
        return self.unsupported is None and self.max_error <= FLOAT_TOLERANCE


def expects(spec: TargetSpec, case: Case) -> str:
    """What a target's card promises for a case: "equal", "close", "alike", "within 1" or "unsupported"."""
    if case.precision not in spec.precisions:
        return "unsupported"
    if case.precision == DYNAMIC:
        return "alike" if case.op in spec.float_ops else "unsupported"
    if case.precision != INTEGER or case.island:
        listed = case.op in spec.float_ops
        return "unsupported" if not listed else "within 1" if case.island else "close"
    return "equal" if case.op in spec.integer_ops else "unsupported"


def keeps_promise(spec: TargetSpec, case: Case, result: CaseResult) -> bool:
    """Whether a result is what the card promises; an operator with a remark may refuse a variant."""
    promised = expects(spec, case)
    if result.unsupported is not None:
        return promised == "unsupported" or case.op in spec.remarks
    if promised == "within 1":
        return result.max_lsb is not None and result.max_lsb <= 1
    kept = {"equal": result.is_equal, "close": result.is_close, "alike": result.is_alike}
    return kept.get(promised, False)


def check_target(spec: TargetSpec, case: Case, open_runner: Open | None = None) -> CaseResult:
    """Lower, audit, open, run and compare.

    Args:
        spec: the target.
        case: what to lower.
        open_runner: loads an artifact on a device, as `core.device.Connection.open` does; by default it is
            loaded in this process.

    Raises:
        PocketpressError: the target fails otherwise than by saying that it lacks the operator.
    """
    signature = signature_of(case.program, precision=case.precision)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"case{spec.suffix}"
        try:
            spec.lower(case.program, signature, path)
        except UnsupportedError as error:
            return CaseResult(case.id, spec.name, unsupported=str(error))
        skipped = spec.audit(path, case.program) if case.precision == INTEGER else ()
        runner = spec.open_runner(path, threads=1) if open_runner is None else open_runner(path, spec)
        try:
            outputs = run_stored(runner, signature, [case.feeds[name] for name in case.program.inputs])
        finally:
            runner.close()
    return _compare(spec, case, outputs, skipped)


def _compare(spec: TargetSpec, case: Case, outputs: list[Array], skipped: tuple[Skipped, ...]) -> CaseResult:
    expected = interpret(case.program, case.feeds)
    equal, steps, errors = [], [], []
    for name, got in zip(case.program.outputs, outputs, strict=True):
        wanted = expected[name]
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            return CaseResult(case.id, spec.name, max_lsb=None, skipped=skipped)
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        equal.append(np.mean(got == wanted))
        steps.append(difference.max() / _step(case.program, name))
        errors.append(difference.max() / max(float(np.ptp(wanted.astype(np.float64))), 1e-30))
    return CaseResult(
        case.id,
        spec.name,
        equal=float(np.mean(equal)),
        max_lsb=float(np.rint(max(steps))) if case.precision == INTEGER else None,
        max_error=float(max(errors)),
        skipped=skipped,
    )


def _step(program: Program, output: str) -> float:
    """The step of the integer grid behind a dequantised output; 1 for the others."""
    producer = program.producers().get(output)
    quant = None
    if producer is not None and producer.op == "dequantize":
        quant = program.type(producer.inputs[0]).quant
    return float(quant.step) if quant is not None else 1.0
