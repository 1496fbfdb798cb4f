"""State: an output of one call that is an input of the next.

A network with state computes ``(output, state') = f(input, state)``.  Both ends of a state are ordinary
tensors of the program, of equal shape and dtype and held in real numbers; whoever runs the program carries
one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import SourceError

if TYPE_CHECKING:
    from pocketpress.core.program.ir import Program

MAX_INITIAL = 1 << 16
"""Numbers of an initial value that is not one number for all elements: it travels in the signature."""


@dataclass(frozen=True)
class State:
    """One state.

    Attributes:
        input: name of the input that takes it.
        output: name of the output that gives its next value.
        initial: its value before the first call: one number for all elements, or one per element, row by row.
    """

    input: str
    output: str
    initial: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", tuple(float(v) for v in self.initial))
        if not 1 <= len(self.initial) <= MAX_INITIAL or not np.isfinite(self.initial).all():
            raise ValueError(
                f"State.initial needs 1 to {MAX_INITIAL} finite numbers, got {len(self.initial)}"
            )

    def start(self, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
        """The initial value as an array of real values, of shape ``shape``."""
        values = np.asarray(self.initial, np.float64).astype(dtype)
        return np.array(np.broadcast_to(values if values.size == 1 else values.reshape(shape), shape))


def with_states(program: Program, states: Iterable[State]) -> Program:
    """The same program with ``states`` declared, instead of any it had.

    Raises:
        SourceError: a name is unknown or used twice, shapes or dtypes differ, or nothing would be left to
            give or to get.
    """
    chosen = tuple(states)
    if not chosen:
        return replace(program, states=())
    for state in chosen:
        _check_name("an input", state.input, program.inputs)
        _check_name("an output", state.output, program.outputs)
        _check_alike(program, state)
    taken, given = [s.input for s in chosen], [s.output for s in chosen]
    for what, names in (("input", taken), ("output", given)):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SourceError(f"two states have the same {what}", got=twice[0], allowed="one state each")
    _check_some_left("input", taken, program.inputs)
    _check_some_left("output", given, program.outputs)
    return replace(program, states=chosen)


def _check_name(what: str, name: str, allowed: tuple[str, ...]) -> None:
    if name not in allowed:
        raise SourceError(
            f"a state names {what} that the network does not have", got=name, allowed=list(allowed)
        )


def _check_some_left(what: str, names: list[str], having: tuple[str, ...]) -> None:
    if len(names) == len(having):
        raise SourceError(
            f"every {what} of the network is a state",
            got=", ".join(names),
            next_step=f"keep at least one {what} that is none (return the result a second time)"
            if what == "output"
            else "a network with state needs something to read at each step",
        )


def _check_alike(program: Program, state: State) -> None:
    taken, given = program.type(state.input), program.type(state.output)
    if taken.shape != given.shape:
        raise SourceError(
            f"state {state.input}={state.output} changes its shape",
            got=given.shape,
            allowed=taken.shape,
            next_step="a state has the shape of its input; write into a tensor of fixed size",
        )
    if taken.dtype != given.dtype:
        raise SourceError(
            f"state {state.input}={state.output} changes its dtype", got=given.dtype, allowed=taken.dtype
        )
    if len(state.initial) not in (1, taken.elements):
        raise SourceError(
            f"the initial value of state {state.input} has another size",
            got=len(state.initial),
            allowed=f"1 or {taken.elements} numbers",
        )


def states_of(pairs: Mapping[str, Any]) -> tuple[State, ...]:
    """States as a factory returns them: input name to output name, or to (output name, initial value).

    Raises:
        SourceError: something else, or an initial value that is not numbers.
    """
    found = []
    for name, value in pairs.items():
        output, initial = value if isinstance(value, tuple) and len(value) == 2 else (value, 0.0)
        if not isinstance(name, str) or not isinstance(output, str):
            raise SourceError(
                "states are not named",
                got=f"{name!r}: {type(value).__name__}",
                allowed="{input name: output name} or {input name: (output name, initial value)}",
            )
        try:
            numbers = np.asarray(initial, np.float64).reshape(-1)
            found.append(State(name, output, tuple(float(v) for v in numbers)))
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"the initial value of state {name} is not usable",
                got=error,
                allowed=f"a number, or at most {MAX_INITIAL} finite numbers of its shape",
            ) from error
    return tuple(found)
