"""``--data none``: a data set of inputs synthesised from the network's own batch-norm statistics."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from pocketpress.compress.synthesize.batch_norm import BatchNormNetwork, Layer
from pocketpress.compress.synthesize.inputs import STEPS, InputSpace, Synthesis, batches, synthesize
from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec
from pocketpress.data import Dataset, RawSample
from pocketpress.data.preprocessing import complete, guess_layout, image_size, normalisation_table
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.events import Events
from pocketpress.sources.source import Source

KIND = "synthesised"
NEAR = 0.05
"""Largest average distance called near: 128 real images come within 0.03 to 0.04 (docs/data.md)."""
NEAR_WORST = 0.25
"""Largest distance of a single layer called near: of 32 real images it is 0.12 to 0.23."""
BUDGET = 600e9
"""Multiply-accumulates of all forward passes: a large network gets fewer images, not a longer wait."""
FEWEST = 8
UNKNOWN = 2.0
"""Where nothing says what range inputs have, the search starts with values of this size."""
NEXT = "give --data with real samples"


def synthesised(
    source: Source,
    signature: Signature,
    prep: Preprocessing | None,
    *,
    multiply_accumulates: int,
    samples: int,
    seed: int,
    cache: Cache,
    events: Events,
) -> tuple[Dataset, SynthesisReader]:
    """A data set that is synthesised when it is first read.

    Args:
        source: the network, with its exported graph.
        signature: of the network.
        prep: how images become inputs, if it is known; inputs are then real pixels prepared so.
        multiply_accumulates: of one inference.
        samples: at most.
        seed: of the noise it starts from.
        cache: keeps what was synthesised from the same network.
        events: told about progress.

    Raises:
        DataError: integer inputs, no batch-norm behind an input, or statistics that were never trained.
    """
    assert source.exported is not None
    for spec in signature.inputs:
        if not spec.dtype.startswith("float"):
            raise DataError(
                f"input {spec.name} cannot be synthesised", got=spec.dtype, allowed="float32", next_step=NEXT
            )
    network = BatchNormNetwork(source.exported)
    _check(network)
    if len(signature.inputs) > 1:
        prep = None  # a declared preprocessing speaks of images, which feed a network of one input
    if prep is not None:
        prep = replace(complete(prep, signature.inputs[0]), resize=None)
    spaces = {spec.name: _space(spec, prep) for spec in signature.inputs}
    affordable = int(BUDGET / (max(multiply_accumulates, 1) * STEPS))
    count = min(samples, max(affordable, FEWEST))
    key = Cache.key(
        KIND, program_hash(source.program), _digest(network.layers), _text(spaces), count, seed, STEPS
    )  # fmt: skip
    reader = SynthesisReader(network, spaces, count, seed, cache, key, events)
    return Dataset("none", KIND, signature, prep, reader), reader


class SynthesisReader:
    """Samples made on first use; a `pocketpress.data.Reader`."""

    def __init__(
        self,
        network: BatchNormNetwork,
        spaces: Mapping[str, InputSpace],
        count: int,
        seed: int,
        cache: Cache,
        key: str,
        events: Events,
    ) -> None:
        """Keep what synthesis needs; see `synthesised`."""
        self.size: int | None = count
        self.labelled = False
        self.skipped: tuple[tuple[str, str], ...] = ()
        self._network, self._spaces, self._count, self._seed = network, spaces, count, seed
        self._cache, self._key, self._events = cache, key, events

    @cached_property
    def result(self) -> Synthesis:
        """What was synthesised, now or in an earlier press."""
        hit = self._cache.get(self._key)
        if hit is not None:
            with np.load(hit / "inputs.npz", allow_pickle=False) as stored:
                inputs = {name: stored[f"arr_{i}"] for i, name in enumerate(self._spaces)}
            return Synthesis(inputs, **json.loads((hit / "trust.json").read_text()))
        steps = STEPS * len(batches(self._count))
        with self._events.stage("synthesise", steps) as advance:
            made = synthesize(self._network, self._spaces, self._count, self._seed, advance=advance)
        facts = asdict(made)
        buffer = io.BytesIO()
        inputs = facts.pop("inputs")
        np.savez_compressed(buffer, *(inputs[name] for name in self._spaces))
        trust = json.dumps(facts).encode()
        self._cache.put(self._key, {"inputs.npz": buffer.getvalue(), "trust.json": trust})
        return made

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Samples at ``indices``, or all."""
        inputs = self.result.inputs
        for index in range(self._count) if indices is None else indices:
            yield self._sample(index, inputs)

    def _sample(self, index: int, inputs: Mapping[str, Array]) -> RawSample:
        where = f"synthesised sample {index}"
        values = {}
        for name, space in self._spaces.items():
            share = inputs[name][index]
            if space.pixels:
                pixels = np.rint(share[0] * 255).astype(np.uint8)
                first = space.sides == (2, 3)
                return RawSample(where, pixels.transpose(1, 2, 0) if first else pixels, is_image=True)
            values[name] = np.asarray(space.low + share * (space.high - space.low), np.float32)
        return RawSample(where, values)

    @property
    def trust(self) -> str:
        """How much the samples deserve, in words and a number."""
        made = self.result
        near = made.distance <= NEAR and made.worst <= NEAR_WORST
        text = (
            f"{self._count} samples synthesised from the statistics of {made.layers} batch-norm layers, "
            f"which they match within {made.distance:.1%} of a standard deviation on average (the noise they "
            f"began as: {made.start:.0%}; worst layer: {made.worst:.0%}); "
        )
        if not all(space.bounded for space in self._spaces.values()):
            text += "the range of the inputs is not known and was guessed (--preprocess says it for images); "
        far = f"too far (above {NEAR:.0%}, or {NEAR_WORST:.0%} in a layer): do not trust the ranges"
        text += "near enough for ranges" if near else far
        return text + "; accuracy is unknown without real labelled data (--eval)"


