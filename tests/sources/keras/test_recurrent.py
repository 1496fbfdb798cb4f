"""Recurrent layers of Keras files: the same numbers, one operator per layer and direction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.sources.keras.models import computed, feeds_of, keras, layers, randomised, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.graph.simplify import simplify
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret, interpret_node

SHAPE = (6, 5)


def chain(*steps: Any) -> Any:
    return keras.Sequential([layers.Input(SHAPE), *steps])


def with_states(kind: Any) -> Any:
    given, count = layers.Input(SHAPE), 2 if kind is layers.LSTM else 1
    states = [layers.Input((4,)) for _ in range(count)]
    made = kind(4, return_sequences=True, return_state=True)(given, initial_state=states)
    return keras.Model([given, *states], list(made))


CASES: dict[str, tuple[Callable[[], Any], dict[str, int]]] = {
    "gru": (lambda: chain(layers.GRU(4), layers.Dense(2)), {"gru": 1}),
    "gru-before": (lambda: chain(layers.GRU(4, reset_after=False, return_sequences=True)), {"gru": 1}),
    "gru-no-bias": (lambda: chain(layers.GRU(4, use_bias=False)), {"gru": 1}),
    "gru-backwards": (lambda: chain(layers.GRU(4, go_backwards=True)), {"gru": 1}),
    "gru-states": (lambda: with_states(layers.GRU), {"gru": 1}),
    "lstm": (lambda: chain(layers.LSTM(4, return_sequences=True), layers.LSTM(3)), {"lstm": 2}),
    "lstm-states": (lambda: with_states(layers.LSTM), {"lstm": 1}),
    "simple": (lambda: chain(layers.SimpleRNN(4)), {"rnn": 1}),
    "simple-relu": (lambda: chain(layers.SimpleRNN(4, activation="relu", return_sequences=True)), {"rnn": 1}),
    "both": (lambda: chain(layers.Bidirectional(layers.GRU(4, return_sequences=True))), {"gru": 2}),
    "both-last": (lambda: chain(layers.Bidirectional(layers.LSTM(4)), layers.Dense(2)), {"lstm": 2}),
    "both-average": (lambda: chain(layers.Bidirectional(layers.LSTM(4), merge_mode="ave")), {"lstm": 2}),
    "both-product": (
        lambda: chain(layers.Bidirectional(layers.SimpleRNN(4, return_sequences=True), merge_mode="mul")),
        {"rnn": 2},
    ),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", CASES)
def test_layers_compute_as_keras_does(name: str, suffix: str, tmp_path: Path) -> None:
    make, wanted = CASES[name]
    model = randomised(make())
    program = simplify(load_source(str(saved(tmp_path, model, f"net{suffix}"))).program, interpret_node)
    feeds = feeds_of(model)
    found = interpret(program, dict(zip(program.inputs, feeds, strict=True)))
    for output, value in zip(program.outputs, computed(model, *feeds), strict=True):
        np.testing.assert_allclose(found[output], value, atol=1e-5)
    counts = Counter(node.op for node in program.nodes)
    assert {op: counts[op] for op in ("gru", "lstm", "rnn") if counts[op]} == wanted


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: chain(layers.GRU(4, recurrent_activation="hard_sigmoid")), "got activation hard_sigmoid"),
        (lambda: chain(layers.LSTM(4, activation="relu")), "got activation relu"),
        (lambda: chain(layers.Masking(), layers.GRU(4)), "got the mask of layer masking"),
        (
            lambda: chain(layers.GRU(4, go_backwards=True, return_sequences=True)),
            "got go_backwards with return_sequences",
        ),
        (
            lambda: keras.Sequential([layers.Input(batch_shape=(1, *SHAPE)), layers.LSTM(4, stateful=True)]),
            "got stateful=True",
        ),
    ],
)
def test_what_is_refused_is_named(make: Callable[[], Any], text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, randomised(make()))
    with pytest.raises(UnsupportedError) as caught:
        load_source(str(path))
    assert text in str(caught.value) and "layer " in str(caught.value)
