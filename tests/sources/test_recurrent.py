"""Recurrent layers of torch become one operator per layer and direction, and compute the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import Program
from pocketpress.graph.simplify import simplify
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret
from pocketpress.verify.reference.interpret import interpret_node

STEPS, WIDTH, HIDDEN = 7, 5, 6
KINDS: dict[str, Any] = {
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "projected": lambda *a, **k: nn.LSTM(*a, proj_size=4, **k),
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "two_layers": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "both": {"bidirectional": True, "num_layers": 2, "batch_first": True},
    "no_bias": {"bias": False},
}


class Whole(nn.Module):
    """All that a layer returns, from zero states."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y, last = self.layer(x)
        if isinstance(last, tuple):
            return {"y": y, "h": last[0], "c": last[1]}
        return {"y": y, "h": last}


class Continued(Whole):
    """From states that the caller gives."""

    def forward(self, x: Tensor, *states: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        y, last = self.layer(x, states if len(states) > 1 else states[0])
        return {"y": y, **dict(zip("hc", last if isinstance(last, tuple) else (last,), strict=False))}


def compare(module: nn.Module, inputs: tuple[Tensor, ...]) -> Program:
    """Both give the same numbers; returns the simplified program."""
    program = simplify(export_module(module.eval(), inputs, "test:net").program, interpret_node)
    found = interpret(program, {n: x.numpy() for n, x in zip(program.inputs, inputs, strict=True)})
    with torch.no_grad():
        wanted = module(*inputs)
    for name, value in (wanted if isinstance(wanted, dict) else {"output": wanted}).items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-5, atol=2e-6)
    return program


def layer(kind: str, seed: int = 0, **form: Any) -> nn.Module:
    torch.manual_seed(seed)
    made: nn.Module = KINDS[kind](WIDTH, HIDDEN, **form)
    return made


def sequence(batch: int = 1, steps: int = STEPS, *, batch_first: bool = False) -> Tensor:
    shape = (batch, steps, WIDTH) if batch_first else (steps, batch, WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_layers_compute_as_torch_does(kind: str, form: str) -> None:
    x = sequence(
        2 if form in ("batch_first", "both") else 1, batch_first=FORMS[form].get("batch_first", False)
    )
    program = compare(Whole(layer(kind, **FORMS[form])), (x,))
    count = FORMS[form].get("num_layers", 1) * (2 if FORMS[form].get("bidirectional") else 1)
    op = kind.partition("_")[0] if kind != "projected" else "lstm"
    counts = Counter(n.op for n in program.nodes)
    assert (counts[op], counts["linear"]) == (count, count)


@pytest.mark.parametrize("kind", KINDS)
def test_given_states(kind: str) -> None:
    module = layer(kind, bidirectional=True)
    width = 4 if kind == "projected" else HIDDEN
    states = [torch.rand(2, 1, width) - 0.5]
    states += [torch.rand(2, 1, HIDDEN) - 0.5] if "lstm" in kind or kind == "projected" else []
    program = compare(Continued(module), (sequence(), *states))
    assert len(program.inputs) == 1 + len(states)


def test_a_long_sequence_does_not_drift() -> None:
    compare(Whole(layer("gru", num_layers=2)), (sequence(steps=500),))


def test_cells_are_computed_only_when_they_are_read() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer("lstm")

        def forward(self, x: Tensor) -> Any:
            return self.layer(x)[0][-1]

    program = compare(Last(), (sequence(),))
    (node,) = (n for n in program.nodes if n.op == "lstm")
    assert not node.attrs["cell"]
    assert program.type(node.outputs[0]).shape == (STEPS, 1, HIDDEN)


def test_sequences_without_a_batch() -> None:
    compare(Whole(layer("gru")), (sequence()[:, 0],))


def test_only_the_candidate_keeps_a_bias_of_its_own() -> None:
    module = layer("gru")
    program = compare(Whole(module), (sequence(),))
    (node,) = (n for n in program.nodes if n.op == "gru")
    inner = program.constants[node.inputs[3]]
    assert not inner[: 2 * HIDDEN].any()
    np.testing.assert_array_equal(inner[2 * HIDDEN :], module.bias_hh_l0.detach().numpy()[2 * HIDDEN :])


@pytest.mark.parametrize(
    "cell", [nn.GRUCell, nn.LSTMCell, nn.RNNCell, lambda i, h: nn.RNNCell(i, h, nonlinearity="relu")]
)
def test_cells_are_ordinary_operators(cell: Any) -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell(WIDTH, HIDDEN)

        def forward(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:
            lstm = isinstance(self.cell, nn.LSTMCell)
            made = self.cell(x, (h, h * 0.5) if lstm else h)
            return {"after": made[0], "kept": made[1]} if lstm else {"after": made}

    program = compare(Once(), (torch.randn(2, WIDTH), torch.randn(2, HIDDEN)))
    assert not {n.op for n in program.nodes} & {"gru", "lstm", "rnn"}


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer("gru")

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.layer(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([STEPS])))[1]
            return made

    with pytest.raises(UnsupportedError, match=r"self.layer.*packed sequences are not supported"):
        export_module(Packed().eval(), (sequence(),), "test:net")
