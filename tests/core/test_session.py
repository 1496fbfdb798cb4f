"""A loaded artifact as a function in real values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature, TensorSpec

INPUTS = (
    TensorSpec("image", (1, 2), "uint8", 0.5, 10),
    TensorSpec("real", (2,), "float32"),
    TensorSpec("index", (1,), "int64"),
)
OUTPUTS = (TensorSpec("y", (2,), "int8", 0.25, -4), TensorSpec("z", (1,), "float32"))


class Recorder:
    """A runner that keeps what it was fed."""

    signature = Signature(INPUTS, OUTPUTS)

    def __init__(self) -> None:
        self.feeds: list[Any] = []
        self.closed = False

    def run(self, feeds: list[Any]) -> list[Any]:
        self.feeds = feeds
        return [np.asarray([-4, 127], np.int8), np.asarray([1.5], np.float32)]

    def close(self) -> None:
        self.closed = True


IMAGE, REAL, INDEX = np.asarray([[0.0, 3.3]]), np.asarray([1, 2]), np.asarray([7])


def test_real_values_in_and_out() -> None:
    runner = Recorder()
    with Session(runner) as session:
        found = session(IMAGE, REAL, index=INDEX)
    assert runner.closed
    assert [f.dtype.name for f in runner.feeds] == ["uint8", "float32", "int64"]
    assert runner.feeds[0].tolist() == [[10, 17]]  # 3.3 / 0.5 = 6.6 -> 7, + 10
    assert found["y"].tolist() == [0.0, 32.75] and found["z"].tolist() == [1.5]


def test_values_outside_the_grid_saturate() -> None:
    runner = Recorder()
    Session(runner)(np.asarray([[-100.0, 1e9]]), REAL, INDEX)
    assert runner.feeds[0].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("args", "named", "text"),
    [
        ((IMAGE, REAL), {}, "input missing; allowed: index"),
        ((IMAGE, REAL, INDEX, INDEX), {}, "too many inputs: got 4; allowed: 3"),
        (
            (IMAGE, REAL, INDEX),
            {"picture": IMAGE},
            "unknown input: got ['picture']; allowed: image, real, index",
        ),
        ((IMAGE[0], REAL, INDEX), {}, "input image has another shape: got (2,); allowed: (1, 2)"),
        ((IMAGE, np.asarray(["a", "b"]), INDEX), {}, "input real is not numeric"),
        ((IMAGE, REAL, np.asarray([0.5])), {}, "input index has another dtype: got float64; allowed: int64"),
    ],
)
def test_wrong_inputs(args: tuple[Any, ...], named: dict[str, Any], text: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Session(Recorder())(*args, **named)
    assert text in str(caught.value)


@pytest.mark.parametrize("wrong", [5, -1, 2**40])
def test_an_index_that_is_no_row_never_reaches_the_runtime(wrong: int) -> None:
    runner = Recorder()
    runner.signature = Signature((TensorSpec("ids", (1, 2), "int64", rows=5),), OUTPUTS)
    session = Session(runner)
    with pytest.raises(
        ArtifactError, match=f"input ids is no row of its table: got {wrong}; allowed: 0 to 4"
    ):
        session(np.asarray([[0, wrong]]))
    assert runner.feeds == []
    session(np.asarray([[0, 4]]))
    assert runner.feeds[0].tolist() == [[0, 4]]


def test_the_classes_of_the_largest_scores() -> None:
    runner = Recorder()
    runner.signature = Signature(INPUTS, OUTPUTS).with_labels({"y": ("cat", "dog")})
    session = Session(runner)
    found = session(IMAGE, REAL, INDEX)
    assert session.signature.outputs[0].labels == ("cat", "dog")
    assert session.top(found) == [("dog", 32.75), ("cat", 0.0)]
    assert session.top(found, 1) == session.top(found, 1, output="y") == [("dog", 32.75)]


@pytest.mark.parametrize(
    ("labels", "arguments", "text"),
    [
        ({}, {}, "no output has named classes; press the network with --labels"),
        ({"y": "ab", "z": "c"}, {}, "not an output of named classes; allowed: y, z"),
        ({"y": "ab"}, {"output": "z"}, "not an output of named classes: got z; allowed: y"),
        ({"z": "c"}, {}, "output z was not given: got ['y']; allowed: z"),
        ({"y": "ab"}, {"k": 0}, "k must be positive: got 0; allowed: 1 or more"),
    ],
)
def test_classes_that_cannot_be_told(labels: Any, arguments: dict[str, Any], text: str) -> None:
    runner = Recorder()
    runner.signature = Signature(INPUTS, OUTPUTS).with_labels({n: tuple(v) for n, v in labels.items()})
    with pytest.raises(ArtifactError) as caught:
        Session(runner).top({"y": np.zeros(2)}, **arguments)
    assert str(caught.value) == text
    with pytest.raises(ArtifactError, match=r"is not one score per class: got .3, 2.; allowed: 2"):
        runner.signature = Signature(INPUTS, OUTPUTS).with_labels({"y": ("a", "b")})
        Session(runner).top({"y": np.zeros((3, 2))})
