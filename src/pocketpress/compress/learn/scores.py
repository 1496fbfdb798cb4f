"""What a network is trained by: places and whole numbers have no gradient, and the scores behind them do."""

from __future__ import annotations

from pocketpress.core.program import Program

BLIND = ("argmax", "whole", "floor", "round", "step")
"""Operators whose results do not change with small changes of what they read."""
_MOVES = ("reshape", "permute", "slice")


def scored(program: Program) -> Program:
    """The program up to the scores: outputs that are places or rounded numbers give way to what they are of.

    Args:
        program: float.

    Returns:
        The same program where every output is real; states are kept.
    """
    kept = {state.output for state in program.states}
    outputs = [name if name in kept else _seen(program, name) for name in program.outputs]
    return program if tuple(outputs) == program.outputs else program.prefix(dict.fromkeys(outputs))


def _seen(program: Program, output: str) -> str:
    """The tensor before the first operator, seen from the input, that hides an output from its gradient."""
    makers = program.producers()
    found = name = output
    while (node := makers.get(name)) is not None and node.op in (*BLIND, *_MOVES):
        name = node.inputs[0]
        if node.op in BLIND:
            found = name
    return found
