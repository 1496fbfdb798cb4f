"""What a press does otherwise for networks with state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.errors import UserError
from pocketpress.core.program import Program
from pocketpress.core.signature import Signature
from pocketpress.data import Sample
from pocketpress.pipeline.options import SYNTHESISED, PressOptions
from pocketpress.pipeline.stream import load_streamed
from pocketpress.sources.load import load_source
from pocketpress.sources.source import Source


def load_stated(options: PressOptions) -> Source:
    """Read the network with the states that are declared or found.

    Raises:
        SourceError: as `load_source`, `load_streamed`.
    """
    if options.stream is not None:
        return load_streamed(options)
    return load_source(options.source, weights=options.weights, shapes=options.shapes, states=options.states)


def check_stateful(program: Program, options: PressOptions) -> None:
    """Refuse what a network with state has not.

    Raises:
        UserError: steps on the live network, synthesised data, raw pixels.
    """
    if not program.states:
        return
    refused = {
        "prune, factorise, mask and fine-tune": options.shrink.wanted or options.qat_epochs > 0,
        "--data none": options.data == SYNTHESISED,
        "--input-uint8": options.input_uint8,
    }
    for what, asked in refused.items():
        if asked:
            raise UserError(
                f"a network with state cannot be pressed with {what}",
                got=", ".join(f"{s.input}={s.output}" for s in program.states),
                next_step="leave that out, or press the network without its state",
            )


def judged_alone(sample: Sample, signature: Signature) -> Sample:
    """What the metric judges by itself: the sample, or one step of a sequence that has a target for each."""
    steps = len(next(iter(sample.inputs.values())))
    target = sample.target
    if signature.states and target is not None and target.ndim and len(target) == steps:
        return replace(sample, target=np.asarray(target[0]))
    return sample
