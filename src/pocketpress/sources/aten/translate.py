"""Walk an exported program's graph and build the float program.

Operators whose inputs are all constants are evaluated here (constant folding); operators that do nothing
at inference (dropout, detach, contiguous) disappear; an operator outside the vocabulary is an error that
names the user's line.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import BlockedError, Blocker, UnsupportedError
from pocketpress.core.instead import instead_of
from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.sources.aten import (
    attention,
    comparisons,
    composed,
    decompose,
    einsum,
    elementwise,
    indices,
    normalization,
    places,
    pooling,
    powers,
    products,
    recurrent,
    reductions,
    resampling,
    selection,
    shapes,
    unpooling,
    whole,
    writes,
)
from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.in_place import without_aliases
from pocketpress.sources.aten.recognize_gelu import recognize_gelu
from pocketpress.sources.returned import names_of

Handler = Callable[[Bound], Any]

HANDLERS: dict[str, Handler] = {
    **products.HANDLERS,
    **elementwise.HANDLERS,
    **comparisons.HANDLERS,
    **composed.HANDLERS,
    **powers.HANDLERS,
    **normalization.HANDLERS,
    **pooling.HANDLERS,
    **unpooling.HANDLERS,
    **reductions.HANDLERS,
    **shapes.HANDLERS,
    **writes.HANDLERS,
    **resampling.HANDLERS,
    **attention.HANDLERS,
    **einsum.HANDLERS,
    **selection.HANDLERS,
    **indices.HANDLERS,
    **whole.HANDLERS,
    **places.HANDLERS,
    **recurrent.HANDLERS,
}
BLOCKS = {"wrap_with_autocast": 4, "wrap_with_set_grad_enabled": 1}
"""``with torch.autocast(...)`` and ``with torch.no_grad()``: the place of their block among the arguments.

The block is computed in float32 whatever autocast says, as the rest of a program is.
"""
LIKE = ("aten::type_as", "aten::to", "aten::expand_as", "aten::view_as", "aten::reshape_as")
"""Of their second tensor the type and the shape are read, and no number: of a constant they are constants."""
SWITCHES = ("train", "training", "p", "dropout_p")
"""Arguments of which none may be 0 or False for an operator to draw random numbers."""
IGNORED_MODULES = ("_guards_fn",)
_DTYPES = {torch.float32: "float32", torch.int64: "int64", torch.int32: "int32", torch.bool: "bool"}


def to_program(exported: torch.export.ExportedProgram) -> tuple[Program, tuple[tuple[str, str], ...]]:
    """Translate; returns the program and what was left out, with reasons.

    Raises:
        UnsupportedError: a dtype outside the vocabulary.
        BlockedError: operators outside the vocabulary, or in a form that is; all of them.
    """
    exported = without_aliases(exported)
    module = exported.module(check_guards=False)
    recognize_gelu(module.graph)
    builder = ProgramBuilder(reserved=_reserved(module, exported))
    values: dict[torch.fx.Node, Any] = {}
    outputs: list[str] = []
    blockers: list[Blocker] = []
    for node in module.graph.nodes:
        if node.op == "placeholder":
            values[node] = builder.input(str(node.target), _type_of(node))
        elif node.op == "get_attr":
            values[node] = _attribute(module, str(node.target))
        elif node.op == "call_function":
            values[node] = _call_or_block(node, values, builder, blockers)
        elif node.op == "output" and blockers:
            raise BlockedError(blockers)
        elif node.op == "output":
            outputs = _outputs(node, values, builder, exported)
        elif node.op == "call_module" and str(node.target) not in IGNORED_MODULES:
            raise UnsupportedError("submodule call in exported program", got=node.target)
    program = builder.build(outputs)
    unused = [n for n in program.inputs if n not in program.consumers() and n not in outputs]
    return program, tuple((name, "input is never used by the network") for name in unused)


def _type_of(node: torch.fx.Node) -> TensorType:
    value = node.meta["val"]
    if any(not isinstance(d, int) for d in value.shape):
        raise UnsupportedError(
            f"input {node.target} has a dynamic shape",
            got=tuple(value.shape),
            next_step="export with static shapes (batch of one)",
        )
    dtype = torch.float32 if value.dtype is torch.bool else value.dtype  # a mask of 1.0 and 0.0
    return TensorType(tuple(value.shape), _dtype(dtype, str(node.target)))


def _dtype(dtype: torch.dtype, what: str) -> str:
    if dtype not in _DTYPES:
        raise UnsupportedError(
            f"{what} has dtype {dtype}",
            allowed=[str(d) for d in _DTYPES],
            next_step="call .float() on the network",
        )
    return _DTYPES[dtype]


def _attribute(module: torch.nn.Module, path: str) -> Any:
    """A constant, or the block of a ``with`` statement."""
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value.detach() if isinstance(value, torch.Tensor) else value


OWN = str(Path(__file__).parents[1])
"""Wrappers around other people's networks: their lines tell a user nothing."""