def _check(network: BatchNormNetwork) -> None:
    if not network.layers:
        raise DataError(
            "--data none needs batch-norm layers, whose statistics tell what the training data was like",
            got="a network without any",
            next_step=NEXT,
        )
    lost = [name for name in network.inputs if name not in network.reaching]
    if lost:
        raise DataError(f"no batch-norm layer depends on input {lost[0]}", next_step=NEXT)
    if all(_is_initial(layer) for layer in network.layers):
        raise DataError(
            "the batch-norm statistics were never trained",
            got="mean 0 and variance 1 in every layer",
            next_step="give --weights of a trained network, or --data",
        )


def _is_initial(layer: Layer) -> bool:
    return not layer.remembered.mean.any() and bool((layer.remembered.var == 1).all())


def _space(spec: TensorSpec, prep: Preprocessing | None) -> InputSpace:
    layout = guess_layout(spec) if prep is None else prep.layout
    sides = None if image_size(spec, layout) is None else ((2, 3) if layout == "nchw" else (1, 2))
    if prep is None:
        reach = np.full(1, UNKNOWN, np.float32)
        return InputSpace(spec.shape, -reach, reach, bounded=False, sides=sides)
    table = normalisation_table(prep)
    shape = (1, -1, 1, 1) if layout == "nchw" else (1, 1, 1, -1)
    low, high = (np.ascontiguousarray(table[:, i].reshape(shape)) for i in (0, -1))
    return InputSpace(spec.shape, low, high, bounded=True, pixels=True, sides=sides)


def _text(spaces: Mapping[str, InputSpace]) -> list[Any]:
    return [[name, s.low.tolist(), s.high.tolist(), s.bounded, s.sides] for name, s in spaces.items()]


def _digest(layers: Sequence[Layer]) -> str:
    state = hashlib.sha256()
    for layer in layers:
        for value in (layer.remembered.mean, layer.remembered.var):
            state.update(value.numpy().tobytes())
    return state.hexdigest()
