"""A program as delegate calls, calls of portable kernels and loops, in order.

What lies before, between and behind recurrent layers and kernels is a program for XNNPACK each time; so is
one step of a layer, which the runtime's own loop calls for every position of the sequence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.core.program.ir import Node, Program, TensorType
from pocketpress.core.program.prefix import prefixed
from pocketpress.core.program.recurrent import RECURRENT, recurrent, state_names, step_program
from pocketpress.targets.executorch.kernels import KERNEL_OPS, KernelCall, kernel_calls


@dataclass(frozen=True)
class Layer:
    """A recurrent layer as a loop over its step.

    Attributes:
        step: one step, with names of its own.
        steps: how often it runs.
        reverse: whether the last position comes first.
        sequence: input products, (T, N, gates).
        item: the step's input for one position of them.
        states: (initial state, input of the step, output of the step), one per state.
        shown: output of the step that the result holds.
        result: (T, N, width).
    """

    step: Program
    steps: int
    reverse: bool
    sequence: str
    item: str
    states: tuple[tuple[str, str, str], ...]
    shown: str
    result: str


def stages(program: Program) -> list[Program | Layer | KernelCall]:
    """Cut a program at its recurrent layers, those of a single step are no loop, and at kernels.

    A stage holds what depends on equally many of them in a row, so two directions over one sequence cost no
    cut between them.
    """
    program = _with_rows_as_held(_without_single_steps(program))
    depths: dict[str, int] = {}
    plain: dict[int, list[Node]] = {}
    layers: dict[int, list[Node]] = {}
    for node in program.nodes:
        depth = max((depths.get(name, 0) for name in node.inputs), default=0)
        is_layer = node.op in RECURRENT or node.op in KERNEL_OPS
        (layers if is_layer else plain).setdefault(depth, []).append(node)
        depths |= dict.fromkeys(node.outputs, depth + is_layer)
    found: list[Program | Layer | KernelCall] = []
    for depth in range(max([*plain, *layers], default=0) + 1):
        if depth in plain:
            found.append(_part(program, plain[depth]))
        for node in layers.get(depth, []):
            if node.op in KERNEL_OPS:
                found += kernel_calls(program, node, node.outputs[0])
            else:
                found.append(_layer(program, node))
    return found


def _with_rows_as_held(program: Program) -> Program:
    """Look-ups of an output of the program, or of float16, write another tensor, which XNNPACK copies."""
    types, nodes = dict(program.types), list[Node]()
    for node in program.nodes:
        name = node.outputs[0]
        half = node.op == "embedding" and program.type(node.inputs[1]).dtype == "float16"
        if node.op != "embedding" or not (half or name in program.outputs):
            nodes.append(node)
            continue
        rows, like = f"{name}/rows", program.type(name)
        types[rows] = replace(like, dtype="float16") if half else like
        nodes.append(replace(node, outputs=(rows,)))
        nodes.append(
            Node("reshape", f"{node.name}/rows", (rows,), (name,), {"shape": like.shape}, node.source)
        )
    return replace(program, types=types, nodes=tuple(nodes))


def _part(program: Program, nodes: list[Node]) -> Program:
    """Some nodes as a program of their own: it reads what others make, and writes what others read."""
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name not in made)
    inside = {id(node) for node in nodes}
    wanted = {name for node in program.nodes if id(node) not in inside for name in node.inputs}
    wanted |= set(program.outputs)
    constants = {n: program.constants[n] for n in read if program.is_constant(n)}
    return Program(
        inputs=tuple(n for n in read if n not in constants),
        outputs=tuple(n for node in nodes for n in node.outputs if n in wanted),
        types={n: program.types[n] for n in (*read, *made)},
        constants=constants,
        nodes=tuple(nodes),
    )


def _layer(program: Program, node: Node) -> Layer:
    parts, prefix = recurrent(program, node), f"{node.name}/"
    step = prefixed(step_program(program, node), prefix)
    pairs = [(prefix + before, prefix + after) for before, after in state_names(node)]
    states = tuple((first, *pair) for first, pair in zip(parts.states, pairs, strict=True))
    shown = states[0][2]
    if node.attrs.get("cell"):
        shown = f"{prefix}shown"
        step = _with_concat(step, [after for *_, after in states], shown, node.source)
    return Layer(
        step, parts.steps, parts.reverse, parts.gates, step.inputs[0], states, shown, node.outputs[0]
    )


def _without_single_steps(program: Program) -> Program:
    """Layers of one step become its operators."""
    types, constants = dict(program.types), dict(program.constants)
    nodes: list[Node] = []
    for node in program.nodes:
        if node.op not in RECURRENT or recurrent(program, node).steps > 1:
            nodes.append(node)
            continue
        layer = _layer(program, node)
        shape, out = layer.step.type(layer.item).shape, program.type(layer.result).shape
        types |= layer.step.types
        constants |= layer.step.constants
        given = {before: first for first, before, _ in layer.states}
        nodes.append(
            Node("reshape", layer.item, (layer.sequence,), (layer.item,), {"shape": shape}, node.source)
        )
        nodes += [inner.renamed(given) for inner in layer.step.nodes]
        nodes.append(Node("reshape", node.name, (layer.shown,), (layer.result,), {"shape": out}, node.source))
    return replace(program, types=types, constants=constants, nodes=tuple(nodes))


def _with_concat(step: Program, parts: list[str], out: str, source: str) -> Program:
    rows = step.type(parts[0]).shape[0]
    like = TensorType((rows, sum(step.type(name).shape[1] for name in parts)))
    node = Node("concat", out, tuple(parts), (out,), {"axis": 1}, source)
    return replace(
        step, outputs=(*step.outputs, out), types={**step.types, out: like}, nodes=(*step.nodes, node)
    )


def with_float_states(program: Program) -> Program:
    """Initial states, and operands of powers, that are float16 constants become float32.

    The runtime complains of other states, and its kernel wants both operands alike.
    """
    types, constants = dict(program.types), dict(program.constants)
    nodes = []
    for node in program.nodes:
        states = recurrent(program, node).states if node.op in RECURRENT else ()
        states = node.inputs if node.op == "power" else states
        halves = {n: f"{n}/real" for n in states if program.type(n).dtype == "float16"}
        for name, wide in halves.items():
            constants[wide] = program.constants[name].astype(np.float32)
            types[wide] = replace(program.type(name), dtype="float32")
        nodes.append(node.renamed(halves))
    return replace(program, types=types, constants=constants, nodes=tuple(nodes))


def delegated(found: Iterable[Program | Layer | KernelCall]) -> list[Program]:
    """The programs that XNNPACK gets."""
    return [
        stage.step if isinstance(stage, Layer) else stage
        for stage in found
        if not isinstance(stage, KernelCall)
    ]
