"""Read a package back and compare it with the program: integers, scales, zero points, operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.errors import ArtifactError, CheckFailed
from pocketpress.core.program import OPS, Program, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped
from pocketpress.targets.coreml.constants import stored_wider
from pocketpress.targets.coreml.graph import NEW_OPSET, OPSET, PROTO_TYPES
from pocketpress.targets.coreml.package import read_model, read_weights
from pocketpress.targets.coreml.protos import mil_messages
from pocketpress.targets.coreml.recurrent import scopes
from pocketpress.targets.coreml.spec import DECIDED_ON_DEVICE
from pocketpress.targets.coreml.weight_audit import EXPANDING, Scope, check_weights, require, same
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
        operations: messages in order, those inside blocks behind the operation that has them.
        constants: values of ``const`` operations by name; strings as Python strings.
        weights: content of the weight file.
    """

    operations: tuple[Any, ...]
    constants: Mapping[str, Any]
    weights: bytes

    def attribute(self, operation: Any, name: str) -> Any:
        """A constant attribute or literal argument of an operation, None when it has none of that name."""
        if name in operation.attributes:
            return value_of(operation.attributes[name], self.weights)
        if name not in operation.inputs or len(operation.inputs[name].arguments) != 1:
            return None
        return value_of(operation.inputs[name].arguments[0].value, self.weights)

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
    if function is None or function.opset not in function.block_specializations:
        raise ArtifactError(f"{path.name} has no function main for its opset")
    if function.opset not in (OPSET, NEW_OPSET):
        raise ArtifactError(
            f"{path.name} is of another opset", got=function.opset, allowed=(OPSET, NEW_OPSET)
        )
    operations = tuple(_flat(function.block_specializations[function.opset].operations))
    constants = {
        operation.outputs[0].name: value_of(operation.attributes["val"], weights)
        for operation in operations
        if operation.type == "const"
    }
    return Loaded(operations, constants, weights)


def _flat(operations: Iterable[Any]) -> Iterator[Any]:
    for operation in operations:
        yield operation
        for block in operation.blocks:
            yield from _flat(block.operations)


def value_of(message: Any, weights: bytes) -> Any:
    """An immediate or stored value as an array, or a string."""
    mil = mil_messages()
    type_ = message.type.tensorType
    shape = tuple(int(d.constant.size) for d in type_.dimensions)
    if type_.dataType == mil.STRING:
        return message.immediateValue.tensor.strings.values[0]
    dtype = {getattr(mil, code): name for name, code in PROTO_TYPES.items()}.get(type_.dataType)
    if dtype is None:
        raise ArtifactError("value of a dtype that Pocketpress does not write", got=type_.dataType)
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
    parts = scopes(program)
    _check_weights(loaded, parts)
    _check_borders(loaded, parts)
    _check_operators(loaded, program)
    if not program.is_quantized:
        return stored_wider(program)
    floats = sorted({n.op for n in program.nodes if OPS[n.op].integer == "float"})
    islands = tuple(Skipped(op, "computed in float between dequantise and quantise") for op in floats)
    return (Skipped("integer kernels", DECIDED_ON_DEVICE), *islands)


def _check_weights(loaded: Loaded, parts: Sequence[Scope]) -> None:
    operations = {
        operation.outputs[0].name: (operation.type, partial(loaded.attribute, operation))
        for operation in loaded.operations
        if operation.type in EXPANDING
    }
    check_weights(operations, parts)


def _check_borders(loaded: Loaded, parts: Sequence[Scope]) -> None:
    """Every quantised activation has one ``quantize`` and at most one ``dequantize`` with its scale."""
    by_name: dict[str, TensorType] = {}
    wanted: Counter[str] = Counter()
    for program, names in parts:
        quantized = {
            n: t for n, t in program.types.items() if t.quant is not None and not program.is_constant(n)
        }
        by_name |= {names.integers(n): t for n, t in quantized.items()}
        wanted.update(names.integers(n) for n in quantized if n not in program.inputs)
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
        require(same(loaded.argument(operation, "scale"), type_.quant.scales()), name, "scale")
        zero = loaded.argument(operation, "zero_point")
        require(int(zero) == type_.quant.zero_point and zero.dtype == type_.dtype, name, "zero point")
        (made if outgoing else read)[name] += 1
    if made != wanted or any(count > 1 for count in read.values()):
        raise CheckFailed("the file quantises other tensors than the program", got=sum(made.values()))


def _check_operators(loaded: Loaded, program: Program) -> None:
    stored = Counter(operation.type for operation in loaded.operations)
    wanted = Counter(node.op for node in program.nodes)
    for op, kind in _COUNTED.items():
        if stored[kind] != wanted[op]:
            raise CheckFailed(f"the file holds another number of {op}", got=stored[kind], allowed=wanted[op])
