"""A read file as steps over real numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.core.program.state import MAX_INITIAL, State
from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import Graph, Input, Step, check_supported
from pocketpress.sources.tflite.given import given_scales
from pocketpress.sources.tflite.operators.table import OPERATORS
from pocketpress.sources.tflite.read import (
    KEPT,
    FileGraph,
    FileOperator,
    FileState,
    FileTensor,
    check_readable,
)
from pocketpress.sources.tflite.states import SEQUENCES, STATES
from pocketpress.sources.tflite.values import QUANTIZED, constant

BIAS_AT = {
    "CONV_2D": (2,), "DEPTHWISE_CONV_2D": (2,), "FULLY_CONNECTED": (2,), "TRANSPOSE_CONV": (3,), "SVDF": (3,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (12, 13, 14, 15), "UNIDIRECTIONAL_SEQUENCE_RNN": (3,),
}  # fmt: skip
"""Where 32- and 64-bit integers with a scale stand for reals."""
CLAMPED = ("ADD", "SUB", "MUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators whose range may be all that is left of a ReLU."""
TYPES = {"FLOAT32": "float", "INT32": "int32", "INT64": "int64", "BOOL": "bool"}
ELEMENTS_PER_BYTE = 8
"""Constants that share bytes are unpacked one by one; more than this and the file is an attack."""
RELU, RELU6 = 1, 3
QUANTIZED_NOTE = (
    "quantized",
    "8-bit weights were made real numbers; the network is compressed anew unless --estimator file keeps its "
    "scales",
)
STATE_NOTE = "starts from a state of zeros at every run, as LiteRT does after a reset"
CLIP_NOTE = f"{STATE_NOTE}; cells beyond 10 are not limited to it"


def parse(file: FileGraph, size_bytes: int) -> Graph:
    """Name the tensors, make constants arrays, and integers that stand for reals real.

    Args:
        file: as read.
        size_bytes: of the file, which bounds what its constants may take.

    Raises:
        SourceError: the file is malformed.
        UnsupportedError: operators that are not supported, all at once.
    """
    names = _names(file)
    steps = _steps(file, names)
    check_supported(steps, OPERATORS)
    known = _constants(file, names, size_bytes)
    notes = [QUANTIZED_NOTE] if any(_is_quantized(t) for t in file.tensors) else []
    notes += [
        (step.name, CLIP_NOTE if step.attributes.get("cellClip") else STATE_NOTE)
        for step in steps
        if step.op in SEQUENCES and len(step.outputs) == 1
    ]
    notes += [(f"signature {name}", "the first signature is read") for name in file.unread]
    return Graph(
        tuple(_input(i, file, names[i]) for _, i in file.inputs),
        tuple(dict.fromkeys(names[i] for _, i in file.outputs)),
        known,
        tuple(steps),
        tuple(notes),
        given_scales(file, steps),
        states=tuple(_state(state, file, names) for state in file.states),
    )


def _state(state: FileState, file: FileGraph, names: list[str]) -> State:
    """With its initial value in real numbers."""
    taken, given = names[state.input], names[state.output]
    if state.initial is None or state.initial.data is None:
        return State(taken, given)
    tensor = file.tensors[state.input]
    stored = replace(state.initial, scale=tensor.scale, zero_point=tensor.zero_point, axis=tensor.axis)
    values = constant(stored, state.initial.data, real=_is_quantized(tensor)).reshape(-1).astype(np.float64)
    numbers = values[:1] if values.size and (values == values[0]).all() else values
    if numbers.size > MAX_INITIAL:
        raise UnsupportedError(
            f"variable {taken} starts from too many numbers", got=numbers.size, allowed=MAX_INITIAL
        )
    return State(taken, given, tuple(numbers.tolist()))


def _names(file: FileGraph) -> list[str]:
    """One name per tensor: the signature's, else its own; its number is added where that is taken."""
    public = {index: name for name, index in (*file.outputs, *file.inputs)}
    wanted = [public.get(i, tensor.name) or f"tensor_{i}" for i, tensor in enumerate(file.tensors)]
    count = Counter(wanted)
    first = {name: i for i, name in reversed([*enumerate(wanted)]) if i not in public}
    first.update({name: i for i, name in public.items()})
    return [
        name if count[name] == 1 or first.get(name) == i else f"{name}:{i}" for i, name in enumerate(wanted)
    ]


