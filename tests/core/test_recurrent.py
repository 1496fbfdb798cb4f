"""One step of a recurrent operator, by hand; the reference runs it in the right order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pocketpress.core.errors import InternalError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import recurrent, state_names, step_program
from pocketpress.core.program.serialize import from_bytes, program_hash, to_bytes
from pocketpress.verify.reference import interpret

ATTRS: dict[str, dict[str, Any]] = {
    "gru": {"reset_after": True},
    "lstm": {"cell": False},
    "rnn": {"activation": "tanh"},
}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def made(
    op: str,
    gates: Array,
    states: list[Array],
    weight: Array,
    *extra: Array,
    quant: Quantization | None = None,
    **attrs: Any,
) -> Program:
    """A program of one recurrent node whose gates and states are inputs."""
    builder = ProgramBuilder()
    names = [builder.input("g", TensorType(np.shape(gates)))]
    names += [builder.input(f"s{i}", TensorType(np.shape(s))) for i, s in enumerate(states)]
    names += [builder.constant("w", np.asarray(weight, np.int8 if quant else np.float32), quant)]
    names += [builder.constant("e", np.asarray(e, np.float32)) for e in extra]
    attrs = {"reverse": False, "state_scale": None, **ATTRS[op], **attrs}
    width = np.shape(states[0])[1] + (np.shape(states[-1])[1] if attrs.get("cell") else 0)
    out = builder.node(op, names, TensorType((*np.shape(gates)[:2], width)), name="y", **attrs)
    return builder.build([out])


def run(program: Program, *values: Any) -> Array:
    feeds = {n: np.asarray(v, np.float32) for n, v in zip(program.inputs, values, strict=True)}
    return interpret(program, feeds)["y"]


@pytest.mark.parametrize("reset_after", [True, False])
def test_one_step_of_a_gru(reset_after: bool) -> None:
    weight, bias, gates, h = [[0.5], [-0.25], [2.0]], [0.1, 0.2, 0.3], [[[0.4, -0.6, 0.9]]], [[0.8]]
    r, z = sigmoid(0.4 + 0.5 * 0.8 + 0.1), sigmoid(-0.6 - 0.25 * 0.8 + 0.2)
    inner = r * (2.0 * 0.8 + 0.3) if reset_after else 2.0 * (r * 0.8) + 0.3
    n = math.tanh(0.9 + inner)
    program = made("gru", gates, [h], weight, bias, reset_after=reset_after)
    assert run(program, gates, h)[0, 0, 0] == pytest.approx((1 - z) * n + z * 0.8, abs=1e-6)


def test_one_step_of_an_lstm() -> None:
    weight, gates, h, c = [[0.5], [-0.25], [2.0], [1.0]], [[[0.4, -0.6, 0.9, 0.1]]], [[0.8]], [[-1.5]]
    i, f, a, o = (sigmoid(0.8), sigmoid(-0.8), math.tanh(2.5), sigmoid(0.9))
    cell = f * -1.5 + i * a
    found = run(made("lstm", gates, [h, c], weight, cell=True), gates, h, c)
    np.testing.assert_allclose(found[0, 0], [o * math.tanh(cell), cell], rtol=1e-6)
    projection = [[3.0]]
    projected = run(made("lstm", gates, [h, c], weight, projection), gates, h, c)
    np.testing.assert_allclose(projected[0, 0], [3 * o * math.tanh(cell)], rtol=1e-6)


def test_two_steps_of_a_plain_layer_forth_and_back() -> None:
    weight, gates, h = [[2.0]], [[[0.5]], [[-3.0]]], [[1.0]]
    forth = run(made("rnn", gates, [h], weight, activation="relu"), gates, h)
    assert forth.ravel().tolist() == [2.5, 2.0]
    back = run(made("rnn", gates, [h], weight, activation="relu", reverse=True), gates, h)
    assert back.ravel().tolist() == [0.5, 0.0]


def test_a_rounded_state_enters_the_product_alone() -> None:
    """h = 0.3 is 38 of 128 in the product, 0.3 where it is kept."""
    quant = Quantization.per_channel([0.01, 0.02, 0.03], 0)
    gates, h = [[[0.4, -0.6, 0.9]]], [[0.3]]
    rounded = 38 / 128
    r, z = sigmoid(0.4 + 0.01 * 50 * rounded), sigmoid(-0.6 - 0.02 * 127 * rounded)
    n = math.tanh(0.9 + r * 0.03 * 100 * rounded)
    program = made("gru", gates, [h], [[50], [-127], [100]], quant=quant, state_scale=1 / 128)
    assert run(program, gates, h)[0, 0, 0] == pytest.approx(n + z * (0.3 - n), abs=1e-6)


def test_states_saturate_at_the_ends_of_the_grid() -> None:
    quant = Quantization.per_channel([1.0], 0)
    gates, h = [[[0.0]]], [[1.0]]
    program = made("rnn", gates, [h], [[1]], quant=quant, state_scale=1 / 128)
    assert run(program, gates, h)[0, 0, 0] == pytest.approx(math.tanh(127 / 128), abs=1e-6)


def test_weights_without_a_rounded_state_are_decoded() -> None:
    quant = Quantization.per_channel([0.5], 0)
    gates, h = [[[0.1]]], [[0.3]]
    assert run(made("rnn", gates, [h], [[2]], quant=quant), gates, h)[0, 0, 0] == pytest.approx(
        math.tanh(0.4)
    )


def test_blocks_of_weights_keep_their_scales_when_rows_are_taken() -> None:
    quant = Quantization.blockwise([[0.5, 1.0], [2.0, 4.0]] * 3, 0, 1)
    gates = np.zeros((1, 1, 6), np.float32)
    program = made("gru", gates, [[[1.0, 1.0]]], np.ones((6, 2)), quant=quant, reset_after=False)
    step = step_program(program, program.nodes[0])
    scales = [step.type(n).quant.scale for n in step.constants]  # type: ignore[union-attr]
    assert scales == [(0.5, 1.0, 2.0, 4.0) * 2, (0.5, 1.0, 2.0, 4.0)]


def test_steps_have_the_promised_borders() -> None:
    gates, states = np.zeros((3, 2, 8)), [np.zeros((2, 2))] * 2
    program = made("lstm", gates, states, np.zeros((8, 2)))
    step = step_program(program, program.nodes[0])
    assert step.inputs == ("gates", "state", "cell")
    assert step.outputs == ("next_state", "next_cell")
    assert state_names(program.nodes[0]) == (("state", "next_state"), ("cell", "next_cell"))
    assert not {n.op for n in step.nodes} & {"gru", "lstm", "rnn"}


@pytest.mark.parametrize(
    ("gates", "state", "weight"),
    [
        ((1, 1, 6), (1, 2), (9, 3)),
        ((1, 1, 6), (2, 2), (6, 2)),
        ((1, 1, 6), (1, 3), (6, 3)),
        ((0, 1, 6), (1, 2), (6, 2)),
    ],
)
def test_parts_that_do_not_fit(gates: Any, state: Any, weight: Any) -> None:
    program = made("gru", np.zeros(gates), [np.zeros(state)], np.zeros(weight))
    with pytest.raises(InternalError, match="gru y"):
        recurrent(program, program.nodes[0])


def test_programs_are_saved() -> None:
    quant = Quantization.per_channel([1.0], 0)
    program = made("rnn", [[[0.0]]], [[[1.0]]], [[1]], quant=quant, state_scale=1 / 128)
    again = from_bytes(to_bytes(program))
    assert program_hash(again) == program_hash(program)
    assert again.nodes[0].attrs == program.nodes[0].attrs
