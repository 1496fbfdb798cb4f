"""The same scales on the same network from another file: ``python -m benchmarks.sources.scales WORK``.

Every press finds scales of its own, so integers of two presses say nothing about two importers.  Here the
scales are decided once, on the PyTorch network of ``WORK/sources.json``, and carried over node by node to the
programs that the other files became.  Those are lowered, each to ``WORK/scales-TARGET/KIND``, and
``WORK/weights.json`` gets the share of equal stored weights and biases.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sources.produce import TARGETS
from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.observe import observe
from pocketpress.compress.quantize.plan import QuantizationOptions, QuantizationPlan, int8_tensors, make_plan
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Node, Program, Quantization
from pocketpress.core.signature import signature_of
from pocketpress.core.targets import all_targets
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.pipeline.prepare import simplified
from pocketpress.pipeline.quantization import placed
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

CALIBRATION = 128
REORDERS = ("permute", "reshape")
"""What an importer may do differently: the order of axes at the border, not arithmetic."""


def main() -> None:
    """Parse, decide once, carry over, lower."""
    parser = argparse.ArgumentParser(description="Quantise one network, read from several files, alike.")
    parser.add_argument("work", type=Path)
    work: Path = parser.parse_args().work
    sources: dict[str, str] = json.loads((work / "sources.json").read_text())
    programs = {kind: read(spec) for kind, spec in sources.items()}
    (first, base), *_ = programs.items()
    with np.load(work / "calibration.npz") as file:
        plan = decide(base, file["x"][:CALIBRATION])
    made = {kind: apply_plan(program, carried(plan, base, program)) for kind, program in programs.items()}
    for target in TARGETS.split(","):
        spec = all_targets()[target]
        folder = work / f"scales-{target}"
        folder.mkdir()
        for kind, program in made.items():
            path = folder / f"{kind}{spec.suffix}"
            spec.lower(program, signature_of(program, precision="w8a8-fast"), path)
    shares = {kind: equal_constants(made[first], program) for kind, program in made.items()}
    (work / "weights.json").write_text(json.dumps(shares))


def read(spec: str) -> Program:
    """The float program that quantisation starts from."""
    program = simplified(load_source(spec).program, None, False)
    return affine_to_depthwise(average_pool_to_depthwise(program))


def decide(program: Program, pictures: np.ndarray[Any, Any]) -> QuantizationPlan:
    """Scales by least third power of the error; nothing learned."""
    targets = tuple(all_targets()[name] for name in TARGETS.split(","))
    placement = placed(program, targets, parse_precision("w8a8-fast"))
    feeds = [{program.inputs[0]: picture[None]} for picture in pictures]
    tensors = int8_tensors(program, placement)
    stats = observe(program, tensors, feeds, len(feeds), lambda p, f, n: interpret(p, f, keep=n))
    return make_plan(program, placement, stats, QuantizationOptions("l3"))


def carried(plan: QuantizationPlan, base: Program, other: Program) -> QuantizationPlan:
    """The plan in the names of another program of the same arithmetic.

    Raises:
        ValueError: the programs compute something else.
    """
    ours, theirs = arithmetic(base), arithmetic(other)
    if [node.op for node in ours] != [node.op for node in theirs]:
        raise ValueError(f"other operators: {[n.op for n in theirs]} instead of {[n.op for n in ours]}")
    nodes = {a.name: b.name for a, b in zip(ours, theirs, strict=True)}
    tensors = dict(zip(base.inputs, other.inputs, strict=True))
    for a, b in zip(ours, theirs, strict=True):
        tensors |= dict(zip((*a.inputs, *a.outputs), (*b.inputs, *b.outputs), strict=True))
    grids = {tensors[name]: grid for name, grid in plan.activations.items()}
    moved = frozenset(n.name for n in other.nodes if n.op in REORDERS)
    return QuantizationPlan(
        frozenset(nodes[name] for name in plan.integer_nodes if name in nodes) | moved,
        spread(grids, other),
        {nodes[name]: grid for name, grid in plan.weights.items()},
        {(nodes[name], i): tensors[to] for (name, i), to in plan.requantized_edges.items()},
        plan.skipped,
        bias_shifts={nodes[name]: shift for name, shift in plan.bias_shifts.items()},
        heads=frozenset(nodes[name] for name in plan.heads),
    )


def arithmetic(program: Program) -> list[Node]:
    """All nodes but those that only reorder."""
    return [node for node in program.nodes if node.op not in REORDERS]


def spread(grids: Mapping[str, Quantization], program: Program) -> dict[str, Quantization]:
    """What only reorders has one grid on both sides."""
    found = dict(grids)
    for nodes in (program.nodes, program.nodes[::-1]):
        for node in nodes:
            ends = (node.inputs[0], node.outputs[0])
            if node.op in REORDERS and any(end in found for end in ends):
                grid = next(found[end] for end in ends if end in found)
                found |= {end: found.get(end, grid) for end in ends}
    return found


def equal_constants(base: Program, other: Program) -> float:
    """Share of equal integers among the weights and biases, product by product."""
    equal = total = 0
    for a, b in zip(arithmetic(base), arithmetic(other), strict=True):
        for ours, theirs in zip(a.inputs, b.inputs, strict=True):
            if ours in base.constants and base.constants[ours].dtype.kind == "i":
                same = base.constants[ours] == other.constants[theirs]
                equal, total = equal + int(same.sum()), total + same.size
    return equal / total


if __name__ == "__main__":
    main()
