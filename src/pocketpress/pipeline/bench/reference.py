"""Golden samples of an artifact: the press's own, or made here by running the artifact in its runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pocketpress.core.errors import ArtifactError, DeviceError, MissingExtraError
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature
from pocketpress.data import load_dataset
from pocketpress.devices.isolated import open_isolated
from pocketpress.pipeline.bench.golden import Feed, Golden, fitting, random_inputs, read_golden
from pocketpress.pipeline.bench.subjects import Subject
from pocketpress.pipeline.single_inputs import first_inference

ROUND_THEIR_OWN_WAY = ("mixed", "w8a16", "w8-dynamic")
"""Precisions whose programs leave rounding to the runtime, wholly or here and there."""


@dataclass(frozen=True)
class Reference:
    """What the outputs on a device are compared with.

    Attributes:
        signature: of the artifact.
        golden: samples, or None where nothing here computes them.
        notes: what the comparison is worth, in words.
    """

    signature: Signature | None
    golden: Golden | None
    notes: tuple[str, ...] = ()


def reference_of(subject: Subject, data: str | None, samples: int, seed: int = 0) -> Reference:
    """Golden samples for one artifact.

    Args:
        subject: the artifact.
        data: samples as the user named them; by default those that the press kept, else random ones.
        samples: at most so many.
        seed: of the choice of samples.

    Raises:
        ArtifactError: the artifact does not load in its runtime, or what the press kept is damaged.
        DataError: the data does not fit.
    """
    if data is None and subject.golden_path is not None and subject.record is not None:
        signature = subject.record.signature
        if signature is not None:
            kept = read_golden(subject.golden_path, signature)
            return Reference(signature, _first(kept, samples), ())
    try:
        return _made_here(subject, data, samples, seed)
    except (MissingExtraError, DeviceError) as error:
        return Reference(None, None, (f"not compared: {error}",))


def _first(golden: Golden, count: int) -> Golden:
    floats = None if golden.floats is None else golden.floats[:count]
    return Golden(golden.inputs[:count], golden.outputs[:count], floats, golden.reference, golden.approximate)


def _made_here(subject: Subject, data: str | None, samples: int, seed: int) -> Reference:
    runner = open_isolated(subject.path, spec=subject.spec)
    try:
        signature = runner.signature
        feeds = _feeds(signature, data, samples, seed)
        session = Session(runner)
        outputs = [session(**feed) for feed in feeds[:1]]
        feeds = feeds[: fitting(len(feeds), [feeds[0], outputs[0]])]
        outputs += [session(**feed) for feed in feeds[1:]]
    finally:
        runner.close()
    words = f"the same artifact in {subject.spec.title} on this machine"
    approximate = signature.precision in ROUND_THEIR_OWN_WAY
    notes = [f"compared with {words}: agreement of two machines, not with the integer reference"]
    if data is None:
        notes.append("inputs are random: give --data, or measure where the press left the artifact")
    return Reference(signature, Golden(tuple(feeds), tuple(outputs), None, words, approximate), tuple(notes))


def _feeds(signature: Signature, data: str | None, samples: int, seed: int) -> Sequence[Feed]:
    if data is None:
        return random_inputs(signature, samples, seed)
    opened = load_dataset(data, signature, signature.preprocessing)
    if any(spec.dtype == "uint8" for spec in signature.inputs):
        opened = opened.raw_pixels()
    feeds = [
        first_inference(signature, {k: np.asarray(v) for k, v in sample.inputs.items()})
        for sample in islice(opened.samples(samples, seed), samples)
    ]
    if not feeds:
        raise ArtifactError("the data holds no sample", got=data)
    return feeds
