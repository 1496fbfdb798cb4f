"""GRU, LSTM, SimpleRNN and Bidirectional as one operator per direction; Keras would unroll every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources import recurrent

Results = tuple[Tensor, ...]
ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3), "SimpleRNN": (0,)}
"""torch's gates in Keras': r, z, n are 1, 0, 2 of z, r, h."""


def _layer(layer: Any, sequences: Tensor, initial_state: Any = None, **_: Any) -> Any:
    """The call of a layer in one direction."""
    y, *states = _run(layer, sequences, _states(initial_state))
    output = y if layer.return_sequences else states[0]
    return (output, *states) if layer.return_state else output


def _bidirectional(layer: Any, sequences: Tensor, initial_state: Any = None, **_: Any) -> Any:
    """The call of a wrapper: results of the layer that runs backwards are in the order of its inputs."""
    given = _states(initial_state)
    half = len(given) // 2
    made = []
    for inner, states in ((layer.forward_layer, given[:half]), (layer.backward_layer, given[half:])):
        y, *finals = _run(inner, sequences, states)
        made.append((y if layer.return_sequences else finals[0], finals))
    outputs, states = [output for output, _ in made], [state for _, finals in made for state in finals]
    output = _merged(layer.merge_mode, *outputs)
    if not layer.return_state:
        return output
    return (*output, *states) if isinstance(output, tuple) else (output, *states)


def _merged(mode: str | None, forth: Tensor, back: Tensor) -> Tensor | Results:
    if mode == "concat":
        return torch.cat([forth, back], -1)
    if mode in ("sum", "ave"):
        return (forth + back) * (1.0 if mode == "sum" else 0.5)
    return (forth, back) if mode is None else forth * back


def _states(initial: Any) -> list[Tensor]:
    if initial is None:
        return []
    return list(initial) if isinstance(initial, (list, tuple)) else [initial]


def _run(layer: Any, sequences: Tensor, states: list[Tensor]) -> Results:
    """All states in the order of the inputs, (N, T, H), and the final ones, (N, H)."""
    cell, kind, backwards = layer.cell, type(layer).__name__, bool(layer.go_backwards)
    weight, rows = (_sorted(kind, w.value.t()) for w in (cell.kernel, cell.recurrent_kernel))
    x, hidden = sequences.transpose(0, 1), rows.shape[1]
    states = states or [torch.zeros(x.shape[1], hidden)] * (2 if kind == "LSTM" else 1)
    bias = cell.bias.value if cell.use_bias else None
    last = 0 if backwards else -1
    if kind == "LSTM":
        y, cells = recurrent.lstm(x, states[0], states[1], weight, rows, bias, reverse=backwards)
        return y.transpose(0, 1), y[last], cells[last]
    if kind == "GRU":
        after = bool(cell.reset_after)
        outer, inner = (None, None) if bias is None else (bias[0], bias[1]) if after else (bias, None)
        outer, inner = (None if b is None else _sorted(kind, b) for b in (outer, inner))
        y = recurrent.gru(x, states[0], weight, rows, outer, inner, reset_after=after, reverse=backwards)
    else:
        activation = cell.activation.__name__
        y = recurrent.rnn(x, states[0], weight, rows, bias, activation=activation, reverse=backwards)
    return y.transpose(0, 1), y[last]


def _sorted(kind: str, rows: Tensor) -> Tensor:
    blocks = rows.chunk(len(ORDER[kind]))
    return torch.cat([blocks[i] for i in ORDER[kind]])


def check(layers: Sequence[Any]) -> None:
    """Refuse recurrent layers of a model that compute something else.

    Raises:
        UnsupportedError: it names the layer and what is not supported.
    """
    wrappers = [layer for layer in layers if type(layer).__name__ == "Bidirectional"]
    inner = [part for wrapper in wrappers for part in (wrapper.forward_layer, wrapper.backward_layer)]
    plain = [layer for layer in layers if type(layer).__name__ in ORDER]
    for layer in plain:
        if layer.go_backwards and layer.return_sequences and not any(layer is part for part in inner):
            raise _refused(layer, "go_backwards with return_sequences", "wrap the layer in Bidirectional")
        _check_cell(layer)
    masks = [layer.name for layer in layers if getattr(layer, "mask_zero", type(layer).__name__ == "Masking")]
    if plain and masks:
        next_step = "give sequences of one length, without Masking or mask_zero"
        raise _refused(plain[0], f"the mask of layer {masks[0]}", next_step)


def _check_cell(layer: Any) -> None:
    if layer.stateful:
        raise _refused(layer, "stateful=True", "save it with stateful=False, states as inputs and outputs")
    cell, simple = layer.cell, type(layer).__name__ == "SimpleRNN"
    allowed = ("tanh", "relu") if simple else ("tanh",)
    wrong = [] if cell.activation.__name__ in allowed else [cell.activation.__name__]
    if not simple and cell.recurrent_activation.__name__ != "sigmoid":
        wrong.append(cell.recurrent_activation.__name__)
    if wrong:
        next_step = f"use {' or '.join(allowed)}{'' if simple else ', and sigmoid for the gates'}"
        raise _refused(layer, f"activation {', '.join(wrong)}", next_step)


def _refused(layer: Any, what: str, next_step: str) -> UnsupportedError:
    name = f"layer {layer.name} ({type(layer).__name__})"
    return UnsupportedError(
        f"{name}: a recurrent layer with this is not supported", got=what, next_step=next_step
    )


CALLS: dict[str, Callable[..., Any]] = {
    "GRU": _layer,
    "LSTM": _layer,
    "SimpleRNN": _layer,
    "Bidirectional": _bidirectional,
}
