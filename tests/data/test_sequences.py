"""Samples of networks with state: whole sequences of the inputs that are no states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketpress.core.errors import DataError
from pocketpress.core.program import State
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.data import Dataset, load_dataset
from pocketpress.data.callable import CallableReader
from pocketpress.pipeline.feeds import Feeds

X, H = TensorSpec("x", (1, 1, 3), "float32"), TensorSpec("h", (1, 2), "float32")
NUMBER = TensorSpec("n", (1, 1), "int64")
AFTER, SCORES = TensorSpec("after", (1, 2), "float32"), TensorSpec("scores", (1, 4), "float32")
ONE = Signature((X, H), (SCORES, AFTER), states=(State("h", "after"),))
TWO = Signature((X, NUMBER, H), (SCORES, AFTER), states=(State("h", "after"),))


def yielding(signature: Signature, *samples: Any, labelled: bool = False) -> Dataset:
    def function() -> Iterator[Any]:
        yield from samples

    reader = CallableReader("f", function, labelled, None)
    return Dataset("f", "callable", signature, None, reader)


@pytest.mark.parametrize("shape", [(5, 3), (5, 1, 3), (5, 1, 1, 3)])
def test_a_step_may_leave_out_leading_axes_of_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(15, dtype=np.float32).reshape(shape)
    (from_function,) = yielding(ONE, values).samples()
    np.savez(tmp_path / "a.npz", x=values[None])
    (from_file,) = load_dataset(str(tmp_path / "a.npz"), ONE).samples()
    for sample in (from_function, from_file):
        assert list(sample.inputs) == ["x"]
        np.testing.assert_array_equal(sample.inputs["x"], values.reshape(5, 1, 1, 3))


def test_several_inputs_have_as_many_steps() -> None:
    good = {"x": np.zeros((4, 3)), "n": np.arange(4).reshape(4, 1)}
    (sample,) = yielding(TWO, good).samples()
    assert sample.inputs["n"].dtype == np.int64 and sample.inputs["n"].shape == (4, 1, 1)
    with pytest.raises(DataError, match="inputs of different numbers of steps"):
        list(yielding(TWO, {**good, "n": np.zeros((3, 1), np.int64)}).samples())


WRONG = {
    "empty": (np.zeros((0, 3)), "f sample 0: a sequence without steps"),
    "scalar": (np.float32(1), "f sample 0: a sequence without steps"),
    "shape": (np.zeros((4, 2)), "f sample 0 step 0: x has another shape than the network's input: got (2,)"),
    "nan": (np.asarray([[0, 0, 0], [0, np.nan, 0]]), "f sample 0 step 1: x holds NaN or infinity"),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_its_step(value: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        list(yielding(ONE, value).samples())


def test_targets_of_steps_and_of_sequences() -> None:
    long, short = np.zeros((4, 3), np.float32), np.zeros((2, 3), np.float32)
    each = Feeds(yielding(ONE, (long, np.arange(4)), (short, np.arange(2)), labelled=True), None, 0)
    assert each.per_step and each.rows == 6
    assert each.targets is not None and each.targets.tolist() == [0, 1, 2, 3, 0, 1]
    last = Feeds(yielding(ONE, (long, np.asarray(7)), (short, np.asarray(8)), labelled=True), None, 0)
    assert not last.per_step and last.rows == 2
    assert last.targets is not None and last.targets.tolist() == [7, 8]
    none = Feeds(yielding(ONE, long, short), None, 0)
    assert none.per_step and none.rows == 6 and none.targets is None


def test_how_many_sequences_have_so_many_steps() -> None:
    feeds = Feeds(yielding(ONE, *[np.zeros((n, 3)) for n in (4, 2, 3, 5)]), None, 0)
    assert [feeds.holding(n) for n in (1, 5, 6, 9, 13, 14, 99)] == [2, 2, 2, 3, 3, 4, 4]
