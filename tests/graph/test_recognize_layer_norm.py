"""Layer normalisation in pieces becomes one operator, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graph.same import assert_same, ops

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.graph.recognize_layer_norm import recognize_layer_norm

SHAPE = (2, 5, 6)
PARAMETERS = {
    "weight": np.linspace(-1, 2, 6, dtype=np.float32), "bias": np.linspace(3, 1, 6, dtype=np.float32),
}  # fmt: skip


def pieces(
    *,
    form: str = "rsqrt",
    axis: int = 2,
    parameters: bool = True,
    twice: bool = False,
    other_mean: bool = False,
    clamp: tuple[float | None, float | None] | None = None,
) -> Program:
    b = ProgramBuilder()
    x = b.input("x", TensorType(SHAPE))
    other = b.input("other", TensorType(SHAPE)) if other_mean else x
    full = TensorType(SHAPE)
    less = TensorType(tuple(1 if i == axis else d for i, d in enumerate(SHAPE)))
    last = {"clamp": clamp}

    def binary(op: str, name: str, left: str, right: str, type_: TensorType = full, **attrs: object) -> str:
        return b.node(op, [left, right], type_, name=name, **{"clamp": None, **attrs})

    mean = b.node("mean", [other], less, name="mean", axes=(axis,), keepdims=True)
    centred = binary("sub", "centred", x, mean)
    again = binary("sub", "again", x, mean) if twice else centred
    square = binary("mul", "square", again, again)
    variance = b.node("mean", [square], less, name="variance", axes=(axis,), keepdims=True)
    safe = binary("add", "safe", variance, b.constant("eps", np.float32([1e-5])), less)
    weight, bias = b.constant("w", PARAMETERS["weight"]), b.constant("b", PARAMETERS["bias"])
    if form == "quotient":
        y = b.node("div", [centred, b.node("sqrt", [safe], less, name="root")], full, name="unit")
    else:
        root = b.node("rsqrt", [safe], less, name="root")
        if form == "reciprocal":
            root = b.node("sqrt", [safe], less, name="real_root")
            root = b.node("div", [b.constant("one", np.float32([1])), root], less, name="root")
        if form.startswith("products"):
            factor = binary("mul", "factor", root, weight) if parameters else root
            type_ = full if parameters else less
            moved = b.node("neg", [mean], less, name="minus") if form == "products neg" else mean
            moved = binary("mul", "moved", moved, factor, type_)
            if form == "products bias":
                moved = binary("sub", "shift", bias, moved, type_ if parameters else full)
            product = binary("mul", "product", x, factor)
            return b.build([binary("sub" if form == "products sub" else "add", "y", product, moved, **last)])
        y = binary("mul", "unit", centred, root)
    if parameters:
        y = binary("mul", "scaled", y, weight)
        y = binary("add", "moved", y, bias, **last)
    return b.build([y])


@pytest.mark.parametrize("parameters", [True, False])
@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize(
    "form", ["rsqrt", "reciprocal", "quotient", "products neg", "products sub", "products bias"]
)
def test_the_pieces_become_one(form: str, parameters: bool, twice: bool) -> None:
    before = pieces(form=form, parameters=parameters, twice=twice)
    after = recognize_layer_norm(before)
    assert ops(after) == ["layer_norm"]
    assert_same(before, after, tolerance=1e-5)


@pytest.mark.parametrize("form", ["quotient", "products bias"])
def test_a_clamp_behind_the_pieces_stays(form: str) -> None:
    before = pieces(form=form, clamp=(0.0, None))
    after = recognize_layer_norm(before)
    assert ops(after) == ["layer_norm", "clamp"]
    assert_same(before, after, tolerance=1e-5)


@pytest.mark.parametrize("form", ["rsqrt", "quotient", "products neg"])
def test_other_things_stay(form: str) -> None:
    for before in (pieces(form=form, axis=1, parameters=False), pieces(form=form, other_mean=True)):
        assert "layer_norm" not in ops(recognize_layer_norm(before))


def test_the_sign_of_the_mean_counts() -> None:
    before = pieces(form="products plus")
    assert "layer_norm" not in ops(recognize_layer_norm(before))
