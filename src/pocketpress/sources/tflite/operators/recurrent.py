"""Fused recurrent layers of float files, from a state of zeros: what the first run of a file computes.

LiteRT keeps the state in variables from one run to the next until it is reset; a program has no such memory.
Converters write a limit of 10 for the cells of every LSTM; cells reach it in more than ten steps of one sign
at the least, and `CELL_CLIP` says from where on it is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketpress.sources import recurrent
from pocketpress.sources.steps.call import Call, Operator

STATES = {"UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19), "UNIDIRECTIONAL_SEQUENCE_RNN": (4,)}
"""Inputs that are the state, which the file keeps between runs."""
CELL_CLIP = 10.0
ACTIVATIONS = {1: "relu", 4: "tanh"}
"""ActivationFunctionType of the schema."""
ORDER = (0, 1, 2, 3)
"""Gates i, f, c, o, as torch has them."""


def _lstm(call: Call) -> Tensor:
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
        raise call.refuse("biases", "integers: the layer computes in integers", "a float layer")
    x = _sequence(call)
    weight = torch.cat([call.input(1 + gate) for gate in ORDER])
    rows = torch.cat([call.input(5 + gate) for gate in ORDER])
    bias = torch.cat([call.input(12 + gate) for gate in ORDER])
    zeros = torch.zeros(x.shape[1], rows.shape[1])
    return _given(call, recurrent.lstm(x, zeros, zeros, weight, rows, bias)[0])


def _rnn(call: Call) -> Tensor:
    activation = _activation(call, ("tanh", "relu"))
    x, rows = _sequence(call), call.input(2)
    zeros = torch.zeros(x.shape[1], rows.shape[1])
    found = recurrent.rnn(x, zeros, call.input(1), rows, call.input(3), activation=activation)
    return _given(call, found)


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
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _rnn,
}
