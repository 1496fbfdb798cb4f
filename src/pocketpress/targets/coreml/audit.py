"""Read a package back and compare it with the program: integers, scales, zero points, operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, CheckFailed
from pocketpress.core.program import OPS, Program
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.coreml.graph import OPSET
from pocketpress.targets.coreml.names import Names
from pocketpress.targets.coreml.package import read_model, read_weights
from pocketpress.targets.coreml.protos import mil_messages
from pocketpress.targets.coreml.spec import DECIDED_ON_DEVICE
from pocketpress.targets.coreml.weights import read_array

_COUNTED = {
    "conv2d": "conv",
    "conv_transpose2d": "conv_transpose",
    "max_pool2d": "max_pool",
    "softmax": "softmax",
}


@dataclass(frozen=True)
class Loaded:
    """Operations of a package with their constants resolved.

    Attributes:
        operations: messages in order.
        constants: values of ``const`` operations by name; strings as Python strings.
        weights: content of the weight file.
    """

    operations: tuple[Any, ...]
    constants: Mapping[str, Any]
    weights: bytes

    def attribute(self, operation: Any, name: str) -> Any:
        """A constant attribute of an operation."""
        return value_of(operation.attributes[name], self.weights)

    def argument(self, operation: Any, name: str) -> Any:
        """A constant input of an operation."""
        return self.constants[operation.inputs[name].arguments[0].name]


def load(path: Path) -> Loaded:
    """Parse a package's program.

    Raises:
        ArtifactError: damaged, or of another opset.
    """
    model, weights = read_model(path), read_weights(path)
    function = model.mlProgram.functions.get("main")
    if function is None or OPSET not in function.block_specializations:
        raise ArtifactError(f"{path.name} has no function main for {OPSET}")
    operations = tuple(function.block_specializations[OPSET].operations)
    constants = {
        operation.outputs[0].name: value_of(operation.attributes["val"], weights)
        for operation in operations
        if operation.type == "const"
    }
    return Loaded(operations, constants, weights)


def value_of(message: Any, weights: bytes) -> Any:
    """An immediate or stored value as an array, or a string."""
    mil = mil_messages()
    type_ = message.type.tensorType
    shape = tuple(int(d.constant.size) for d in type_.dimensions)
    if type_.dataType == mil.STRING:
        return message.immediateValue.tensor.strings.values[0]
    names = {mil.FLOAT16: "float16", mil.FLOAT32: "float32", mil.INT8: "int8", mil.UINT8: "uint8"}
    dtype = {**names, mil.INT32: "int32", mil.BOOL: "bool"}[type_.dataType]
    if message.WhichOneof("value") == "blobFileValue":
        return read_array(weights, message.blobFileValue.offset, dtype, shape)
    tensor = message.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    values = getattr(tensor, kind).values
    array: Array = np.frombuffer(values, dtype=dtype) if kind == "bytes" else np.asarray(values, dtype=dtype)
    return array.reshape(shape)


def audit(path: Path, program: Program) -> tuple[Skipped, ...]:
    """Compare the file with the program; list what an integer program leaves to the device.

    Raises:
        CheckFailed: an integer, scale, zero point or operator differs from the program's.
        ArtifactError: the package is damaged.
    """
    loaded = load(path)
    names = Names(program)
    _check_weights(loaded, program, names)
    _check_borders(loaded, program, names)
    _check_operators(loaded, program)
    if not program.is_quantized:
        return ()
    floats = sorted({n.op for n in program.nodes if OPS[n.op].integer == "float"})
    islands = tuple(Skipped(op, "computed in float between dequantise and quantise") for op in floats)
    return (Skipped("integer kernels", DECIDED_ON_DEVICE), *islands)


def _check_weights(loaded: Loaded, program: Program, names: Names) -> None:
    """Every weight in the file is the program's, integer for integer, with its scales."""
    expected = {
        names.of(n): (np.asarray(v), program.type(n).quant)
        for n, v in program.constants.items()
        if program.type(n).dtype in ("int8", "uint8") and program.type(n).quant is not None and np.ndim(v)
    }
    found = 0
    for operation in loaded.operations:
        if operation.type != "constexpr_affine_dequantize":
            continue
        name = operation.outputs[0].name
        value, quant = expected.get(name, (None, None))
        if value is None or quant is None:
            raise CheckFailed("the file holds a weight that the program lacks", got=name)
        stored = loaded.attribute(operation, "quantized_data")
        _require(np.array_equal(stored, value) and stored.dtype == value.dtype, name, "integers")
        _require(_same(loaded.attribute(operation, "scale"), quant.scales()), name, "scales")
        zero = np.full(1, quant.zero_point)
        _require(bool((loaded.attribute(operation, "zero_point") == zero).all()), name, "zero points")
        found += 1
    used = {names.of(n) for node in program.nodes for n in node.inputs} & set(expected)
    if found != len(used):
        raise CheckFailed("the file holds another number of quantised weights", got=found, allowed=len(used))


def _check_borders(loaded: Loaded, program: Program, names: Names) -> None:
    """Every quantised activation has one ``quantize`` and at most one ``dequantize`` with its scale."""
    quantized = {n: t for n, t in program.types.items() if t.quant is not None and not program.is_constant(n)}
    by_name = {names.integers(n): t for n, t in quantized.items()}
    made: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for operation in loaded.operations:
        if operation.type not in ("quantize", "dequantize"):
            continue
        outgoing = operation.type == "quantize"
        name = operation.outputs[0].name if outgoing else operation.inputs["input"].arguments[0].name
        type_ = by_name.get(name)
        if type_ is None or type_.quant is None:
            raise CheckFailed("the file quantises a tensor that the program does not", got=name)
        _require(_same(loaded.argument(operation, "scale"), type_.quant.scales()), name, "scale")
        zero = loaded.argument(operation, "zero_point")
        _require(int(zero) == type_.quant.zero_point and zero.dtype == type_.dtype, name, "zero point")
        (made if outgoing else read)[name] += 1
    wanted = Counter(names.integers(n) for n in quantized if n not in program.inputs)
    if made != wanted or any(count > 1 for count in read.values()):
        raise CheckFailed("the file quantises other tensors than the program", got=sum(made.values()))


def _check_operators(loaded: Loaded, program: Program) -> None:
    stored = Counter(operation.type for operation in loaded.operations)
    wanted = Counter(node.op for node in program.nodes)
    for op, kind in _COUNTED.items():
        if stored[kind] != wanted[op]:
            raise CheckFailed(f"the file holds another number of {op}", got=stored[kind], allowed=wanted[op])


def _same(stored: Array, wanted: Array) -> bool:
    return stored.dtype == np.float32 and np.array_equal(np.reshape(stored, -1), np.reshape(wanted, -1))


def _require(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise CheckFailed(
            f"the file holds other {what} than the program for {name}", next_step="report this bug"
        )