def _steps(file: FileGraph, names: list[str]) -> list[Step]:
    """One per operator, of different names."""
    found = [_step(operator, position, file, names) for position, operator in enumerate(file.operators)]
    count = Counter(step.name for step in found)
    return [
        step if count[step.name] == 1 else replace(step, name=f"{step.name}:{position}")
        for position, step in enumerate(found)
    ]


def _step(operator: FileOperator, position: int, file: FileGraph, names: list[str]) -> Step:
    outputs = tuple(names[i] for i in operator.outputs)
    label = outputs[0].partition(";")[0][-60:] if outputs else f"{operator.op}_{position}"
    inputs = _without_states(operator, file)
    for index in (*inputs, *operator.outputs):
        if index >= 0:
            check_readable(file.tensors[index])
    return Step(
        operator.op,
        label,
        tuple(None if i < 0 else names[i] for i in inputs),
        outputs,
        _with_lost_clamp(operator, file),
    )


def _without_states(operator: FileOperator, file: FileGraph) -> list[int]:
    """The inputs without the variables that hold the state of a recurrent layer: it starts from zeros."""
    states = STATES.get(operator.op, ())
    return [
        -1 if place in states and index >= 0 and file.tensors[index].refusal == KEPT else index
        for place, index in enumerate(operator.inputs)
    ]


def _with_lost_clamp(operator: FileOperator, file: FileGraph) -> dict[str, Any]:
    """Converters drop a ReLU whose limits the output's 8-bit range keeps anyway; a real number needs it."""
    attributes = operator.attributes
    if operator.op not in CLAMPED or attributes.get("fusedActivationFunction") or not operator.outputs:
        return attributes
    out = file.tensors[operator.outputs[0]]
    if out.kind not in ("INT8", "UINT8") or len(out.scale) != 1:
        return attributes
    low, high = QUANTIZED[out.kind]
    if out.zero_point[0] != low:
        return attributes
    six = abs(out.scale[0] * (high - low) - 6) < 0.01
    return {**attributes, "fusedActivationFunction": RELU6 if six else RELU}


def _constants(file: FileGraph, names: list[str], size_bytes: int) -> dict[str, Known]:
    biases = {
        operator.inputs[place]
        for operator in file.operators
        for place in BIAS_AT.get(operator.op, ())
        if len(operator.inputs) > place
    }
    made = {i for operator in file.operators for i in operator.outputs} | {i for _, i in file.inputs}
    read = {i for operator in file.operators for i in operator.inputs} | {i for _, i in file.outputs}
    known: dict[str, Known] = {}
    elements = 0
    for index in sorted(read - made - {-1}):
        tensor = file.tensors[index]
        real = _is_quantized(tensor) or (index in biases and bool(tensor.scale))
        data = np.zeros(0, np.uint8) if tensor.data is None and 0 in tensor.shape else tensor.data
        if data is None:
            continue  # whoever reads it is told so when the network is run for the first time
        known[names[index]] = constant(tensor, data, real=real)
        elements += known[names[index]].size
        if elements > ELEMENTS_PER_BYTE * size_bytes:
            raise SourceError("the file is damaged", got="constants that share their bytes many times over")
    return known


def _is_quantized(tensor: FileTensor) -> bool:
    return tensor.kind in QUANTIZED and bool(tensor.scale)


def _input(index: int, file: FileGraph, name: str) -> Input:
    tensor = file.tensors[index]
    kind = "float" if _is_quantized(tensor) else TYPES.get(tensor.kind, tensor.kind.lower())
    if kind == "float" and _is_cast_to_integers(index, file):
        kind = "int32"
    return Input(name, kind, tuple(None if size < 0 else size for size in tensor.shape))


def _is_cast_to_integers(index: int, file: FileGraph) -> bool:
    """Whether a real input is made whole before anything else: indices of a table, given as numbers."""
    readers = [operator for operator in file.operators if index in operator.inputs]
    whole = all(o.op == "CAST" and file.tensors[o.outputs[0]].kind in ("INT32", "INT64") for o in readers)
    return bool(readers) and whole and all(index != i for _, i in file.outputs)
