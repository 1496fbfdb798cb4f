"""Which samples find the ranges, which judge the candidates, and which teach the rounding."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from pocketpress.compress.learn.blocks import border_bytes
from pocketpress.compress.quantize.place import PRODUCTS
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.data import Dataset
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.sequences import chosen_steps

SAMPLES = 512
"""Samples that ranges are found on.  Extremes of 128 are exceeded by others often enough to matter."""
FEW_SAMPLES = 128
"""As many are read however large they are."""
SAMPLE_BYTES = 256 << 20
"""Beyond `FEW_SAMPLES`, and `FEWEST_JUDGES` of the judges, no more are read than fit."""
JUDGES = 256
FEWEST_JUDGES = 32
JUDGING_SHARE = 4
"""Where there are no other samples for judging, at most one of so many is kept from learning for it."""
SEQUENCES = 64
"""Of a network with state so many are run for ranges, and so many for judging and learning."""
LEAST_LEARNED = 16
"""Calibration samples without which no rounding is learned: it would fit them and nothing else."""
BORDER_BYTES = 192 << 20
"""Learned rounding holds the activations on one border of all its samples, twice, within this."""

Feeds = list[dict[str, Array]]


@dataclass(frozen=True)
class Calibration:
    """Samples by what they are for.

    Attributes:
        ranges: ranges are found on these.
        judges: the error on these decides between candidates.
        learning: rounding is learned on these; never on a judge.
    """

    ranges: Feeds
    judges: Feeds
    learning: Feeds

    @property
    def digest(self) -> str:
        """SHA-256 of everything."""
        return feeds_hash([*self.ranges, *self.judges, *self.learning])


def learns_rounding(options: PressOptions) -> bool:
    """Whether the rounding of weights will be learned, where there are samples enough."""
    if options.rounding_steps is not None:
        return options.rounding_steps > 0
    return parse_precision(options.precision).learned


def sample_bytes(program: Program) -> int:
    """Bytes of one sample as float32."""
    return 4 * sum(program.type(name).elements for name in program.inputs)


def calibration_count(options: PressOptions, sample_bytes: int) -> int:
    """How many samples find the ranges, at most."""
    if options.calibration_samples is not None:
        return options.calibration_samples
    return min(SAMPLES, max(FEW_SAMPLES, SAMPLE_BYTES // max(sample_bytes, 1)))


def draw(data: Dataset, options: PressOptions, program: Program) -> Calibration:
    """Read the samples, each once.

    Args:
        data: calibration data.
        options: how many.
        program: float; no more samples are learned from than `BORDER_BYTES` of its activations hold.
    """
    bytes_each = sample_bytes(program)
    count = calibration_count(options, bytes_each)
    judging = min(JUDGES, max(FEWEST_JUDGES, SAMPLE_BYTES // max(bytes_each, 1)))
    sequences = SequenceDraw(data, program, options.seed) if program.states else None
    ranges = sequences.some(count) if sequences else _read(data, count, options.seed)
    learns = learns_rounding(options)
    room = learnable(program, frozenset(n.name for n in program.nodes if n.op in PRODUCTS))
    more = max(0, min(options.rounding_samples, room - len(ranges))) if learns else 0
    if sequences:
        others = sequences.others(judging + more)
    else:
        others = list(_others(data, judging + more, options.seed + 1, ranges))
    if len(others) >= FEWEST_JUDGES:
        judges = spread(others, judging)
        pool = ranges + _without(others, judges)
    else:
        apart = JUDGING_SHARE if learns else 1
        judges = spread(ranges, min(JUDGES, -(-len(ranges) // apart)))
        pool = _without(ranges, judges) + others
    return Calibration(ranges, judges, spread(pool, room) if learns else [])


class SequenceDraw:
    """Single steps of sequences, with the states that the float network has there.

    Args:
        data: sequences.
        program: float, with states.
        seed: of the choice of sequences and steps.
    """

    def __init__(self, data: Dataset, program: Program, seed: int) -> None:
        self.program, self.seed = program, seed
        read = _read(data, 2 * SEQUENCES, seed)
        self.first, self.second = read[::2], read[1::2]

    def some(self, count: int) -> Feeds:
        """So many steps of every other sequence."""
        return chosen_steps(self.program, self.first, count, self.seed)

    def others(self, count: int) -> Feeds:
        """So many steps of the sequences in between."""
        return chosen_steps(self.program, self.second, count, self.seed + 1) if self.second else []


def learnable(program: Program, learned: frozenset[str]) -> int:
    """How many samples fit `BORDER_BYTES` when the nodes ``learned`` are, but at least `LEAST_LEARNED`."""
    return max(LEAST_LEARNED, BORDER_BYTES // max(border_bytes(program, learned), 1))


def feeds_hash(feeds: Feeds) -> str:
    """SHA-256 of samples, in order."""
    digest = hashlib.sha256()
    for feed in feeds:
        for name in sorted(feed):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(feed[name]).tobytes())
    return digest.hexdigest()


def _read(data: Dataset, count: int, seed: int) -> Feeds:
    return [{k: _real(v) for k, v in sample.inputs.items()} for sample in data.samples(count, seed)]


def _others(data: Dataset, count: int, seed: int, known: Feeds) -> Iterator[dict[str, Array]]:
    """So many samples that are not known yet; of a stream the next ones."""
    seen = {feeds_hash([feed]) for feed in known}
    wanted = count if data.size is not None else count + len(known)
    for feed in _read(data, wanted, seed):
        key = feeds_hash([feed])
        if key not in seen:
            seen.add(key)
            yield feed


def spread(feeds: Feeds, count: int) -> Feeds:
    """So many, evenly over all of them: data may be stored by class."""
    if len(feeds) <= count:
        return feeds
    return [feeds[int(i)] for i in np.linspace(0, len(feeds) - 1, count).round()]


def _without(feeds: Feeds, taken: Collection[dict[str, Array]]) -> Feeds:
    gone = {id(feed) for feed in taken}
    return [feed for feed in feeds if id(feed) not in gone]


def _real(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype.kind == "u" else value
