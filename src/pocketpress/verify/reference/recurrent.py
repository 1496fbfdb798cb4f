"""Recurrent operators: the step that defines them, once for every position of the sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pocketpress.core.program import Program
from pocketpress.core.program.decode import decode
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import RECURRENT, recurrent, state_names, step_program
from pocketpress.verify.reference.context import Context

__all__ = ["RECURRENT", "scan"]

Run = Callable[[Program, Mapping[str, Array]], Mapping[str, Array]]


def scan(c: Context, run: Run) -> Array:
    """All states, (T, N, H), in the places of their inputs; with the cells behind them where asked for.

    Args:
        c: the node.
        run: the interpreter of programs.
    """
    parts, step = recurrent(c.program, c.node), step_program(c.program, c.node)
    names = state_names(c.node)
    states = {name: decode(c.inputs[1 + i], c.in_type(1 + i)) for i, (name, _) in enumerate(names)}
    shown = [after for _, after in names] if c.node.attrs.get("cell") else [names[0][1]]
    out = np.empty(c.out_type.shape, np.float32)
    order = range(parts.steps)
    for t in reversed(order) if parts.reverse else order:
        made = run(step, {"gates": c.inputs[0][t], **states})
        states = {before: made[after] for before, after in names}
        out[t] = np.concatenate([made[name] for name in shown], axis=1)
    return out
