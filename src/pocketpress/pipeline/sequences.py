"""Networks with state over whole sequences: states run along from step to step.

A sequence is a feed whose arrays have the steps as first axis, without the states; its outputs are those
that are no states, with the steps as first axis too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.pipeline.single_inputs import Feed, steps_of
from pocketpress.verify.reference import interpret

Step = Callable[[Feed], Mapping[str, Array]]


def run_sequence(sequence: Mapping[str, Array], step: Step) -> Feed:
    """Outputs of all steps, stacked; ``step`` keeps the states."""
    outputs = [step(feed) for feed in steps_of(sequence)]
    return {name: np.stack([o[name] for o in outputs]) for name in outputs[0]}


def initial_states(program: Program) -> Feed:
    """Values before the first step, as the program stores them."""
    return {
        s.input: s.start(program.type(s.input).shape, program.type(s.input).dtype) for s in program.states
    }


def full_feeds(program: Program, sequence: Mapping[str, Array]) -> Iterator[Feed]:
    """The inputs of every step, states included, as a float program makes them from step to step."""
    states = initial_states(program)
    carried = {state.output: state.input for state in program.states}
    for feed in steps_of(sequence):
        whole = {**feed, **states}
        yield {name: whole[name] for name in program.inputs}
        results = interpret(program, whole, keep=carried)
        states = {carried[name]: value for name, value in results.items()}


def chosen_steps(
    program: Program, sequences: Sequence[Mapping[str, Array]], count: int, seed: int
) -> list[Feed]:
    """At most ``count`` steps of the sequences with all their inputs, spread evenly over the sequences.

    Which steps of a sequence is left to chance: every phase of it is seen in some.
    """
    rng, found = np.random.default_rng(seed), list[Feed]()
    for number, sequence in enumerate(sequences):
        length = len(next(iter(sequence.values())))
        share = -(-(count - len(found)) // (len(sequences) - number))
        wanted = set(rng.choice(length, size=min(share, length), replace=False).tolist())
        found += [feed for i, feed in enumerate(full_feeds(program, sequence)) if i in wanted]
    return found


def singles(outputs: Sequence[Mapping[str, Array]]) -> list[Feed]:
    """Every step of every sequence's outputs by itself."""
    return [step for sequence in outputs for step in steps_of(sequence)]


def inferences(program: Program, samples: Sequence[Mapping[str, Array]], count: int) -> list[Feed]:
    """Inputs of at most ``count`` single inferences: samples, or the steps of sequences (`full_feeds`)."""
    if not program.states:
        return [dict(sample) for sample in samples[:count]]
    return list(itertools.islice((f for s in samples for f in full_feeds(program, s)), count))
