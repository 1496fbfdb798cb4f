"""Where a device parts ways with the reference: every operator alone, in that device's runtime."""

from __future__ import annotations

from pocketpress.core.device import Connection
from pocketpress.core.errors import PocketpressError
from pocketpress.core.program import Program
from pocketpress.core.record import FirstDifference, Parity
from pocketpress.core.target import TargetSpec
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
    try:
        found = first_difference(program, spec, feeds, connection.open)
    except PocketpressError as error:  # the device fell ill meanwhile: its parity is known all the same
        return parity.model_copy(
            update={"first_difference": TOGETHER.model_copy(update={"note": str(error)[:500]})}
        )
    return parity.model_copy(update={"first_difference": found or TOGETHER})
