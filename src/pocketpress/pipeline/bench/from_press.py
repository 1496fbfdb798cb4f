"""What a press leaves for devices in ``bench/``: golden samples, the program, and float originals.

The program is kept where outputs have to be equal, so that a later ``bench`` can name the operator of which
they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pocketpress.core.errors import DeviceError
from pocketpress.core.program import Program
from pocketpress.pipeline.bench.golden import INTEGER_REFERENCE, SAMPLES, Feed, Golden, fitting, write_golden
from pocketpress.pipeline.bench.localised import can_be_localised
from pocketpress.pipeline.bench.program import write_program
from pocketpress.pipeline.bench.subjects import FOLDER, GOLDEN, PROGRAM
from pocketpress.pipeline.build import Built
from pocketpress.pipeline.evaluate import EvaluationSet, interpreted
from pocketpress.pipeline.outputs import Outputs
from pocketpress.pipeline.sequences import inferences
from pocketpress.verify.parity import is_approximate


def golden_samples(
    program: Program, floats: Program, evaluation: EvaluationSet, reference: Outputs
) -> Golden:
    """The first evaluation samples with what is known of them; of networks with state the first steps.

    Args:
        program: what the artifacts were lowered from.
        floats: the float network, at the artifacts' borders.
        evaluation: all samples.
        reference: outputs of the first of them in the reference interpreter; unused with state.
    """
    if program.states:
        feeds: Sequence[Feed] = inferences(program, evaluation.feeds.first(1), SAMPLES)
        outputs: Sequence[Feed] = [interpreted(program, feed) for feed in feeds]
        originals: Sequence[Feed] = [interpreted(floats, feed) for feed in feeds]
    else:
        feeds = evaluation.feeds.first(min(SAMPLES, len(reference)))
        outputs, originals = reference[: len(feeds)], evaluation.float_outputs[: len(feeds)]
    count = fitting(len(feeds), [feeds[0], outputs[0]])
    return Golden(
        tuple(feeds[:count]),
        tuple(outputs[:count]),
        tuple(originals[:count]),
        INTEGER_REFERENCE if program.is_quantized else "the reference interpreter of the press",
        is_approximate(program),
    )


def leave_for_devices(folder: Path, golden: Golden, program: Program, builds: Sequence[Built]) -> None:
    """Write ``bench/`` into the press's folder.

    Args:
        folder: of the press.
        golden: samples.
        program: what the artifacts were lowered from.
        builds: the artifacts, with their float originals.

    Raises:
        DeviceError: the disk refuses.
    """
    own = folder / FOLDER
    try:
        own.mkdir()
        for built in builds:
            if built.float_artifact != built.artifact:
                built.float_artifact.replace(own / f"float-{built.artifact.name}")
    except OSError as error:
        raise DeviceError(
            f"cannot write {FOLDER}", got=error.strerror, next_step="check the free space"
        ) from error
    write_golden(golden, own / GOLDEN)
    if can_be_localised(program):
        write_program(program, own / PROGRAM)
