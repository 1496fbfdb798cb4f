"""Scales that a file brings with it become the plan, or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.compress.quantize.apply import apply_plan
from pocketpress.compress.quantize.given import ANEW, given_plan
from pocketpress.compress.quantize.place import place
from pocketpress.core.errors import UnsupportedError
from pocketpress.core.given import GivenScales
from pocketpress.core.program import OPS, Program, ProgramBuilder, Quantization, TensorType
from pocketpress.verify.reference import interpret

GRID, NARROW = Quantization.per_tensor(0.5, 3), Quantization.per_tensor(0.25, -1)
EXACT = frozenset(op for op, spec in OPS.items() if spec.integer != "float")


def program() -> Program:
    """y = (2 x0 - 1.5 x1 + 1, permuted), as a linear layer of one row."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2)))
    weight = b.constant("w", np.array([[2.0, -1.5]], np.float32))
    bias = b.constant("b", np.array([1.0], np.float32))
    y = b.node("linear", [x, weight, bias], TensorType((1, 1)), name="l", source="node l", clamp=None)
    return b.build([b.node("permute", [y], TensorType((1, 1)), name="y", source="node l", axes=(1, 0))])


def given(**changes: object) -> GivenScales:
    fields = {
        "inputs": (GRID,), "results": {"node l": NARROW}, "operands": {"node l": (GRID, None, None)},
        "weights": {"node l": (0.5,)},
    }  # fmt: skip
    return GivenScales(**{**fields, **changes})  # type: ignore[arg-type]


def test_integers_by_hand() -> None:
    """The inputs are whole steps, so the results are exact: 2 - 3 + 1, 1 - 9 + 1; the last saturates."""
    float_ = program()
    plan = given_plan(float_, place(float_, EXACT), given())
    assert plan.integer_nodes == {"l", "y"} and plan.weights["l"].scale == (0.5,)
    assert (plan.activations["x"], plan.activations["l"], plan.activations["y"]) == (GRID, NARROW, NARROW)
    integer = apply_plan(float_, plan)
    assert [v.tolist() for n, v in integer.constants.items() if "weight" in n] == [[[4, -3]]]
    for x, wanted in (((1.0, 2.0), 0.0), ((0.5, 6.0), -7.0), ((40.0, 0.0), 32.0)):
        assert interpret(integer, {"x": np.array([x], np.float32)})["y"].item() == wanted


def test_what_the_file_does_not_say_stays_in_float() -> None:
    float_ = program()
    with pytest.raises(UnsupportedError, match="none of the file's weights can be kept"):
        given_plan(float_, place(float_, EXACT), given(results={}))
    with pytest.raises(UnsupportedError, match="none of the file's weights can be kept"):
        given_plan(float_, place(float_, EXACT), given(weights={"node l": (0.4,)}))


def test_weights_that_are_not_symmetric_get_scales_of_their_own() -> None:
    """2 and -1.5 by 2 / 127: 127 and -95; scales around it stay, and the plan says what happened."""
    float_ = program()
    plan = given_plan(float_, place(float_, EXACT), given(weights={}, anew=frozenset({"node l"})))
    assert plan.weights["l"].scale == (np.float32(2 / 127),)
    assert (plan.activations["x"], plan.activations["l"]) == (GRID, NARROW)
    assert ("l", ANEW) in [(entry.name, entry.reason) for entry in plan.skipped]
    integer = apply_plan(float_, plan)
    assert [v.tolist() for n, v in integer.constants.items() if "weight" in n] == [[[127, -95]]]


def test_another_scale_than_the_input_has_is_refused() -> None:
    float_ = program()
    with pytest.raises(UnsupportedError, match=r"node l: it reads another scale than .* got 0\.5"):
        given_plan(float_, place(float_, EXACT), given(operands={"node l": (NARROW, None, None)}))


def test_what_the_file_quantises_for_a_product_alone_is_quantised_so() -> None:
    """A real tensor that is rounded, and cut off, before a layer; others read it as it is."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2)))
    real = b.node("abs", [x], TensorType((1, 2)), name="a", source="node a")
    weight, bias = (
        b.constant("w", np.array([[2.0, -1.5]], np.float32)),
        b.constant("b", np.zeros(1, np.float32)),
    )
    y = b.node("linear", [real, weight, bias], TensorType((1, 1)), name="l", source="node l", clamp=None)
    net = b.build([y])
    scales = GivenScales((None,), {"node l": GRID}, {"node l": (NARROW, None, None)}, {"node l": (0.5,)})
    plan = given_plan(net, place(net, EXACT), scales)
    assert plan.activations["a"] == NARROW and plan.integer_nodes == {"l"}
    found = interpret(apply_plan(net, plan), {"x": np.array([[-100.0, 1.3]], np.float32)})[y]
    largest = 0.25 * (127 + 1)
    wanted = np.clip(np.rint((2 * largest - 1.5 * 1.25) / 0.5) + 3, -128, 127)
    np.testing.assert_array_equal(found, [[0.5 * (wanted - 3)]])


def test_a_file_none_of_whose_layers_computes_in_integers() -> None:
    net = program()
    with pytest.raises(UnsupportedError, match="no layer of the file computes in integers here") as caught:
        given_plan(net, place(net, EXACT - {"linear"}), given())
    assert "got linear: a chosen runtime has no integer kernel" in str(caught.value)
