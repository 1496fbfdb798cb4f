"""Places of largest numbers: whose fault it is when two computations find different ones."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.verify.parity import compare
from pocketpress.verify.ties import settled

SCORES = np.asarray([[[1.0, 3.0, 3.0 - 1e-6], [0.0, 2.0, 9.0]]], np.float32)


def places(*, integers: bool = False) -> Program:
    b = ProgramBuilder()
    x = b.input("x", TensorType(SCORES.shape))
    if integers:
        stored = TensorType(SCORES.shape, "int8", Quantization.per_tensor(0.1, 0))
        x = b.node("dequantize", [b.node("quantize", [x], stored)], TensorType(SCORES.shape))
    found = b.node("argmax", [x], TensorType((1, 2)), axis=2, keepdims=False)
    flat = b.node("reshape", [found], TensorType((2,)), shape=(2,))
    return b.build([b.node("whole", [flat], TensorType((2,), "int32"), name="y")])


def judged(got: list[int], *, integers: bool = False) -> list[int]:
    program = places(integers=integers)
    outputs = [{"y": np.asarray(got, np.int32)}]
    wanted = [{"y": np.asarray([1, 2], np.int32)}]
    found = settled(program, [{"x": SCORES}], outputs, wanted)[0]["y"]
    assert outputs[0]["y"].tolist() == got and found.dtype == np.int32
    return list(found.tolist())


@pytest.mark.parametrize(
    ("got", "found"),
    [([1, 2], [1, 2]), ([2, 2], [1, 2]), ([0, 2], [0, 2]), ([1, 1], [1, 1]), ([9, -1], [9, -1])],
)
def test_the_other_place_of_an_equal_score_is_right(got: list[int], found: list[int]) -> None:
    assert judged(got) == found


def test_of_integers_only_the_same_place_is_right() -> None:
    assert judged([2, 2], integers=True) == [2, 2]


def test_whole_outputs_are_compared_as_integers() -> None:
    """One class of 30,000 is another class, not a difference within the tolerance of the range."""
    signature = signature_of(places(), precision="fp32")
    (output,) = signature.outputs
    assert (output.dtype, output.scale, output.grid_scale) == ("int32", None, 1.0)
    right = [{"y": np.asarray(v, np.int32)} for v in ([7, 30_000], [9, 2])]
    wrong = [{"y": np.asarray(v, np.int32)} for v in ([8, 30_000], [9, 2])]
    same, other = compare(right, right, signature), compare(wrong, right, signature)
    assert (same.equal, same.vacuous) == (1, False)
    assert (other.equal, other.max_lsb) == (0.75, 1)
    alike = [right[0], right[0]]
    assert compare(alike, alike, signature).vacuous is True
