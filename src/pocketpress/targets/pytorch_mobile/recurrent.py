"""Recurrent layers: loops in TorchScript, compiled and not traced, so that a file holds one step.

What a step computes is said in `core.program.recurrent`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F


def _gru(
    gates: torch.Tensor,
    h: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    reset_after: bool,
    reverse: bool,
) -> torch.Tensor:
    steps, hidden = gates.size(0), weight.size(0) // 3
    found: list[torch.Tensor] = []
    for i in range(steps):
        g = gates[steps - 1 - i] if reverse else gates[i]
        rows = weight if reset_after else weight[: 2 * hidden]
        offset: torch.Tensor | None = None
        if bias is not None:
            offset = bias if reset_after else bias[: 2 * hidden]
        products = F.linear(h, rows, offset)
        opened = torch.sigmoid(g[:, : 2 * hidden] + products[:, : 2 * hidden])
        reset, update = opened[:, :hidden], opened[:, hidden:]
        if reset_after:
            inner = reset * products[:, 2 * hidden :]
        elif bias is not None:
            inner = F.linear(reset * h, weight[2 * hidden :], bias[2 * hidden :])
        else:
            inner = F.linear(reset * h, weight[2 * hidden :])
        new = torch.tanh(g[:, 2 * hidden :] + inner)
        h = new + update * (h - new)
        found.append(h)
    if reverse:
        found.reverse()
    return torch.stack(found)


def _lstm(
    gates: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    weight: torch.Tensor,
    projection: torch.Tensor | None,
    cell: bool,
    reverse: bool,
) -> torch.Tensor:
    steps, hidden = gates.size(0), weight.size(0) // 4
    found: list[torch.Tensor] = []
    for i in range(steps):
        total = (gates[steps - 1 - i] if reverse else gates[i]) + F.linear(h, weight)
        opened = torch.sigmoid(total[:, : 2 * hidden])
        new = torch.tanh(total[:, 2 * hidden : 3 * hidden])
        c = opened[:, hidden:] * c + opened[:, :hidden] * new
        h = torch.sigmoid(total[:, 3 * hidden :]) * torch.tanh(c)
        if projection is not None:
            h = F.linear(h, projection)
        found.append(torch.cat([h, c], 1) if cell else h)
    if reverse:
        found.reverse()
    return torch.stack(found)


def _rnn(
    gates: torch.Tensor, h: torch.Tensor, weight: torch.Tensor, is_relu: bool, reverse: bool
) -> torch.Tensor:
    steps = gates.size(0)
    found: list[torch.Tensor] = []
    for i in range(steps):
        total = (gates[steps - 1 - i] if reverse else gates[i]) + F.linear(h, weight)
        h = torch.relu(total) if is_relu else torch.tanh(total)
        found.append(h)
    if reverse:
        found.reverse()
    return torch.stack(found)


def _compiled(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Deprecated in torch, as the whole runtime is; there is no other way to write a loop for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made: Callable[..., torch.Tensor] = torch.jit.script(function)
    return made


def gru(inputs: list[torch.Tensor], a: Mapping[str, Any]) -> torch.Tensor:
    """Gates, state, weight and an optional bias."""
    bias = inputs[3] if len(inputs) > 3 else None
    return _compiled(_gru)(*inputs[:3], bias, bool(a["reset_after"]), bool(a["reverse"]))


def lstm(inputs: list[torch.Tensor], a: Mapping[str, Any]) -> torch.Tensor:
    """Gates, state, cell, weight and an optional projection."""
    projection = inputs[4] if len(inputs) > 4 else None
    return _compiled(_lstm)(*inputs[:4], projection, bool(a["cell"]), bool(a["reverse"]))


def rnn(inputs: list[torch.Tensor], a: Mapping[str, Any]) -> torch.Tensor:
    """Gates, state and weight."""
    return _compiled(_rnn)(*inputs, a["activation"] == "relu", bool(a["reverse"]))
