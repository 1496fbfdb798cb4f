"""Two programs compute the same."""

from __future__ import annotations

import numpy as np
from tests.reference.networks import samples

from pocketpress.core.program import Program, check_program
from pocketpress.verify.reference import interpret


def ops(program: Program) -> list[str]:
    return [n.op for n in program.nodes]


def assert_same(before: Program, after: Program, *, scale: float = 1.0, tolerance: float = 1e-5) -> None:
    """Equal outputs on three random inputs, within ``tolerance`` of their range; same names and types."""
    check_program(after)
    assert after.inputs == before.inputs and after.outputs == before.outputs
    assert [after.type(n) for n in after.outputs] == [before.type(n) for n in before.outputs]
    for feeds in samples(before, 3, seed=11, scale=scale):
        wanted, got = interpret(before, feeds), interpret(after, feeds)
        for name in before.outputs:
            span = max(float(np.ptp(wanted[name])), 1e-6)
            assert np.abs(wanted[name] - got[name]).max() <= tolerance * span, name
