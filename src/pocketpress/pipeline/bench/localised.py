"""Where a device parts ways with the reference: every operator alone, in that device's runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pocketpress.core.device import Connection
from pocketpress.core.errors import DeviceError, PocketpressError
from pocketpress.core.program import Program
from pocketpress.core.record import FirstDifference, Parity
from pocketpress.core.target import Runner, TargetSpec
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.quantization import stored
from pocketpress.verify.localise import first_difference
from pocketpress.verify.parity import is_approximate

SAMPLES = 2
TOGETHER = FirstDifference(
    tensor="none alone", op="none", note="every operator agrees on the reference's own integers"
)


class _Lost(Exception):
    """The device: no operator can be tried on it any more."""


def can_be_localised(program: Program) -> bool:
    """Whether outputs have to be equal, so that a difference is one operator's."""
    return program.is_quantized and not is_approximate(program)


def localised(
    parity: Parity, program: Callable[[], Program], spec: TargetSpec, golden: Golden, connection: Connection
) -> Parity:
    """The same parity with the first operator that differs there, where there is one to be named.

    Args:
        parity: of the artifact on the device.
        program: reads what the artifact was lowered from.
        spec: its target.
        golden: inputs of the comparison.
        connection: to the device.
    """
    if parity.equal is None or parity.equal == 1 or golden.approximate:
        return parity
    try:
        found = _first(program(), spec, golden, connection)
    except (PocketpressError, _Lost) as error:  # its parity is known all the same
        found = FirstDifference(tensor="not found", op="none", note=str(error)[:500])
    return parity if found is None else parity.model_copy(update={"first_difference": found})


def _first(
    program: Program, spec: TargetSpec, golden: Golden, connection: Connection
) -> FirstDifference | None:
    if not can_be_localised(program):
        return None

    def open_there(path: Path, spec: TargetSpec) -> Runner:
        try:
            return connection.open(path, spec)
        except DeviceError as error:  # not one of this operator, as its runtime's refusal is
            raise _Lost(str(error)) from error

    feeds = [stored(program, feed) for feed in golden.inputs[:SAMPLES]]
    return first_difference(program, spec, feeds, open_there) or TOGETHER
