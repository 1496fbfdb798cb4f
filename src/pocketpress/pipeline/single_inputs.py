"""Inputs of single inferences, taken from sequences; needs no interpreter, and so no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Signature

Feed = dict[str, Array]


def steps_of(sequence: Mapping[str, Array]) -> Iterator[Feed]:
    """The inputs of every step."""
    count = len(next(iter(sequence.values())))
    for index in range(count):
        yield {name: value[index] for name, value in sequence.items()}


def first_inference(signature: Signature, sample: Mapping[str, Array]) -> Feed:
    """Real-valued inputs of one inference of an artifact: the sample, or its first step."""
    if not signature.states:
        return dict(sample)
    shapes = {spec.name: spec.shape for spec in signature.inputs}
    starts = {s.input: s.start(shapes[s.input], "float32") for s in signature.states}
    return {**next(steps_of(sample)), **starts}
