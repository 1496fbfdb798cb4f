"""One program inside another: its tensors need names that nobody else has."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.core.program.ir import Program


def prefixed(program: Program, prefix: str) -> Program:
    """The same program with ``prefix`` before the name of every tensor and node."""
    names = {name: f"{prefix}{name}" for name in program.types}
    return Program(
        inputs=tuple(names[n] for n in program.inputs),
        outputs=tuple(names[n] for n in program.outputs),
        types={names[n]: type_ for n, type_ in program.types.items()},
        constants={names[n]: value for n, value in program.constants.items()},
        nodes=tuple(replace(node.renamed(names), name=f"{prefix}{node.name}") for node in program.nodes),
    )
