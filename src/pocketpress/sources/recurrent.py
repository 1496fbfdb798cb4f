"""Recurrent layers as operators of torch: what readers of files call, and `torch.export` keeps whole.

torch's own (`torch.nn.GRU`) have no layer that runs backwards alone and no reset gate before the product.
These are one layer in one direction, (T, N, width) to (T, N, H), gates in torch's order; biases that may be
added to the input product are in ``bias``.  Their numbers are those of `core.program.recurrent`; gradients
pass through the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NAMESPACE = "pocketpress"
States = tuple[Tensor, ...]
Step = Callable[[Tensor, States], States]
_LIBRARY = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]


def gru(
    x: Tensor,
    state: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    inner: Tensor | None,
    *,
    reset_after: bool,
    reverse: bool = False,
) -> Tensor:
    """States (T, N, H) of a GRU; ``inner`` (3H,) is added to the recurrent product."""
    made: Tensor = torch.ops.pocketpress.gru(x, state, weight, recurrent, bias, inner, reset_after, reverse)
    return made


def lstm(
    x: Tensor,
    state: Tensor,
    cell: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    *,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """States and cells of an LSTM, each (T, N, H)."""
    made: tuple[Tensor, Tensor] = torch.ops.pocketpress.lstm(x, state, cell, weight, recurrent, bias, reverse)
    return made


def rnn(
    x: Tensor,
    state: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    *,
    activation: str,
    reverse: bool = False,
) -> Tensor:
    """States of a plain layer, "tanh" or "relu"."""
    made: Tensor = torch.ops.pocketpress.rnn(x, state, weight, recurrent, bias, activation, reverse)
    return made


def _unrolled(gates: Tensor, states: States, step: Step, reverse: bool) -> list[Tensor]:
    rows, made = gates.unbind(0), []
    for row in reversed(rows) if reverse else rows:
        states = step(row, states)
        made.append(states)
    ordered = made[::-1] if reverse else made
    return [torch.stack(sequence) for sequence in zip(*ordered, strict=True)]


def _gru(
    x: Tensor,
    state: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    inner: Tensor | None,
    reset_after: bool,
    reverse: bool,
) -> Tensor:
    hidden = state.shape[1]
    added = torch.zeros_like(recurrent[:, 0]) if inner is None else inner

    def step(g: Tensor, states: States) -> States:
        h, split = states[0], 2 * hidden
        opened = g[:, :split] + F.linear(h, recurrent[:split], added[:split])
        r, z = torch.sigmoid(opened).chunk(2, 1)
        if reset_after:
            n = torch.tanh(g[:, split:] + r * F.linear(h, recurrent[split:], added[split:]))
        else:
            n = torch.tanh(g[:, split:] + F.linear(r * h, recurrent[split:], added[split:]))
        return (n + z * (h - n),)

    return _unrolled(F.linear(x, weight, bias), (state,), step, reverse)[0]


def _lstm(
    x: Tensor,
    state: Tensor,
    cell: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    def step(g: Tensor, states: States) -> States:
        i, f, a, o = (g + F.linear(states[0], recurrent)).chunk(4, 1)
        c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(a)
        return torch.sigmoid(o) * torch.tanh(c), c

    h, c = _unrolled(F.linear(x, weight, bias), (state, cell), step, reverse)
    return h, c


def _rnn(
    x: Tensor,
    state: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None,
    activation: str,
    reverse: bool,
) -> Tensor:
    function = torch.tanh if activation == "tanh" else torch.relu

    def step(g: Tensor, states: States) -> States:
        return (function(g + F.linear(states[0], recurrent)),)

    return _unrolled(F.linear(x, weight, bias), (state,), step, reverse)[0]


_SCHEMAS: dict[str, tuple[str, Callable[..., Any]]] = {
    "gru": (
        "(Tensor x, Tensor state, Tensor weight, Tensor recurrent, Tensor? bias, Tensor? inner, "
        "bool reset_after, bool reverse) -> Tensor",
        _gru,
    ),
    "lstm": (
        "(Tensor x, Tensor state, Tensor cell, Tensor weight, Tensor recurrent, Tensor? bias, bool reverse) "
        "-> (Tensor, Tensor)",
        _lstm,
    ),
    "rnn": (
        "(Tensor x, Tensor state, Tensor weight, Tensor recurrent, Tensor? bias, str activation, "
        "bool reverse) -> Tensor",
        _rnn,
    ),
}
for _name, (_schema, _function) in _SCHEMAS.items():
    _LIBRARY.define(f"{_name}{_schema}")  # type: ignore[no-untyped-call]
    _LIBRARY.impl(_name, _function, "CompositeImplicitAutograd")  # type: ignore[no-untyped-call]
