"""Operators on whole numbers: XNNPACK has none, so ExecuTorch's portable kernels compute them before it.

They read inputs of the program.  What they write are further inputs of the delegate.
"""

from __future__ import annotations

from collections.abc import Callable
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
    """

    operator: tuple[str, str]
    arguments: tuple[Argument, ...]
    out: str


def _embedding(node: Node, out: str) -> KernelCall:
    """``embedding(weight, indices, padding_idx, scale_grad_by_freq, sparse)``."""
    index, table = node.inputs
    return KernelCall(("aten::embedding", "out"), (table, index, -1, False, False), out)


def _cast(node: Node, out: str) -> KernelCall:
    """``_to_copy(self, non_blocking, memory_format)`` to the dtype of the output."""
    return KernelCall(("aten::_to_copy", "out"), (node.inputs[0], False, None), out)


_CALLS: dict[str, Callable[[Node, str], KernelCall]] = {"embedding": _embedding, "cast": _cast}
KERNEL_OPS = frozenset(_CALLS)
OPERATORS = frozenset({("aten::embedding", "out"), ("aten::_to_copy", "out")})


def split(program: Program) -> tuple[Program, tuple[KernelCall, ...]]:
    """The delegate's part of a program, and the calls before it, whose results are inputs of that part.

    Raises:
        UnsupportedError: such an operator reads something else than an input of the program.
    """
    calls: list[KernelCall] = []
    nodes: list[Node] = []
    types = dict(program.types)
    for node in program.nodes:
        if node.op not in _CALLS:
            nodes.append(node)
            continue
        _check(program, node)
        name = node.outputs[0]
        written = f"{name}/whole" if name in program.outputs else name
        types[written] = TensorType(program.type(name).shape, _written_dtype(program, node))
        calls.append(_CALLS[node.op](node, written))
        if written != name:
            shape = program.type(name).shape
            nodes.append(Node("reshape", node.name, (written,), (name,), {"shape": shape}, node.source))
    inputs = (*program.inputs, *(call.out for call in calls))
    return replace(program, inputs=inputs, types=types, nodes=tuple(nodes)), tuple(calls)


def _check(program: Program, node: Node) -> None:
    index = node.inputs[0]
    if index not in program.inputs or program.type(index).dtype not in WHOLE_DTYPES:
        where = f" at {node.source}" if node.source else ""
        raise UnsupportedError(
            f"ExecuTorch cannot run {node.op} {node.name}{where}",
            got=f"{program.type(index).dtype}, not as the network's caller gives them",
            allowed=f"an input of the network, {' or '.join(WHOLE_DTYPES)}",
            next_step="make the indices an input of the network, or press another target",
        )
    if node.op == "embedding" and not program.is_constant(node.inputs[1]):
        raise UnsupportedError(
            f"ExecuTorch cannot run {node.op} {node.name}", got="a computed table", allowed="a constant"
        )


def _written_dtype(program: Program, node: Node) -> str:
    """The kernel writes rows as the table holds them."""
    return program.type(node.inputs[1]).dtype if node.op == "embedding" else "float32"
