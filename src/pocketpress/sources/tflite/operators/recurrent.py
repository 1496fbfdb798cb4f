"""Fused recurrent layers and SVDF, which keep a state between runs.

A layer over a whole sequence starts from a state of zeros: what the first run of a file computes.  One step
of a sequence takes its state and returns the next (`pocketpress.sources.tflite.states`).  Layers that a file
computes in integers are the real ones behind them.

Converters write a limit of 10 for the cells of every LSTM; cells reach it in more than ten steps of one sign
at the least, and `CELL_CLIP` says from where on it is left out within a run.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketpress.sources import recurrent
from pocketpress.sources.steps.call import Call, Operator, Result
from pocketpress.sources.tflite.operators.activation import activated

CELL_CLIP = 10.0
ACTIVATIONS = {1: "relu", 4: "tanh"}
"""ActivationFunctionType of the schema."""
ORDER = (0, 1, 2, 3)
"""Gates i, f, c, o, as torch has them."""


def _lstm(call: Call) -> Result:
    if call.optional(1) is None:
        raise call.refuse("coupled input and forget gates", "no input gate", "four gates")
    for first, last, what in ((9, 11, "peepholes"), (16, 17, "projection"), (20, 23, "layer normalisation")):
        if any(call.optional(index) is not None for index in range(first, last + 1)):
            raise call.refuse(what, "weights", "none")
    clip = float(call.attribute("cellClip", 0.0))
    if 0 < clip < CELL_CLIP or call.attribute("projClip", 0.0):
        raise call.refuse("clip of the cells", clip, f"none, or {CELL_CLIP:g} and more")
    _activation(call, ("tanh",))
    if not call.input(12).is_floating_point():
        raise call.refuse("biases", "integers without a scale", "real numbers, or integers with a scale")
    x = _sequence(call)
    weight = torch.cat([call.input(1 + gate) for gate in ORDER])
    rows = torch.cat([call.input(5 + gate) for gate in ORDER])
    bias = torch.cat([call.input(12 + gate) for gate in ORDER])
    state, cell = (_state(call, place, x, rows) for place in (18, 19))
    y, cells = recurrent.lstm(x, state, cell, weight, rows, bias)
    if call.outputs == 1:
        return _given(call, y)
    return _given(call, y), y[-1], torch.clamp(cells[-1], -clip, clip) if clip else cells[-1]


def _rnn(call: Call) -> Result:
    activation = _activation(call, ("tanh", "relu"))
    x, rows = _sequence(call), call.input(2)
    state = _state(call, 4, x, rows)
    y = recurrent.rnn(x, state, call.input(1), rows, call.input(3), activation=activation)
    return _given(call, y) if call.outputs == 1 else (_given(call, y), y[-1])


def _state(call: Call, place: int, x: Tensor, rows: Tensor) -> Tensor:
    """(N, H): the one that is given, or zeros."""
    given = call.optional(place)
    return torch.zeros(x.shape[1], rows.shape[1]) if given is None else given


def _svdf(call: Call) -> Result:
    """A filter over the features of a step, then one over the last steps: rank-1 parts of a dense layer.

    The memory (N, filters * steps) moves by one step, the newest last.
    """
    x, features, times, memory = call.x, call.input(1), call.input(2), call.input(4)
    filters, steps = times.shape
    rank = int(call.attribute("rank", 1))
    if rank < 1 or filters % rank:
        raise call.refuse("rank", rank, f"a divisor of {filters}")
    newest = torch.nn.functional.linear(x, features).reshape(-1, filters, 1)
    rows = torch.cat([memory.reshape(-1, filters, steps)[:, :, 1:], newest], 2)
    y = (rows * times).sum(2).reshape(-1, filters // rank, rank).sum(2)
    bias = call.optional(3)
    return activated(call, y if bias is None else y + bias), rows.reshape(-1, filters * steps)


def _activation(call: Call, allowed: tuple[str, ...]) -> str:
    kind = int(call.attribute("fusedActivationFunction", 0))
    if ACTIVATIONS.get(kind) not in allowed:
        raise call.refuse("activation", kind, " or ".join(allowed))
    return ACTIVATIONS[kind]


def _sequence(call: Call) -> Tensor:
    """(T, N, width)."""
    return call.x if call.attribute("timeMajor", False) else call.x.transpose(0, 1)


def _given(call: Call, y: Tensor) -> Tensor:
    """In the order of the input."""
    return y if call.attribute("timeMajor", False) else y.transpose(0, 1)


TABLE: dict[str, Operator] = {
    "SVDF": _svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
}