def source_line(node: torch.fx.Node) -> str:
    """``file:line: code [layer]`` of the user's line that made a node, or the node of a file, or the name."""
    named = (node.meta.get("custom") or {}).get("pocketpress_node")
    if named is not None:
        return f"node {named}"
    lines = (node.meta.get("stack_trace") or "").strip().split("\n")
    best = ""
    for head, code in itertools.pairwise(lines):
        if head.strip().startswith("File ") and "site-packages" not in head and OWN not in head:
            parts = head.strip().split('"')
            number = head.rpartition("line ")[2].split(",")[0]
            best = f"{_near(parts[1])}:{number}: {code.strip()}"
    layer = _layer(node)
    return f"{best or node.name} [{layer}]" if layer else best or node.name


def _layer(node: torch.fx.Node) -> str:
    """Dotted name of the module whose forward made this node; "" for the network itself."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _near(path: str) -> str:
    """A path below the working folder relative to it, any other as it is."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


def _call_or_block(
    node: torch.fx.Node, values: dict[torch.fx.Node, Any], builder: ProgramBuilder, blockers: list[Blocker]
) -> Any:
    """The value of a call; of one that is not supported a stand-in, so that all such calls are found."""
    try:
        return _call(node, values, builder)
    except UnsupportedError as error:
        name, where = _operator(node), source_line(node)
        reason = error.what.removeprefix(f"{where}: ")
        if error.got is not None:
            reason = f"{reason}: got {error.got}"
        blockers.append(Blocker(where, name, reason, error.next_step or instead_of(name)))
    except (KeyError, IndexError, RuntimeError, TypeError, ValueError):
        if not blockers:
            raise
        raise BlockedError(blockers) from None  # it trips over a stand-in
    stand_in = _stand_in(node.meta.get("val"), node.name, builder)
    if stand_in is None:
        raise BlockedError(blockers)
    return stand_in


def _operator(node: torch.fx.Node) -> str:
    schema = getattr(node.target, "_schema", None)
    return str(schema.name if schema is not None else node.target)


def _stand_in(value: Any, name: str, builder: ProgramBuilder) -> Any:
    if isinstance(value, (tuple, list)):
        return [_stand_in(item, name, builder) for item in value]
    if not isinstance(value, torch.Tensor) or any(not isinstance(d, int) for d in value.shape):
        return None
    dtype = _DTYPES.get(value.dtype, "float32")
    return builder.input(name, TensorType(tuple(value.shape), "float32" if dtype == "bool" else dtype))


def _call(node: torch.fx.Node, values: dict[torch.fx.Node, Any], builder: ProgramBuilder) -> Any:
    args: Any = torch.fx.node.map_arg(node.args, lambda n: values[n])
    kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: values[n])
    if node.target is operator.getitem:
        return args[0][args[1]] if node.users else None
    if not any(_is_computed(values[n]) for n in node.all_input_nodes):
        assert callable(node.target)
        if _draws(node) and node.users:
            raise UnsupportedError(
                f"{source_line(node)}: {_operator(node)} would be drawn once, when the network is read",
                next_step="draw random numbers outside and give them as an input",
            )
        return node.target(*args, **kwargs)
    if _operator(node) in LIKE and isinstance(args[0], torch.Tensor):
        return node.target(args[0], _anything_like(node.args[1]), *args[2:], **kwargs)  # type: ignore[operator]
    block = BLOCKS.get(_operator(node))
    if block is not None:
        return _run(args[block], args[block + 1 :], builder)
    try:
        return _handled(node, args, kwargs, builder)
    except UnsupportedError:
        found = _by_parts(node, values, builder)
        if found is None:
            raise
        return found


