"""Operators on whole numbers, and computed powers: XNNPACK has none, so the portable kernels compute them.

Those that read inputs of the program come before the delegate, whose further inputs are what they write.
Those that read what is computed come between delegate calls (`stages`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program.ir import Node, Program, TensorType

Argument = str | int | bool | None
"""The name of a tensor, or the value of an argument that is none."""

WHOLE_DTYPES = ("int32", "int64")


@dataclass(frozen=True)
class KernelCall:
    """One call of a portable kernel.

    Attributes:
        operator: name and overload in the runtime's registry.
        arguments: in the order of its schema, without the output.
        out: the tensor that it writes.
        type: its type.
    """

    operator: tuple[str, str]
    arguments: tuple[Argument, ...]
    out: str
    type: TensorType


_EMBEDDING = ("aten::embedding", "out")
_COPY = ("aten::_to_copy", "out")
_ARGMAX = ("aten::argmax", "out")
_POWER = ("aten::pow", "Tensor_Tensor_out")


def _embedding(node: Node, out: str, type_: TensorType) -> tuple[KernelCall, ...]:
    """``embedding(weight, indices, padding_idx, scale_grad_by_freq, sparse)``."""
    index, table = node.inputs
    return (KernelCall(_EMBEDDING, (table, index, -1, False, False), out, type_),)


def _cast(node: Node, out: str, type_: TensorType) -> tuple[KernelCall, ...]:
    """``_to_copy(self, non_blocking, memory_format)`` to the dtype of the output."""
    return (KernelCall(_COPY, (node.inputs[0], False, None), out, type_),)


def _argmax(node: Node, out: str, type_: TensorType) -> tuple[KernelCall, ...]:
    """``argmax(self, dim, keepdim)``, which writes int64, then a cast."""
    places, axis, keep = f"{out}/places", int(node.attrs["axis"]), bool(node.attrs["keepdims"])
    found = KernelCall(_ARGMAX, (node.inputs[0], axis, keep), places, replace(type_, dtype="int64"))
    return found, KernelCall(_COPY, (places, False, None), out, type_)


def _power(node: Node, out: str, type_: TensorType) -> tuple[KernelCall, ...]:
    """``pow(self, exponent)``."""
    return (KernelCall(_POWER, (*node.inputs,), out, type_),)


_CALLS: dict[str, Callable[[Node, str, TensorType], tuple[KernelCall, ...]]] = {
    "embedding": _embedding,
    "cast": _cast,
    "whole": _cast,
    "argmax": _argmax,
    "power": _power,
}
KERNEL_OPS = frozenset(_CALLS)
OPERATORS = frozenset({_EMBEDDING, _COPY, _ARGMAX, _POWER})


def split(program: Program) -> tuple[Program, tuple[KernelCall, ...]]:
    """The rest of a program, and the calls before it on its inputs, whose results are inputs of that rest.

    Raises:
        UnsupportedError: an operator reads whole numbers that were moved, which XNNPACK cannot do.
    """
    calls: list[KernelCall] = []
    nodes: list[Node] = []
    types = dict(program.types)
    makers = program.producers()
    for node in program.nodes:
        if node.op in KERNEL_OPS:
            _check(program, node, makers)
        if node.op not in KERNEL_OPS or not set(node.inputs) <= {*program.inputs, *program.constants}:
            nodes.append(node)
            continue
        name = node.outputs[0]
        written = f"{name}/whole" if name in program.outputs and node.op != "whole" else name
        types[written] = _written_type(program, node)
        calls += kernel_calls(program, node, written)
        if written != name:
            shape = program.type(name).shape
            nodes.append(Node("reshape", node.name, (written,), (name,), {"shape": shape}, node.source))
    inputs = (*program.inputs, *(call.out for call in calls))
    return replace(program, inputs=inputs, types=types, nodes=tuple(nodes)), tuple(calls)


def kernel_calls(program: Program, node: Node, out: str) -> tuple[KernelCall, ...]:
    """The calls that a node of `KERNEL_OPS` becomes; the last one writes ``out``."""
    return _CALLS[node.op](node, out, _written_type(program, node))


def _check(program: Program, node: Node, makers: Mapping[str, Node]) -> None:
    index = node.inputs[0]
    if node.op in ("whole", "argmax", "power"):
        return
    made = makers.get(index)
    given = index in program.inputs or (made is not None and made.op == "whole")
    if not given or program.type(index).dtype not in WHOLE_DTYPES:
        where = f" at {node.source}" if node.source else ""
        raise UnsupportedError(
            f"ExecuTorch cannot run {node.op} {node.name}{where}",
            got=f"{program.type(index).dtype}, not as the network's caller gives them",
            allowed=f"an input of the network, {' or '.join(WHOLE_DTYPES)}",
            next_step="make the indices an input of the network, or press another target",
        )


def _written_type(program: Program, node: Node) -> TensorType:
    """A look-up writes rows as the table holds them."""
    out = program.type(node.outputs[0])
    return replace(out, dtype=program.type(node.inputs[1]).dtype) if node.op == "embedding" else out
