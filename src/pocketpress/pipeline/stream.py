"""``--stream``: a network of whole sequences as one of single steps, proved to compute the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pocketpress.core.errors import SourceError
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import signature_of
from pocketpress.graph.stream import looking_at_time, starting_from_zeros, stream
from pocketpress.pipeline.evaluate import run_program
from pocketpress.pipeline.options import PressOptions
from pocketpress.sources.load import load_source
from pocketpress.sources.source import Source
from pocketpress.verify.reference import interpret

TOLERANCE = 1e-4
"""Of an output's range: float32 rounding over many steps, and nothing else."""
NAMED = 3
NO_INPUT = "it is the state that the network remembers: zeros at first, or what Session.reset is given"


def load_streamed(options: PressOptions) -> Source:
    """Load with all steps and with one, replace recurrent layers, and compare.

    Raises:
        SourceError: the network does not load with one step, or its steps are not its whole.
    """
    assert options.stream is not None
    whole = load_source(options.source, weights=options.weights, shapes=options.shapes)
    if whole.program.states:
        raise SourceError(
            "a network that declares its states streams already", next_step="leave --stream out"
        )
    shapes, steps = _one_step(whole.program, options.stream)
    try:
        single = load_source(options.source, weights=options.weights, shapes=shapes)
    except SourceError as error:
        raise SourceError(
            f"the network does not load with one step along axis {options.stream}",
            got=error,
            next_step="write it for any number of steps, or give --stream another axis",
        ) from error
    start, given = starting_from_zeros(single.program)
    program = stream(start)
    complete, _ = starting_from_zeros(whole.program)
    _prove(complete, start, program, options.stream, steps, options.seed)
    notes = tuple((f"input {name}", NO_INPUT) for name in given)
    return replace(single, program=program, skipped=(*single.skipped, *notes))


def _one_step(program: Program, axis: int) -> tuple[tuple[tuple[int, ...], ...], int]:
    """Shapes of the inputs with one step, and the number of steps they have."""
    shapes = [program.type(name).shape for name in program.inputs]
    if len(shapes[0]) <= axis or shapes[0][axis] < 2:
        raise SourceError(
            "the time axis given has no steps",
            got=f"--stream {axis}, {program.inputs[0]} {shapes[0]}",
            next_step="give the axis of the input that is time, and an example of several steps",
        )
    steps = shapes[0][axis]
    timed = [len(shape) > axis and shape[axis] == steps for shape in shapes]
    return tuple(
        tuple(1 if i == axis else size for i, size in enumerate(shape)) if has else shape
        for shape, has in zip(shapes, timed, strict=True)
    ), steps


def _prove(whole: Program, single: Program, streamed: Program, axis: int, steps: int, seed: int) -> None:
    feeds = _noise(whole, seed)
    wanted = interpret(whole, feeds)
    sequence = {
        name: _by_step(value, streamed.type(name).shape, axis, steps) for name, value in feeds.items()
    }
    got = run_program(streamed, [sequence], lambda: None)[0]
    for name in whole.outputs:
        expected, found = _aligned(wanted[name], got[name], steps)
        if expected is None or _differ(expected, found):
            raise SourceError(
                f"step by step the network does not compute what it computes at once, in output {name}",
                got=", ".join(looking_at_time(whole, single)[:NAMED])
                or "an operator that looks at all steps",
                allowed="layers that look at one step, and recurrent ones that run forwards",
                next_step="replace that, or press the whole sequence without --stream",
            )


def _by_step(value: Array, shape: tuple[int, ...], axis: int, steps: int) -> Array:
    """The input of every step; one without the time axis is the same at each."""
    if value.shape == shape:
        return np.broadcast_to(value, (steps, *shape))
    return np.moveaxis(value, axis, 0).reshape(steps, *shape)


def _noise(program: Program, seed: int) -> dict[str, Array]:
    rng, feeds = np.random.default_rng(seed), {}
    for spec in signature_of(program, precision="fp32").inputs:
        whole = spec.dtype.startswith("int")
        drawn = rng.integers(0, spec.rows or 2, spec.shape) if whole else rng.normal(size=spec.shape)
        feeds[spec.name] = np.asarray(drawn).astype(spec.dtype)
    return feeds


def _aligned(whole: Array, steps_: Array, steps: int) -> tuple[Array | None, Array]:
    """What each step should have given: its part along the axis that grew, or the last step the whole."""
    shape = steps_.shape[1:]
    if whole.shape == shape:
        return whole, steps_[-1]
    grown = [a for a, (many, one) in enumerate(zip(whole.shape, shape, strict=False)) if many != one]
    if len(whole.shape) != len(shape) or len(grown) != 1 or whole.shape[grown[0]] != steps * shape[grown[0]]:
        return None, steps_
    parts = np.stack(np.split(whole, steps, axis=grown[0]))
    return parts, steps_


def _differ(expected: Array, found: Array) -> bool:
    span = max(float(np.ptp(expected)), 1e-3)
    return not bool(np.abs(expected - found).max(initial=0) <= TOLERANCE * span)
