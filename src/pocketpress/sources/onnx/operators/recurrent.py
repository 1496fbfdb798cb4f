"""GRU, LSTM and RNN: every direction is a layer of its own, weights in torch's order of gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pocketpress.sources import recurrent
from pocketpress.sources.steps.call import Call, Operator

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Whether each direction runs backwards."""
ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "RNN": (0,)}
"""torch's gates in ONNX's: r, z, n are 1, 0, 2 of z, r, h; i, f, g, o are 0, 2, 3, 1 of i, o, f, c."""
ACTIVATIONS = {"GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "RNN": ("Tanh",)}
REFUSED = ("clip", "input_forget", "activation_alpha", "activation_beta")


@dataclass(frozen=True)
class _Direction:
    """What one direction is made of; biases of the input product and of the recurrent one."""

    weight: Tensor
    recurrent: Tensor
    outer: Tensor | None
    inner: Tensor | None
    states: list[Tensor]
    activation: str
    reverse: bool


def _layer(call: Call) -> Sequence[Tensor]:
    """Y (T, D, N, H), Y_h and of an LSTM Y_c (D, N, H); batch first with ``layout`` 1."""
    _check(call)
    x = call.x.transpose(0, 1) if call.attribute("layout", 0) else call.x
    made = [_run(call, x, direction) for direction in _directions(call, x)]
    last = [-1 if not reverse else 0 for reverse in DIRECTIONS[_direction(call)]]
    sequences = torch.stack([found[0] for found in made], 1)
    finals = [
        torch.stack([found[i][at] for found, at in zip(made, last, strict=True)]) for i in range(len(made[0]))
    ]
    if call.attribute("layout", 0):
        return [sequences.permute(2, 0, 1, 3), *(final.transpose(0, 1) for final in finals)]
    return [sequences, *finals]


def _run(call: Call, x: Tensor, d: _Direction) -> tuple[Tensor, ...]:
    both = d.outer if d.inner is None or d.outer is None else d.outer + d.inner
    if call.op == "LSTM":
        state, cell = d.states
        return recurrent.lstm(x, state, cell, d.weight, d.recurrent, both, reverse=d.reverse)
    if call.op == "RNN":
        state, activation = d.states[0], d.activation
        return (
            recurrent.rnn(x, state, d.weight, d.recurrent, both, activation=activation, reverse=d.reverse),
        )
    after = bool(call.attribute("linear_before_reset", 0))
    outer, inner = (d.outer, d.inner) if after else (both, None)
    state = d.states[0]
    return (
        recurrent.gru(x, state, d.weight, d.recurrent, outer, inner, reset_after=after, reverse=d.reverse),
    )


def _direction(call: Call) -> str:
    return str(call.attribute("direction", "forward"))


def _directions(call: Call, x: Tensor) -> list[_Direction]:
    weight, rows, biases = call.input(1), call.input(2), call.optional(3)
    states = [_initial(call, i, x, rows.shape[2]) for i in ((5, 6) if call.op == "LSTM" else (5,))]
    activations = call.attribute("activations", ["Tanh"])
    found = []
    for index, reverse in enumerate(DIRECTIONS[_direction(call)]):
        outer, inner = (None, None) if biases is None else biases[index].chunk(2)
        found.append(
            _Direction(
                _sorted(call, weight[index]),
                _sorted(call, rows[index]),
                None if outer is None else _sorted(call, outer),
                None if inner is None else _sorted(call, inner),
                [state[index] for state in states],
                str(activations[min(index, len(activations) - 1)]).lower(),
                reverse,
            )
        )
    return found


def _sorted(call: Call, rows: Tensor) -> Tensor:
    """Blocks of rows in torch's order."""
    blocks = rows.chunk(len(ORDER[call.op]))
    return torch.cat([blocks[i] for i in ORDER[call.op]])


def _initial(call: Call, index: int, x: Tensor, hidden: int) -> Tensor:
    """(D, N, H): given, or zeros."""
    given = call.optional(index)
    if given is None:
        return torch.zeros(len(DIRECTIONS[_direction(call)]), x.shape[1], hidden)
    return given.transpose(0, 1) if call.attribute("layout", 0) else given


def _check(call: Call) -> None:
    """Refuse what no operator of the program computes, by its name."""
    if _direction(call) not in DIRECTIONS:
        raise call.refuse("direction", _direction(call), sorted(DIRECTIONS))
    for name in REFUSED:
        if call.attribute(name):
            raise call.refuse(name, call.attribute(name), "none")
    _check_activations(call)
    if call.op == "LSTM" and call.optional(7) is not None and call.array(7, "peepholes").any():  # type: ignore[union-attr]
        raise call.refuse("peepholes", "weights that are not 0", "none")
    steps = call.x.shape[1 if call.attribute("layout", 0) else 0]
    lengths = call.ints(4, "sequence_lens")
    if lengths is not None and any(length != steps for length in lengths):
        raise call.refuse("sequence_lens", lengths, f"{steps} for all: sequences of one length")


def _check_activations(call: Call) -> None:
    given = [str(name).lower() for name in call.attribute("activations", [])]
    wanted = [name.lower() for name in ACTIVATIONS[call.op]] * len(DIRECTIONS[_direction(call)])
    plain = call.op == "RNN" and all(name in ("tanh", "relu") for name in given)
    if given and given != wanted and not plain:
        allowed = "Tanh or Relu" if call.op == "RNN" else ", ".join(ACTIVATIONS[call.op])
        raise call.refuse("activations", call.attribute("activations"), allowed)


TABLE: dict[str, Operator] = {"GRU": _layer, "LSTM": _layer, "RNN": _layer}
