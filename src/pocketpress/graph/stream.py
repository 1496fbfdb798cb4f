"""From a network that reads one step of a sequence to one that remembers: recurrent nodes give up their loop.

Every ``gru``, ``lstm`` and ``rnn`` of one step becomes the operators of that step (`core.program.recurrent`),
with its state as an input and an output of the network, named after the node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pocketpress.core.errors import SourceError
from pocketpress.core.program import Node, Program, State, TensorType, with_states
from pocketpress.core.program.recurrent import RECURRENT, Recurrent, recurrent, state_names, step_program
from pocketpress.graph.rewrite import Rewrite


def stream(program: Program) -> Program:
    """Replace every recurrent node by its step.

    Args:
        program: float, loaded with a single step along the time axis.

    Returns:
        A program with one state per recurrent node and two per LSTM, which start where the nodes started.

    Raises:
        SourceError: there is no recurrent node, one runs backwards or over several steps, or its initial
            state is computed.
    """
    nodes = [node for node in program.nodes if node.op in RECURRENT]
    if not nodes:
        raise SourceError(
            "there is nothing to remember: the network has no recurrent layer",
            next_step="leave --stream out, or declare its states with --state INPUT=OUTPUT",
        )
    rewrite, inlined = Rewrite(program), [_inlined(program, node) for node in nodes]
    inputs = list(program.inputs)
    for one in inlined:
        rewrite.types.update(one.types)
        rewrite.constants.update(one.step.constants)
        inputs += [state.input for state in one.states]
        rewrite.outputs += tuple(state.output for state in one.states)
    rewrite.replace_nodes({one.node.name: one.nodes for one in inlined})
    rewrite.program = replace(program, inputs=tuple(inputs))
    return with_states(rewrite.build(), [state for one in inlined for state in one.states])


@dataclass(frozen=True)
class _Inlined:
    node: Node
    step: Program
    nodes: tuple[Node, ...]
    types: dict[str, TensorType]
    states: tuple[State, ...]


def _inlined(program: Program, node: Node) -> _Inlined:
    parts = recurrent(program, node)
    _check(program, parts)
    names = state_names(node)
    step = step_program(program, node)
    prefix = node.name
    step = _renamed(step, {name: f"{prefix}_{name}" for name in step.types})
    types = dict(step.types)
    nodes = list(step.nodes)

    gates, batch = f"{prefix}_gates", parts.batch
    nodes.insert(
        0, Node("reshape", gates, (parts.gates,), (gates,), {"shape": types[gates].shape}, node.source)
    )
    shown = f"{prefix}_{names[0][1]}"
    if node.attrs.get("cell"):
        both, width = f"{prefix}_both", parts.state + parts.hidden
        cell = f"{prefix}_{names[1][1]}"
        nodes.append(Node("concat", both, (shown, cell), (both,), {"axis": 1}, node.source))
        types[both], shown = TensorType((batch, width)), both
    out = node.outputs[0]
    shape = program.type(out).shape
    nodes.append(Node("reshape", node.name, (shown,), (out,), {"shape": shape}, node.source))
    states = tuple(
        State(f"{prefix}_{taken}", f"{prefix}_{given}", _initial(program, start))
        for (taken, given), start in zip(names, parts.states, strict=True)
    )
    return _Inlined(node, step, tuple(nodes), types, states)


def _check(program: Program, parts: Recurrent) -> None:
    node = parts.node
    if parts.reverse:
        raise SourceError(
            f"{_where(node)}: a layer that runs backwards needs the whole sequence",
            got=f"{node.op} {node.name}, bidirectional",
            next_step="train it in one direction to stream it",
        )
    if parts.steps != 1:
        raise SourceError(
            f"{_where(node)}: {node.op} {node.name} does not run along the time axis given",
            got=f"{parts.steps} steps",
            allowed="1 step",
            next_step="give --stream the axis of the input that is time",
        )
    computed = [name for name in parts.states if name not in program.constants]
    if computed:
        raise SourceError(
            f"{_where(node)}: the initial state of {node.op} {node.name} is computed",
            got=", ".join(computed),
            next_step="let the layer start from its default, or declare the state with --state",
        )


def _initial(program: Program, name: str) -> tuple[float, ...]:
    values = program.constants[name].reshape(-1)
    return (float(values[0]),) if (values == values[0]).all() else tuple(float(v) for v in values)


def _renamed(program: Program, names: dict[str, str]) -> Program:
    return Program(
        tuple(names[n] for n in program.inputs),
        tuple(names[n] for n in program.outputs),
        {names[n]: t for n, t in program.types.items()},
        {names[n]: c for n, c in program.constants.items()},
        tuple(replace(node.renamed(names), name=names[node.outputs[0]]) for node in program.nodes),
    )


def _where(node: Node) -> str:
    return node.source or node.name


def looking_at_time(whole: Program, single: Program) -> list[str]:
    """Nodes that read several steps at once, besides recurrent ones: operator and line of each.

    Args:
        whole: the network loaded with all steps.
        single: the same loaded with one; axes of other sizes are time.
    """
    types, found = single.types, []
    for node in whole.nodes:
        x = node.inputs[0]
        if x not in types or len(types[x].shape) != len(whole.type(x).shape):
            continue
        sizes = zip(whole.type(x).shape, types[x].shape, strict=True)
        time = {axis for axis, (many, one) in enumerate(sizes) if many != one}
        if _mixes(whole, node, time):
            found.append(f"{node.op} at {_where(node)}")
    return found


def _mixes(program: Program, node: Node, time: set[int]) -> bool:
    """Whether a node computes across the axes ``time`` of its first input."""
    rank, attrs = len(program.type(node.inputs[0]).shape), node.attrs
    if node.op in RECURRENT:
        return bool(attrs["reverse"])
    if node.op in ("conv2d", "conv_transpose2d", "dynamic_conv2d"):
        kernel = program.type(node.inputs[1]).shape[2:]
        return any(2 + i in time and size > 1 for i, size in enumerate(kernel))
    if node.op in ("max_pool2d", "avg_pool2d"):
        return any(2 + i in time and size > 1 for i, size in enumerate(attrs["kernel"]))
    if node.op in ("mean", "layer_norm"):
        return bool(time & {axis % rank for axis in attrs["axes"]})
    if node.op == "softmax":
        return attrs["axis"] % rank in time
    return node.op in ("linear", "matmul") and rank - 1 in time
