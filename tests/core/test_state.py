"""States: what is declared, what is refused, how they travel, and how a session keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from pocketpress.core.errors import ArtifactError, SourceError
from pocketpress.core.program import Program, ProgramBuilder, State, TensorType, with_states
from pocketpress.core.program.serialize import from_bytes, program_hash, to_bytes
from pocketpress.core.program.state import states_of
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature, TensorSpec, signature_of
from pocketpress.core.target import Array
from pocketpress.verify.reference import interpret

SUM = State("before", "after")


def running_sum() -> Program:
    """``shown = after = before + x``, two numbers wide."""
    builder = ProgramBuilder()
    type_ = TensorType((1, 2))
    x, before = builder.input("x", type_), builder.input("before", type_)
    after = builder.node("add", [before, x], type_, name="after", clamp=None)
    shown = builder.node("clamp", [after], type_, name="shown", low=None, high=None)
    narrow = builder.node(
        "slice", [after], TensorType((1, 1)), name="narrow", starts=(0, 0), sizes=(1, 1), steps=(1, 1)
    )
    return builder.build([shown, after, narrow])


class Interpreted:
    """A runner that runs a program in the reference interpreter."""

    def __init__(self, program: Program) -> None:
        self.program, self.signature = program, signature_of(program, precision="fp32")

    def run(self, feeds: list[Array]) -> list[Array]:
        values = interpret(self.program, dict(zip(self.program.inputs, feeds, strict=True)))
        return [values[name] for name in self.program.outputs]

    def close(self) -> None:
        pass


def ones(scale: float = 1.0) -> Array:
    return np.full((1, 2), scale, np.float32)


def test_a_session_keeps_the_state_and_starts_anew() -> None:
    session = Session(Interpreted(with_states(running_sum(), [SUM])))
    seen = [session.step(x=ones(value))["shown"].tolist() for value in (1, 2, 4)]
    assert seen == [[[1, 1]], [[3, 3]], [[7, 7]]]
    assert session.states["before"].tolist() == [[7, 7]]
    session.reset()
    assert session.step(ones(5))["shown"].tolist() == [[5, 5]]
    session.reset(before=ones(100))
    assert sorted(session.step(x=ones())) == ["narrow", "shown"]
    assert session.states["before"].tolist() == [[101, 101]]


def test_a_plain_call_neither_reads_nor_changes_what_is_kept() -> None:
    session = Session(Interpreted(with_states(running_sum(), [SUM])))
    session.step(x=ones())
    assert session(x=ones(), before=ones(10))["after"].tolist() == [[11, 11]]
    with pytest.raises(ArtifactError, match="input missing"):
        session(x=ones())
    assert session.states["before"].tolist() == [[1, 1]]


def test_initial_values_are_one_number_or_one_each() -> None:
    for initial, first in (((0.5,), [[1.5, 1.5]]), ((0.5, -1.0), [[1.5, 0.0]])):
        declared = replace(SUM, initial=initial)
        session = Session(Interpreted(with_states(running_sum(), [declared])))
        assert session.step(x=ones())["shown"].tolist() == first


def test_a_session_says_what_does_not_fit() -> None:
    session = Session(Interpreted(with_states(running_sum(), [SUM])))
    with pytest.raises(ArtifactError, match=re.escape("unknown state: got ['after']; allowed: before")):
        session.reset(after=ones())
    with pytest.raises(ArtifactError, match=re.escape("input before has another shape: got (2,)")):
        session.reset(before=np.zeros(2))
    with pytest.raises(ArtifactError, match="unknown input"):
        session.step(x=ones(), before=ones())
    with pytest.raises(ArtifactError, match="the network has no state"):
        Session(Interpreted(running_sum())).reset(before=ones())


REFUSED: dict[str, tuple[list[State], str]] = {
    "input": ([State("y", "after")], "an input that the network does not have: got y; allowed: x, before"),
    "output": ([State("x", "y")], "an output that the network does not have: got y; allowed: shown, after"),
    "shape": (
        [State("before", "narrow")],
        "state before=narrow changes its shape: got (1, 1); allowed: (1, 2)",
    ),
    "twice": ([SUM, State("before", "shown")], "two states have the same input: got before"),
    "twice-out": ([SUM, State("x", "after")], "two states have the same output: got after"),
    "all": ([SUM, State("x", "shown")], "every input of the network is a state: got before, x"),
    "initial": ([replace(SUM, initial=(1.0,) * 3)], "initial value of state before has another size: got 3"),
}


@pytest.mark.parametrize(("states", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(states: list[State], message: str) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        with_states(running_sum(), states)


def test_a_network_that_returns_nothing_else_is_refused() -> None:
    program = running_sum().prefix(["after"])
    with pytest.raises(SourceError, match="every output of the network is a state: got after"):
        with_states(program, [SUM])


def test_a_factory_names_states() -> None:
    found = states_of({"h": "h_next", "c": ("c_next", 1), "k": ("k_next", np.ones((1, 2)))})
    assert found == (State("h", "h_next"), State("c", "c_next", (1.0,)), State("k", "k_next", (1.0, 1.0)))
    for wrong in ({"h": 3}, {3: "h"}, {"h": ("h_next", "zero")}, {"h": ("h_next", float("nan"))}):
        with pytest.raises(SourceError):
            states_of(wrong)  # type: ignore[arg-type]


def test_states_travel_in_signature_and_program() -> None:
    program = with_states(running_sum(), [replace(SUM, initial=(0.25,))])
    signature = signature_of(program, precision="fp32")
    assert Signature.from_json(signature.to_json()) == signature
    assert [s.name for s in signature.given] == ["x"] == list(program.given)
    assert [s.name for s in signature.returned] == ["shown", "narrow"] == list(program.returned)
    again = from_bytes(to_bytes(program))
    assert again.states == program.states
    assert program_hash(program) != program_hash(running_sum())


def test_signatures_and_programs_without_state_are_the_bytes_they_were() -> None:
    program = running_sum()
    assert "states" not in json.loads(signature_of(program, precision="fp32").to_json())
    assert b'"states"' not in to_bytes(program)
    assert from_bytes(to_bytes(program)).states == ()


def test_a_damaged_signature_is_refused() -> None:
    text = signature_of(with_states(running_sum(), [SUM]), precision="fp32").to_json()
    edits = (
        ('"output":"after"', '"output":"narrow"'),
        ('"input":"before"', '"input":"x2"'),
        ('"initial":[0.0]', '"initial":[]'),
        ('"initial":[0.0]', '"initial":["a"]'),
        ('"initial":[0.0]', '"initial":[NaN]'),
    )
    for old, new in edits:
        assert old in text
        with pytest.raises(ArtifactError, match="malformed"):
            Signature.from_json(text.replace(old, new))


def test_both_ends_of_a_state_are_stored_alike() -> None:
    """Another scale at one end would round the state again at every step."""
    taken, given = TensorSpec("a", (2,), "int8", 0.5, 0), TensorSpec("b", (2,), "int8", 0.25, 0)
    other = TensorSpec("x", (2,), "float32")
    with pytest.raises(ValueError, match="not stored alike"):
        Signature((taken, other), (given,), states=(State("a", "b"),))
    Signature((taken, other), (replace(given, scale=0.5),), states=(State("a", "b"),))