def _draws(node: torch.fx.Node) -> bool:
    """Whether a call draws random numbers: dropout, for one, only where it is switched on."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    arguments = target._schema.arguments
    given = {argument.name: argument.default_value for argument in arguments}
    given |= {**dict(zip(given, node.args, strict=False)), **node.kwargs}
    return all(given[name] for name in SWITCHES if name in given)


def _anything_like(node: Any) -> torch.Tensor:
    """A tensor of the shape and type of a computed one."""
    return torch.empty(node.meta["val"].shape, dtype=node.meta["val"].dtype)


def _handled(node: torch.fx.Node, args: Any, kwargs: Any, builder: ProgramBuilder) -> Any:
    schema = getattr(node.target, "_schema", None)
    name = _operator(node)
    handler = HANDLERS.get(name)
    if handler is None or schema is None:
        raise UnsupportedError(
            f"{source_line(node)}: operator {name} is not supported",
            next_step=instead_of(name) or "replace it by supported operators (docs/support.md)",
        )
    return handler(Bound.of(node, schema, args, kwargs, builder, source_line(node)))


def _by_parts(node: torch.fx.Node, values: dict[torch.fx.Node, Any], builder: ProgramBuilder) -> Any:
    """A call as calls that are supported; None where it has no such parts."""
    graph = decompose.parts(node, HANDLERS)
    if graph is None:
        return None
    given = [values[tensor] for tensor in decompose.tensors_of(node)]
    try:
        return _run(graph, given, builder)
    except (UnsupportedError, KeyError, IndexError, RuntimeError, TypeError, ValueError):
        return None


def _run(graph: torch.fx.GraphModule, given: Sequence[Any], builder: ProgramBuilder) -> Any:
    """Translate a graph within the network; returns its outputs.

    Raises:
        UnsupportedError: an operator outside the vocabulary.
    """
    inner: dict[torch.fx.Node, Any] = {}
    left = iter(given)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            inner[node] = next(left)
        elif node.op == "get_attr":
            inner[node] = _attribute(graph, str(node.target))
        elif node.op == "call_function":
            inner[node] = _call(node, inner, builder)
        elif node.op == "output":
            return torch.fx.node.map_arg(node.args[0], lambda n: inner[n])
    raise UnsupportedError("a block without an output")


def _is_computed(value: Any) -> bool:
    """Whether a value is the name of an activation, or holds one; constants are torch tensors."""
    return isinstance(value, str) or (isinstance(value, (list, tuple)) and any(map(_is_computed, value)))


def _outputs(
    node: torch.fx.Node,
    values: dict[torch.fx.Node, Any],
    builder: ProgramBuilder,
    exported: torch.export.ExportedProgram,
) -> list[str]:
    flat: list[torch.fx.Node] = []
    torch.fx.node.map_arg(node.args[0], flat.append)
    names = _output_names(exported, len(flat))
    return [_name_output(n, values[n], name, builder) for n, name in zip(flat, names, strict=True)]


def _output_names(exported: torch.export.ExportedProgram, count: int) -> list[str]:
    given = names_of(exported)
    if given is not None and len(given) == count:
        return given
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _reserved(module: torch.fx.GraphModule, exported: torch.export.ExportedProgram) -> list[str]:
    """Public output names, kept free of the graph's own names; an input of the same name goes first."""
    nodes = list(module.graph.nodes)
    flat: list[Any] = []
    torch.fx.node.map_arg(nodes[-1].args[0], flat.append)
    inputs = {str(n.target) for n in nodes if n.op == "placeholder"}
    return [name for name in _output_names(exported, len(flat)) if name not in inputs]


def _name_output(node: torch.fx.Node, value: Any, name: str, builder: ProgramBuilder) -> str:
    """A computed tensor under the output's public name (an identity reshape that passes remove or keep).

    Raises:
        UnsupportedError: whole numbers that float32 may not hold exactly.
    """
    tensor = value if isinstance(value, str) else builder.constant(f"{name}_value", _array(value))
    builder.release(name)
    type_ = builder.type(tensor)
    if _declared(node) not in (torch.int32, torch.int64) or type_.dtype != "float32":
        return builder.node("reshape", [tensor], type_, name=name, shape=type_.shape)
    if not whole.is_exact(builder, tensor):
        raise UnsupportedError(
            f"{source_line(node)}: output {name} holds {whole.INEXACT}", next_step=whole.NEXT_STEP
        )
    return builder.node("whole", [tensor], TensorType(type_.shape, "int32"), name=name)


def _declared(node: torch.fx.Node) -> torch.dtype | None:
    """The dtype of a result; a write into an input of the network has that of its place."""
    while "val" not in node.meta and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return getattr(node.meta.get("val"), "dtype", None)


def _array(value: torch.Tensor) -> Array:
    return value.detach().cpu().numpy()
