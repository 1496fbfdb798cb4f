"""The scales of an 8-bit file, for those who want them kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketpress.core.given import GivenScales
from pocketpress.core.program.ir import Quantization
from pocketpress.sources.steps.graph import Step
from pocketpress.sources.tflite.read import FileGraph, FileOperator, FileTensor

SIGNED = {"INT8": 0, "UINT8": 128}
"""What is taken off the zero point of integers that become int8."""
WEIGHT_AT = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}


def given_scales(file: FileGraph, steps: Sequence[Step]) -> GivenScales | None:
    """Scales by step; None when no activation of the file is in 8 bits.

    Args:
        file: as read.
        steps: made of its operators, one each, in order.
    """
    results, operands, weights, anew = {}, {}, {}, set()
    for operator, step in zip(file.operators, steps, strict=True):
        source = f"node {step.name} ({step.op})"
        grid = _grid(file.tensors[operator.outputs[0]]) if operator.outputs else None
        if grid is not None:
            results[source] = grid
        if operator.op in WEIGHT_AT:
            scales = _weight(operator, file)
            if scales is not None:
                weights[source] = scales
            elif _is_quantized_weight(operator, file):
                anew.add(source)
        read = [None if i < 0 else _grid(file.tensors[i]) for i in operator.inputs]
        operands[source] = tuple(read)
    if not results:
        return None
    inputs = tuple(_grid(file.tensors[i]) or _quantized_first(i, file) for _, i in file.inputs)
    return GivenScales(inputs, results, operands, weights, frozenset(anew))


def _grid(tensor: FileTensor) -> Quantization | None:
    if tensor.kind not in SIGNED or len(tensor.scale) != 1 or tensor.scale[0] <= 0:
        return None
    return Quantization.per_tensor(tensor.scale[0], tensor.zero_point[0] - SIGNED[tensor.kind])


def _quantized_first(index: int, file: FileGraph) -> Quantization | None:
    """The scale of a float input that is quantised before anything else, always alike."""
    readers = [operator for operator in file.operators if index in operator.inputs]
    found = {_grid(file.tensors[r.outputs[0]]) for r in readers if r.op == "QUANTIZE"}
    return found.pop() if len(found) == 1 and all(r.op == "QUANTIZE" for r in readers) else None


def _weight(operator: FileOperator, file: FileGraph) -> tuple[float, ...] | None:
    """Scales of weights that are symmetric int8; uint8 ones around 128 are, one integer in 256 excepted."""
    weight = _weight_tensor(operator, file)
    if weight is None or weight.kind not in SIGNED or not weight.scale or min(weight.scale) <= 0:
        return None
    zero = SIGNED[weight.kind]
    lowest = np.array(zero - 128, np.int64).astype(np.uint8)  # -128, which our contract has not, as a byte
    if (
        any(z != zero for z in weight.zero_point)
        or weight.data is None
        or bool((weight.data == lowest).any())
    ):
        return None
    return weight.scale


def _is_quantized_weight(operator: FileOperator, file: FileGraph) -> bool:
    weight = _weight_tensor(operator, file)
    return weight is not None and weight.kind in SIGNED and bool(weight.scale) and min(weight.scale) > 0


def _weight_tensor(operator: FileOperator, file: FileGraph) -> FileTensor | None:
    place = WEIGHT_AT[operator.op]
    index = operator.inputs[place] if place < len(operator.inputs) else -1
    return file.tensors[index] if index >= 0 else None
