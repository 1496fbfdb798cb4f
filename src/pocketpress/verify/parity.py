"""Element-by-element agreement of an artifact's outputs with the reference.

An output on an integer grid is compared in steps of that grid; an output computed in float is compared with
a tolerance of 1e-4 of its range, which is float32 rounding over a deep network and nothing else.
Agreement proves nothing when the outputs hardly depend on the input (random weights, dead activations), so
the spread of the reference's outputs between different inputs is reported beside it, and the comparison is
called vacuous when that spread is within a few steps.

Where runtimes round in their own ways by design (activations quantised at run time, 16-bit activations,
float layers between integer ones) there are no equal integers to demand.  There an artifact must compute the
float network as well as the reference does, give or take the 3 dB by which two sets of independent rounding
errors of equal size differ from one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pocketpress.core.program import OPS, Program
from pocketpress.core.program.exact import exact_nodes
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.record import Parity
from pocketpress.core.signature import Signature, TensorSpec

Array = npt.NDArray[np.float32]
Outputs = Sequence[Mapping[str, Array]]

FLOAT_TOLERANCE = 1e-4
VACUOUS_STEPS = 4.0
ROUNDING_DB = 3.0
LARGEST_REQUIRED_DB = 60.0
"""A reference that hardly errs does not oblige runtimes to err as little: this is a thousandth."""
WHOLE_DTYPES = ("int32", "int64")
BITWISE = (
    "quantize", "dequantize", "div", "minimum", "maximum", "sqrt", "neg", "abs", "step", "floor", "round",
    "prelu", "cast", "whole",
)  # fmt: skip
"""Of what has no integer form: what every runtime rounds alike."""
SUMS = ("conv2d", "conv_transpose2d", "linear", "matmul")
INFINITE_DB = float("inf")
LARGEST = float(np.finfo(np.float32).max)
MOST_STEPS = 2**31 - 1


def compare(
    got: Outputs,
    reference: Outputs,
    signature: Signature,
    float_outputs: Outputs | None = None,
    *,
    approximate: bool = False,
) -> Parity:
    """Compare outputs of the same samples.

    Args:
        got: real-valued outputs of an artifact, one mapping per sample.
        reference: the same of the reference interpreter (or of another runtime).
        signature: gives each output's grid; exact float outputs count as integers, a difference in units of
            the float tolerance, at least 1.
        float_outputs: the float network's outputs, for the error that quantisation itself causes.
        approximate: the program leaves rounding to the runtime (`is_approximate`).
    """
    steps = [_steps(spec, got, reference) for spec in signature.outputs]
    counted = [s.grid_scale is not None or s.exact for s in signature.outputs]
    on_grid = [np.ceil(s) for s, whole in zip(steps, counted, strict=True) if whole]
    in_float = [s for s, whole in zip(steps, counted, strict=True) if not whole]
    integer = np.concatenate(on_grid) if on_grid else None
    spread = min(_spread(spec, reference) for spec in signature.outputs)
    names = [spec.name for spec in signature.outputs]
    required = None
    if approximate and float_outputs is not None:
        required = min(_sqnr(names, float_outputs, reference) - ROUNDING_DB, LARGEST_REQUIRED_DB)
    return Parity(
        samples=len(got),
        required_sqnr_db=required,
        elements=int(sum(s.size for s in steps)),
        equal=None if integer is None else float(np.mean(integer == 0)),
        within_1_lsb=None if integer is None else float(np.mean(integer <= 1)),
        max_lsb=None if integer is None else int(integer.max(initial=0)),
        max_abs=max(_largest(spec.name, got, reference) for spec in signature.outputs),
        tolerance=None
        if approximate
        else max(
            (
                tolerance_of(s.name, reference)
                for s, whole in zip(signature.outputs, counted, strict=True)
                if not whole
            ),
            default=None,
        ),
        sqnr_reference_db=_sqnr(names, reference, got),
        sqnr_float_db=None if float_outputs is None else _sqnr(names, float_outputs, got),
        argmax_agreement=_argmax(names[0], got, reference),
        vacuous=bool(spread < VACUOUS_STEPS) if len(got) > 1 else None,
        spread=spread if len(got) > 1 and (on_grid or in_float) else None,
    )


def is_approximate(program: Program) -> bool:
    """Whether runtimes may round the program's intermediate results in their own ways.

    They do so for activations quantised at run time and in 16 bits, where the sums of a float product,
    which every runtime adds in its own order, are quantised again, and where a recurrent state is rounded,
    which comes from every runtime's own exp and tanh.
    """
    summed, exact = set[str](), exact_nodes(program)
    for node in program.nodes:
        out = node.outputs[0]
        if node.op.startswith("dynamic_") or program.type(out).dtype == "int16":
            return True
        if node.attrs.get("state_scale") is not None:
            return True
        if node.op == "quantize" and node.inputs[0] in summed:
            return True
        starts = (
            node.op in (*SUMS, *RECURRENT) and not program.type(out).is_quantized and node.name not in exact
        )
        if starts or summed & set(node.inputs):
            summed.add(out)
    return False


def has_float_sums(program: Program) -> bool:
    """Whether sums or functions that every runtime computes in float in its own way are made integers again.

    Their last bits differ, so that a result next to a rounding tie becomes one integer here and the next one
    there, now and then, and what is behind it differs too.
    """
    inexact, floats = set[str](), {name for name, spec in OPS.items() if spec.integer == "float"}
    for node in program.nodes:
        out = node.outputs[0]
        if node.op == "quantize" and node.inputs[0] in inexact:
            return True
        starts = node.op in (floats | {"mean", "sigmoid", "tanh", "elu"}) and node.op not in BITWISE
        if not program.type(out).is_quantized and (starts or inexact & set(node.inputs)):
            inexact.add(out)
    return False


def _difference(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``|a - b|``, the largest float32 where only one side is NaN or infinite: a wreck stays a number."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        far = np.nan_to_num(np.abs(first - second), nan=LARGEST, posinf=LARGEST)
    return np.where(same, 0.0, np.minimum(far, LARGEST))


def _steps(spec: TensorSpec, got: Outputs, reference: Outputs) -> npt.NDArray[np.float64]:
    """Absolute difference in steps of the output's grid (float outputs: in tolerances)."""
    a = np.concatenate([np.asarray(o[spec.name], np.float64).reshape(-1) for o in got])
    b = np.concatenate([np.asarray(o[spec.name], np.float64).reshape(-1) for o in reference])
    if spec.grid_scale is None:
        return _difference(a, b) / tolerance_of(spec.name, reference)
    steps = _difference(np.rint(a / spec.grid_scale), np.rint(b / spec.grid_scale))
    return np.minimum(steps, MOST_STEPS)


