"""Where a device parts ways with the reference: every operator alone, in that device's runtime."""

from __future__ import annotations

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


def localised(
    parity: Parity, program: Program, spec: TargetSpec, golden: Golden, connection: Connection
) -> Parity:
    """The same parity with the first operator that differs there, where there is one to be named.

    Args:
        parity: of the artifact on the device.
        program: what the artifact was lowered from.
        spec: its target.
        golden: inputs of the comparison.
        connection: to the device.
    """
    equal = parity.equal is None or parity.equal == 1
    if equal or not program.is_quantized or is_approximate(program):
        return parity
    feeds = [stored(program, feed) for feed in golden.inputs[:SAMPLES]]
    lost: list[PocketpressError] = []

    def open_there(path: Path, spec: TargetSpec) -> Runner:
        try:
            return connection.open(path, spec)
        except DeviceError as error:
            lost.append(error)
            raise

    try:
        found = first_difference(program, spec, feeds, open_there)
    except PocketpressError as error:
        lost.append(error)
        found = None
    if found is None and lost:  # the device fell ill meanwhile: its parity is known all the same
        found = FirstDifference(tensor="not found", op="none", note=str(lost[0])[:500])
    return parity.model_copy(update={"first_difference": found or TOGETHER})
