"""From a network that reads one step of a sequence to one that remembers: recurrent nodes get states.

Every ``gru``, ``lstm`` and ``rnn`` of one step starts from an input of the network instead of a constant, and
what it leaves is an output, both named after the node.  The node itself stays: a runtime with an operator for
it uses that, and the others write the step down as they do for any sequence of one step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.errors import SourceError
from pocketpress.core.program import Node, Program, State, TensorType, with_states
from pocketpress.core.program.recurrent import RECURRENT, Recurrent, recurrent, state_names
from pocketpress.graph.rewrite import Rewrite


def stream(program: Program) -> Program:
    """Give every recurrent node its state from outside.

    Args:
        program: float, loaded with a single step along the time axis.

    Returns:
        A program with one state per recurrent node and two per LSTM, (1, N, H) each as in PyTorch, which
        start where the nodes started.

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
    rewrite, opened = Rewrite(program), [_opened(program, node) for node in nodes]
    inputs = list(program.inputs)
    for one in opened:
        rewrite.types.update(one.types)
        inputs += [state.input for state in one.states]
        rewrite.outputs += tuple(state.output for state in one.states)
        if one.instead is not None:
            rewrite.alias(one.node.outputs[0], one.instead)
    rewrite.replace_nodes({one.node.name: one.nodes for one in opened})
    rewrite.program = replace(program, inputs=tuple(inputs))
    return with_states(rewrite.build(), [state for one in opened for state in one.states])


def starting_from_zeros(program: Program) -> tuple[Program, tuple[str, ...]]:
    """Take out the inputs that are nothing but the states that recurrent nodes start from.

    Args:
        program: float.

    Returns:
        The program with zeros in their place, and their names: a network that remembers starts there, or
        from what it is reset to.
    """
    rewrite = Rewrite(program)
    gone: list[str] = []
    for name in program.inputs:
        moved = _moved_to_states(program, name)
        if moved is not None and len(gone) + 1 < len(program.inputs):
            gone.append(name)
            for node in moved:
                rewrite.nodes.remove(node)
            for made in (name, *(node.outputs[0] for node in moved)):
                rewrite.constants[made] = np.zeros(program.type(made).shape, np.float32)
    rewrite.program = replace(program, inputs=tuple(name for name in program.inputs if name not in gone))
    return rewrite.build(), tuple(gone)


def _moved_to_states(program: Program, name: str) -> list[Node] | None:
    """Nodes between an input and the recurrent nodes that start from it; None if anything else reads it."""
    readers, waiting, moved = program.consumers(), [name], []
    while waiting:
        one = waiting.pop()
        if one in program.outputs or not readers.get(one):
            return None
        for node in readers[one]:
            if node.op in RECURRENT:
                if one not in recurrent(program, node).states or one in (node.inputs[0], *node.inputs[3:]):
                    return None
            elif node.op in ("reshape", "slice", "permute"):
                moved.append(node)
                waiting.append(node.outputs[0])
            else:
                return None
    return moved


@dataclass(frozen=True)
class _Opened:
    """What takes the place of a node; ``instead`` is read for its result where that has no name to keep."""

    node: Node
    nodes: tuple[Node, ...]
    types: dict[str, TensorType]
    states: tuple[State, ...]
    instead: str | None


def _opened(program: Program, node: Node) -> _Opened:
    parts = recurrent(program, node)
    _check(program, parts)
    states = tuple(
        State(f"{node.name}_{taken}", f"{node.name}_{given}", _initial(program, start))
        for (taken, given), start in zip(state_names(node), parts.states, strict=True)
    )
    types: dict[str, TensorType] = {}
    nodes: list[Node] = []
    for state, start in zip(states, parts.states, strict=True):
        shape = program.type(start).shape
        types |= {name: TensorType((1, *shape)) for name in (state.input, state.output)}
        nodes.append(_moved(node, "reshape", state.input, f"{state.input}_rows", shape=shape))
        types[nodes[-1].name] = TensorType(shape)
    rows, (_, *rest) = [made.name for made in nodes], node.inputs[len(states) :]
    out, shown = node.outputs[0], states[0].output
    if node.op != "lstm":
        nodes.append(replace(node, inputs=(parts.gates, *rows, *rest), outputs=(shown,)))
    else:
        both = out if node.attrs["cell"] else f"{node.name}_both"
        types[both] = TensorType((1, parts.batch, parts.state + parts.hidden))
        inside = replace(node, inputs=(parts.gates, *rows, *rest), outputs=(both,))
        nodes.append(inside.with_attrs(cell=True))
        for state, begin in zip(states, (0, parts.state), strict=True):
            sizes, starts = types[state.output].shape, (0, 0, begin)
            nodes.append(
                _moved(node, "slice", both, state.output, starts=starts, sizes=sizes, steps=(1, 1, 1))
            )
        if both == out:
            return _Opened(node, tuple(nodes), types, states, None)
    if out not in program.outputs:
        return _Opened(node, tuple(nodes), types, states, shown)
    nodes.append(_moved(node, "reshape", shown, out, shape=program.type(out).shape))
    return _Opened(node, tuple(nodes), types, states, None)


def _moved(of: Node, op: str, source: str, out: str, **attrs: object) -> Node:
    return Node(op, out, (source,), (out,), attrs, of.source)


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
