"""Control flow as plain steps: the branch that is taken, a choice between both, and repetitions in a row.

A program has neither branches nor loops.  What constants and shapes decide is decided here; where the
network's inputs decide, both branches are computed and one of the results is looked up; repetitions are
written one after the other, as far as their number does not depend on the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.steps.call import Call, Known, Operator
from pocketpress.sources.steps.graph import BATCHED, Branch, Step, undecided

MAX_REPETITIONS = 1024
"""Of one loop: every repetition is nodes of the program."""
CHOICE, ITEM, STACK = "choice of If", "item of Scan", "results of repetitions"
"""Steps that files cannot name."""


@dataclass(frozen=True)
class Expansion:
    """What takes the place of a step.

    Attributes:
        known: constants by name.
        steps: in order; the last may have branches itself.
        note: for the user, or "".
    """

    known: Mapping[str, Known]
    steps: Sequence[Step]
    note: str = ""


@dataclass(frozen=True)
class Around:
    """What is known around a step.

    Attributes:
        known: arrays by name.
        shape: of a tensor by its name.
    """

    known: Mapping[str, Known]
    shape: Callable[[str], Sequence[int]]

    def one(self, step: Step, name: str | None, what: str) -> Known | None:
        """The single value of ``name``; None where it is left out.

        Raises:
            UnsupportedError: it depends on the network's inputs.
            SourceError: it has several values.
        """
        if name is None:
            return None
        if name not in self.known:
            raise undecided(step, what)
        value = np.asarray(self.known[name])
        if value.size != 1:
            raise SourceError(f"node {step.name}: {what} of {step.op}", got=value.size, allowed="one value")
        return value.reshape(())


def expanded(step: Step, around: Around) -> Expansion:
    """What a step with branches stands for.

    Raises:
        UnsupportedError: the inputs decide how often something is repeated, or it is repeated too often.
        SourceError: a branch has other inputs or outputs than its step.
    """
    return {"If": _if, "Loop": _turn, "Scan": _scan}[step.op](step, around)


def _if(step: Step, around: Around) -> Expansion:
    condition = step.inputs[0]
    if condition in around.known:
        chosen = bool(around.one(step, condition, "the condition"))
        branch = _checked(step, step.branches[int(chosen)], 0, len(step.outputs))
        note = f"the condition is {str(chosen).lower()} for these shapes: the other branch is left out"
        return Expansion(branch.known, [*branch.steps, *_ends(step, branch.outputs)], note)
    no, yes = (_checked(step, branch, 0, len(step.outputs)) for branch in step.branches)
    choices = [
        Step(CHOICE, step.name, (condition, first, second), (out,), {})
        for first, second, out in zip(no.outputs, yes.outputs, step.outputs, strict=True)
        if out
    ]
    note = "the condition depends on the input: both branches are computed, and one is chosen"
    return Expansion({**no.known, **yes.known}, [*no.steps, *yes.steps, *choices], note)


def _turn(step: Step, around: Around) -> Expansion:
    """One repetition of a Loop, and the Loop again; or its results, when it is over."""
    carried, turn = int(step.attributes["carried"]), int(step.attributes["turn"])
    limit = around.one(step, step.inputs[0], "the number of repetitions")
    goes_on = around.one(step, step.inputs[1], "the condition")
    values = step.inputs[2 : 2 + carried]
    rest = step.inputs[2 + carried :]
    if (limit is not None and turn >= int(limit)) or (goes_on is not None and not bool(goes_on)):
        return _loop_results(step, values, turn)
    too_many = step.inputs[1] is None and limit is not None and int(limit) > MAX_REPETITIONS
    if turn >= MAX_REPETITIONS or too_many:
        raise UnsupportedError(
            f"node {step.name}: {step.op} repeats too often",
            got="without end" if limit is None else int(limit),
            allowed=f"{MAX_REPETITIONS} repetitions",
        )
    place = f"{_own_name(step)}/{turn}/"
    body = _checked(step, step.branches[0], 2 + carried, 1 + len(step.outputs))
    known: dict[str, Known] = {f"{place}turn": np.asarray(turn, np.int64), f"{place}on": np.asarray(True)}
    given = [f"{place}turn", step.inputs[1] or f"{place}on", *values]
    inner = body.placed(place, given)
    made = inner.outputs[1 + carried :]
    condition = None if step.inputs[1] is None else inner.outputs[0]  # without one, the body's says nothing
    again = replace(
        step,
        inputs=(step.inputs[0], condition, *inner.outputs[1 : 1 + carried], *rest, *made),
        attributes={**step.attributes, "turn": turn + 1},
    )
    return Expansion({**inner.known, **known}, [*inner.steps, again])


def _loop_results(step: Step, values: Sequence[str | None], turns: int) -> Expansion:
    """What was carried, and what every repetition made, which the last of the inputs are."""
    stacked = step.outputs[len(values) :]
    if not turns and any(stacked):
        raise UnsupportedError(f"node {step.name}: {step.op} makes nothing", got="no repetitions")
    made = step.inputs[len(step.inputs) - turns * len(stacked) :] if stacked else ()
    lists = [made[index :: len(stacked)] for index in range(len(stacked))]
    note = f"{turns} repetitions are written one after the other"
    return Expansion({}, [*_ends(step, values), *_stacks(step, lists, stacked, [0] * len(lists))], note)


def _scan(step: Step, around: Around) -> Expansion:
    if step.attributes[BATCHED]:
        return _scan_of_samples(step, around)
    own, scanned = int(step.attributes["own_inputs"]), int(step.attributes["num_scan_inputs"])
    states, sequences = list(step.inputs[: own - scanned]), step.inputs[own - scanned : own]
    shapes = [around.shape(name or "") for name in sequences]
    axes = _numbers(step, "scan_input_axes", [len(shape) for shape in shapes])
    lengths = {int(shape[axis]) for shape, axis in zip(shapes, axes, strict=True)}
    if len(lengths) != 1:
        raise SourceError(f"node {step.name}: inputs of {step.op} have several lengths", got=sorted(lengths))
    (length,) = lengths
    if not 1 <= length <= MAX_REPETITIONS:
        raise UnsupportedError(
            f"node {step.name}: length of {step.op}", got=length, allowed=f"1 to {MAX_REPETITIONS}"
        )
    body = _checked(step, step.branches[0], own, len(step.outputs))
    backwards = _flags(step, "scan_input_directions", scanned)
    known: dict[str, Known] = {}
    steps: list[Step] = []
    made: list[Sequence[str | None]] = []
    for turn in range(length):
        place = f"{_own_name(step)}/{turn}/"
        items = [f"{place}{index} of sequences" for index in range(scanned)]
        for name, item, axis, back in zip(sequences, items, axes, backwards, strict=True):
            at = length - 1 - turn if back else turn
            steps.append(Step(ITEM, step.name, (name,), (item,), {"axis": axis, "at": at}))
        inner = body.placed(place, [*states, *items])
        known.update(inner.known)
        steps += inner.steps
        states = list(inner.outputs[: len(states)])
        made.append(inner.outputs[len(states) :])
    stacked = step.outputs[len(states) :]
    lists = [[row[index] for row in made] for index in range(len(stacked))]
    for names, back in zip(lists, _flags(step, "scan_output_directions", len(lists)), strict=True):
        if back:
            names.reverse()
    ends = _stacks(step, lists, stacked, _numbers(step, "scan_output_axes", [0] * len(lists)))
    note = f"{length} repetitions are written one after the other"
    return Expansion(known, [*steps, *_ends(step, states), *ends], note)


def _scan_of_samples(step: Step, around: Around) -> Expansion:
    """Of operator set 8: every sample on its own, over its first axis."""
    own = int(step.attributes["own_inputs"])
    names = step.inputs[1:own]
    shapes = [around.shape(name or "") for name in names]
    if step.inputs[0] is not None and step.inputs[0] not in around.known:
        raise undecided(step, "sequence_lens")
    lengths = around.known.get(step.inputs[0] or "")
    scanned = int(step.attributes["num_scan_inputs"])
    if lengths is not None and bool((lengths != shapes[-1][1]).any()):
        raise UnsupportedError(
            f"node {step.name}: sequence_lens of {step.op}", got=lengths.tolist(), allowed=shapes[-1][1]
        )
    directions = step.attributes.get("directions", [0] * scanned)
    steps: list[Step] = []
    rows: list[list[str | None]] = []
    for sample in range(int(shapes[-1][0])):
        place = f"{_own_name(step)}/sample {sample}/"
        items = [f"{place}{index} of samples" for index in range(len(names))]
        for name, item in zip(names, items, strict=True):
            steps.append(Step(ITEM, step.name, (name,), (item,), {"axis": 0, "at": sample}))
        outputs = tuple(f"{place}{index} made" for index in range(len(step.outputs)))
        attributes = {
            "num_scan_inputs": scanned,
            "scan_input_directions": directions,
            "own_inputs": own - 1,
            BATCHED: False,
        }
        inputs = (*items, *step.inputs[own:])
        steps.append(replace(step, inputs=inputs, outputs=outputs, attributes=attributes))
        rows.append(list(outputs))
    lists = [[row[index] for row in rows] for index in range(len(step.outputs))]
    return Expansion({}, [*steps, *_stacks(step, lists, step.outputs, [0] * len(lists))])


def _checked(step: Step, branch: Branch, inputs: int, outputs: int) -> Branch:
    for what, got, wanted in (
        ("inputs", len(branch.inputs), inputs), ("outputs", len(branch.outputs), outputs)
    ):  # fmt: skip
        if got != wanted:
            raise SourceError(f"node {step.name}: a branch has other {what}", got=got, allowed=wanted)
    return branch


def _own_name(step: Step) -> str:
    return next((name for name in step.outputs if name), step.name)


def _ends(step: Step, names: Sequence[str | None]) -> Iterator[Step]:
    for name, out in zip(names, step.outputs, strict=False):
        if out:
            yield Step("Identity", step.name, (name,), (out,), {})


def _stacks(
    step: Step, lists: Sequence[Sequence[str | None]], outputs: Sequence[str], axes: Sequence[int]
) -> Iterator[Step]:
    for names, out, axis in zip(lists, outputs, axes, strict=True):
        if out:
            yield Step(STACK, step.name, tuple(names), (out,), {"axis": axis})


def _numbers(step: Step, name: str, ranks: Sequence[int]) -> list[int]:
    """Axes, 0 where the file says nothing; of inputs, negative ones are counted from the end."""
    given = [int(value) for value in step.attributes.get(name, [0] * len(ranks))]
    if len(given) != len(ranks):
        raise SourceError(
            f"node {step.name}: {name} of {step.op}", got=given, allowed=f"{len(ranks)} numbers"
        )
    return [axis + rank if axis < 0 else axis for axis, rank in zip(given, ranks, strict=True)]


def _flags(step: Step, name: str, count: int) -> list[bool]:
    return [bool(value) for value in _numbers(step, name, [0] * count)]


def _choice(call: Call) -> Tensor:
    """The second result where the condition holds, else the first: looked up, so the other never shows."""
    no, yes = call.input(1), call.input(2)
    if no.shape != yes.shape or no.dtype != yes.dtype:
        got = [f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}" for value in (yes, no)]
        raise UnsupportedError(
            f"node {call.name}: the branches of If give different shapes or types, and the condition depends "
            "on the network's inputs",
            got=got,
        )
    if call.x.numel() != 1:
        raise SourceError(f"node {call.name}: the condition of If", got=call.x.numel(), allowed="one value")
    rows = torch.stack([no, yes])
    return rows.index_select(0, call.x.reshape(1).long()).squeeze(0)


def _item(call: Call) -> Tensor:
    return call.x.select(int(call.attribute("axis")), int(call.attribute("at")))


def _stack(call: Call) -> Tensor:
    return torch.stack([call.input(index) for index in range(len(call.inputs))], int(call.attribute("axis")))


OPERATORS: dict[str, Operator] = {CHOICE: _choice, ITEM: _item, STACK: _stack}