def tolerance_of(name: str, reference: Outputs) -> float:
    """What a float output may differ by: a ten-thousandth of the range of its finite values."""
    values = np.concatenate([np.asarray(o[name], np.float64).reshape(-1) for o in reference])
    values = values[np.isfinite(values)]
    return max(float(values.max(initial=0) - values.min(initial=0)) * FLOAT_TOLERANCE, 1e-9)


def _largest(name: str, got: Outputs, reference: Outputs) -> float:
    return max(
        float(_difference(a[name], b[name]).max(initial=0)) for a, b in zip(got, reference, strict=True)
    )


def _spread(spec: TensorSpec, reference: Outputs) -> float:
    """Median over neighbouring samples of the largest difference between their outputs, in steps.

    An exact float output comes from 8-bit numbers: its step is a 255th of its range.  Of whole numbers, which
    are classes and places, another one tells samples apart.
    """
    step = spec.grid_scale
    if spec.dtype in WHOLE_DTYPES and spec.scale is None:
        step = 1 / VACUOUS_STEPS
    if step is None:
        step = tolerance_of(spec.name, reference) * (1 / (255 * FLOAT_TOLERANCE) if spec.exact else 1)
    values = [np.asarray(o[spec.name], np.float64) for o in reference]
    if len(values) < 2:
        return 0.0
    return float(np.median([_difference(a, b).max(initial=0) / step for a, b in itertools.pairwise(values)]))


def sqnr_db(signal: npt.NDArray[np.float64], noise: npt.NDArray[np.float64]) -> float:
    """10 log10 of signal power over noise power; infinity without noise."""
    return decibels(float(np.sum(signal**2)), float(np.sum(noise**2)))


def decibels(signal: float, noise: float) -> float:
    """10 log10 of the ratio of two sums of squares; infinity without noise."""
    if noise == 0:
        return INFINITE_DB
    return max(-1000.0, 10 * (math.log10(max(signal, 1e-300)) - math.log10(noise)))


def _sqnr(names: list[str], truth: Outputs, got: Outputs) -> float:
    signal = np.concatenate([np.asarray(o[n], np.float64).reshape(-1) for o in truth for n in names])
    other = np.concatenate([np.asarray(o[n], np.float64).reshape(-1) for o in got for n in names])
    return sqnr_db(np.nan_to_num(signal, posinf=LARGEST, neginf=-LARGEST), _difference(signal, other))


def _argmax(name: str, got: Outputs, reference: Outputs) -> float:
    same = [int(np.argmax(a[name])) == int(np.argmax(b[name])) for a, b in zip(got, reference, strict=True)]
    return float(np.mean(same))
