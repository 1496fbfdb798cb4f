"""Find the first tensor an artifact computes otherwise: layer-local parity.

Every operator is lowered alone and run on the reference's own integers, so a difference found here belongs
to that operator and not to one before it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pocketpress.core.errors import PocketpressError
from pocketpress.core.program import Node, Program, ProgramBuilder, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.record import FirstDifference
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Runner, TargetSpec, file_to_real
from pocketpress.verify.parity import FLOAT_TOLERANCE
from pocketpress.verify.reference import interpret

Open = Callable[[Path, TargetSpec], Runner]
BORDERS = ("quantize", "dequantize")


def isolate(program: Program, node: Node) -> Program:
    """A program of one operator with float borders, quantised inside by the original scales."""
    builder = ProgramBuilder()
    inputs: list[str] = []
    for index, name in enumerate(node.inputs):
        type_ = program.type(name)
        if name in program.constants:
            inputs.append(builder.constant(name, program.constants[name], type_.quant))
            continue
        dtype = type_.dtype if type_.quant is None else "float32"
        border = builder.input(f"input_{index}", TensorType(type_.shape, dtype))
        inputs.append(
            border if type_.quant is None else builder.node("quantize", [border], type_, name=f"q_{index}")
        )
    out_type = program.type(node.outputs[0])
    out = builder.node(node.op, inputs, out_type, name="result", source=node.source, **node.attrs)
    if out_type.quant is not None:
        out = builder.node("dequantize", [out], TensorType(out_type.shape), name="output")
    return builder.build([out])


def first_difference(
    program: Program, spec: TargetSpec, feeds: Iterable[Mapping[str, Array]], open_runner: Open
) -> FirstDifference | None:
    """Walk the operators in order; None when every one of them agrees on its own.

    Args:
        program: quantised.
        spec: the target.
        feeds: stored inputs of the samples to try.
        open_runner: loads an artifact, in a child process.
    """
    samples = list(feeds)
    kept = {n for node in program.nodes for n in (*node.inputs, *node.outputs) if n not in program.constants}
    values = [interpret(program, sample, keep=kept) for sample in samples]
    for node in program.nodes:
        quantized = program.type(node.outputs[0]).is_quantized
        if (node.op in BORDERS and not quantized) or any(
            program.type(n).dtype == "uint8" for n in node.inputs
        ):
            continue
        differences = _differences(program, node, spec, values, open_runner)
        if differences is None or not differences.any():
            continue
        return FirstDifference(
            tensor=node.outputs[0],
            op=node.op,
            max_lsb=int(differences.max()) if quantized else None,
            equal=float(np.mean(differences == 0)),
            source=node.source or None,
        )
    return None


def _differences(
    program: Program, node: Node, spec: TargetSpec, values: list[dict[str, Array]], open_runner: Open
) -> Array | None:
    alone = isolate(program, node)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"node{spec.suffix}"
        try:
            spec.lower(alone, signature_of(alone, precision="w8a8-static"), path)
            runner = open_runner(path, spec)
        except PocketpressError:
            return None
        out_type = program.type(node.outputs[0])
        step = 1.0 if out_type.quant is None else float(out_type.quant.step)
        found = []
        for sample in values:
            live = [n for n in node.inputs if n not in program.constants]
            got = runner.run([_border(program, n, sample[n]) for n in live])[0]
            wanted = _border(program, node.outputs[0], sample[node.outputs[0]])
            if out_type.quant is None:
                found.append((np.abs(got - wanted) > FLOAT_TOLERANCE * _size(wanted)).astype(np.float64))
            else:
                found.append(np.abs(np.rint(got / step) - np.rint(wanted / step)))
        runner.close()
    return np.concatenate([f.reshape(-1) for f in found])


def _size(values: Array) -> float:
    """What a difference of real numbers is measured by: a single one has no range."""
    return max(float(np.ptp(values)), float(np.abs(values).max()), 1e-9)


def _border(program: Program, name: str, value: Array) -> Array:
    quant = program.type(name).quant
    return value if quant is None else file_to_real(value, float(quant.step), quant.zero_point)
