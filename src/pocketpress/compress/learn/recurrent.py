"""Recurrent operators in torch, with gradients: the step of `core.program.recurrent`, unrolled.

Weights are real here, whatever they are stored as; a rounded state passes the gradient straight through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Attrs = Mapping[str, Any]
States = tuple[Tensor, ...]
Step = Callable[[Tensor, States], States]


def _unrolled(gates: Tensor, states: States, step: Step, *, reverse: bool, shown: int = 1) -> Tensor:
    """All states, (T, N, ...), in the places of their inputs; the first ``shown`` of them side by side."""
    made: list[Tensor] = []
    rows = gates.unbind(0)
    for row in reversed(rows) if reverse else rows:
        states = step(row, states)
        made.append(torch.cat(states[:shown], -1))
    return torch.stack(made[::-1] if reverse else made)


def _seen(h: Tensor, a: Attrs) -> Tensor:
    """The state as the recurrent product takes it."""
    scale: float | None = a["state_scale"]
    if scale is None:
        return h
    inside = torch.clamp(h / scale, -128, 127)
    return (inside + (torch.round(inside) - inside).detach()) * scale


def _gru(i: list[Tensor], a: Attrs) -> Tensor:
    gates, first, weight = i[:3]
    bias, hidden = (i[3] if len(i) > 3 else None), weight.shape[0] // 3
    inner = None if bias is None else bias[2 * hidden :]

    def step(g: Tensor, states: States) -> States:
        h = states[0]
        opened, new = g[..., : 2 * hidden], g[..., 2 * hidden :]
        open_bias = None if bias is None else bias[: 2 * hidden]
        seen = _seen(h, a)
        r, z = torch.sigmoid(opened + F.linear(seen, weight[: 2 * hidden], open_bias)).chunk(2, -1)
        if a["reset_after"]:
            n = torch.tanh(new + r * F.linear(seen, weight[2 * hidden :], inner))
        else:
            n = torch.tanh(new + F.linear(_seen(r * h, a), weight[2 * hidden :], inner))
        return (n + z * (h - n),)

    return _unrolled(gates, (first,), step, reverse=a["reverse"])


def _lstm(i: list[Tensor], a: Attrs) -> Tensor:
    gates, first, cell, weight = i[:4]
    projection = i[4] if len(i) > 4 else None

    def step(g: Tensor, states: States) -> States:
        admitted, kept, new, shown = (g + F.linear(_seen(states[0], a), weight)).chunk(4, -1)
        c = torch.sigmoid(kept) * states[1] + torch.sigmoid(admitted) * torch.tanh(new)
        h = torch.sigmoid(shown) * torch.tanh(c)
        return h if projection is None else F.linear(h, projection), c

    return _unrolled(gates, (first, cell), step, reverse=a["reverse"], shown=2 if a["cell"] else 1)


def _rnn(i: list[Tensor], a: Attrs) -> Tensor:
    gates, first, weight = i
    activation = torch.tanh if a["activation"] == "tanh" else torch.relu

    def step(g: Tensor, states: States) -> States:
        return (activation(g + F.linear(_seen(states[0], a), weight)),)

    return _unrolled(gates, (first,), step, reverse=a["reverse"])


OPERATORS: dict[str, Callable[[list[Tensor], Attrs], Tensor]] = {"gru": _gru, "lstm": _lstm, "rnn": _rnn}
