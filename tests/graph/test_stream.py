"""One step of a recurrent network: equal to the whole, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketpress.core.errors import SourceError, UserError
from pocketpress.graph.stream import stream
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.sequences import run_sequence
from pocketpress.pipeline.stream import NO_INPUT, load_streamed
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, kind="GRU", last=True, before=None, after=None, first=True, **options):
        super().__init__()
        self.before, self.after, self.last, self.first = before, after, last, first
        self.rnn = getattr(nn, kind)(6, 5, batch_first=first, **options)
        self.head = nn.Linear(10 if options.get("bidirectional") else options.get("proj_size") or 5, 3)

    def forward(self, x):
        if self.before is not None:
            x = self.before(x)
        y = self.rnn(x)[0]
        if self.after is not None:
            y = self.after(y)
        elif self.last:
            y = y[:, -1] if self.first else y[-1]
        return self.head(y)

class Mean(nn.Module):
    def forward(self, y):
        return y.mean(1)

class OverTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 3, padding=1)

    def forward(self, x):
        return self.conv(x.transpose(1, 2)).transpose(1, 2)

class Softmax(nn.Module):
    def forward(self, y):
        return (torch.softmax(y, 1) * y).sum(1)

def made(**options):
    torch.manual_seed(0)
    x = torch.randn(1, 7, 6)
    return Net(**options).eval(), (x if options.get("first", True) else x.transpose(0, 1).contiguous(),)

class Given(nn.Module):
    # layers that start from what they are given and return what they leave
    def __init__(self, kind, extra=False):
        super().__init__()
        self.extra = extra
        self.rnn = getattr(nn, kind)(6, 5, num_layers=2, batch_first=True)

    def forward(self, x, h0, c0=None):
        if c0 is None:
            y, h = self.rnn(x, h0)
            return (y + h0[1]) if self.extra else y, h
        y, (h, c) = self.rnn(x, (h0, c0))
        return y, h, c

def given(kind="GRU", count=1, **options):
    torch.manual_seed(0)
    states = tuple(torch.randn(2, 1, 5) for _ in range(count))
    return Given(kind, **options).eval(), (torch.randn(1, 7, 6), *states)

def given_gru(): return given()
def given_lstm(): return given("LSTM", 2)
def given_and_read(): return given(extra=True)
def gru(): return made()
def gru_two(): return made(num_layers=2, bias=False)
def gru_scores(): return made(last=False)
def lstm(): return made(kind="LSTM", num_layers=2)
def lstm_projected(): return made(kind="LSTM", proj_size=4)
def rnn(): return made(kind="RNN", nonlinearity="relu")
def time_first(): return made(first=False)
def backwards(): return made(bidirectional=True)
def pooled(): return made(after=Mean())
def convolved(): return made(before=OverTime())
def attended(): return made(after=Softmax())
def plain(): return nn.Linear(6, 3).eval(), (torch.randn(1, 7, 6),)
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "net.py"
    path.write_text(NETWORKS)
    return path


def options(networks: Path, name: str, axis: int = 1) -> PressOptions:
    return PressOptions(f"{networks}:{name}", stream=axis, precision="fp32")


CELLS = {"lstm": 4, "lstm_projected": 2, "gru_two": 2}


@pytest.mark.parametrize(
    "name", ["gru", "gru_two", "gru_scores", "lstm", "lstm_projected", "rnn", "time_first"]
)
def test_steps_equal_the_whole(networks: Path, name: str) -> None:
    axis = 0 if name == "time_first" else 1
    whole = load_source(f"{networks}:{name}").program
    program = load_streamed(options(networks, name, axis)).program
    assert len(program.states) == CELLS.get(name, 1)
    assert {"gru", "lstm", "rnn"} & {node.op for node in program.nodes}
    x = np.random.default_rng(3).normal(size=whole.type("x").shape).astype(np.float32)
    (wanted,) = interpret(whole, {"x": x}).values()
    kept = {s.input: s.start(program.type(s.input).shape, "float32") for s in program.states}

    def step(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = interpret(program, {**feed, **kept})
        kept.update({s.input: results[s.output] for s in program.states})
        return {name: results[name] for name in program.returned}

    sequence = np.moveaxis(x, axis, 0).reshape(7, *program.type("x").shape)
    got = run_sequence({"x": sequence}, step)[whole.outputs[0]]
    if name == "gru_scores":
        np.testing.assert_allclose(got[:, 0, 0], wanted[0], rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(got[-1], wanted, rtol=1e-5, atol=1e-6)


def test_states_are_named_after_their_node(networks: Path) -> None:
    program = load_streamed(options(networks, "lstm")).program
    node = next(n for n in load_source(f"{networks}:lstm").program.nodes if n.op == "lstm")
    assert program.states[0].input == f"{node.name}_state"
    assert program.states[0].output == f"{node.name}_next_state"
    assert program.states[1].input == f"{node.name}_cell"
    assert program.type(program.states[0].input).shape == (1, 1, 5)


REFUSED = {
    "backwards": (1, "a layer that runs backwards needs the whole sequence"),
    "pooled": (1, "net.py:24: return y.mean(1)"),
    "convolved": (1, "got conv2d at"),
    "attended": (1, "got softmax at"),
    "plain": (1, "the network has no recurrent layer"),
    "gru": (0, "the time axis given has no steps: got --stream 0"),
    "rnn": (2, "the network does not load with one step along axis 2"),
}


@pytest.mark.parametrize(
    ("name", "axis", "message"), [(k, *v) for k, v in REFUSED.items()], ids=list(REFUSED)
)
def test_what_looks_at_the_time_axis_is_named(networks: Path, name: str, axis: int, message: str) -> None:
    with pytest.raises(SourceError, match=re.escape(message)):
        load_streamed(options(networks, name, axis))


def test_a_whole_sequence_is_not_one_step(networks: Path) -> None:
    with pytest.raises(SourceError, match=re.escape("does not run along the time axis given: got 7 steps")):
        stream(load_source(f"{networks}:gru").program)


def test_states_and_stream_exclude_each_other() -> None:
    from pocketpress.core.program import State

    with pytest.raises(UserError, match="--stream finds the states itself"):
        PressOptions("net.py:gru", stream=1, states=(State("a", "b"),), precision="fp32")


def test_an_initial_state_that_is_given_is_refused(tmp_path: Path) -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(6, 5, batch_first=True)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.rnn(x, h)[0]
            return out

    from pocketpress.sources.aten.translate import to_program

    exported = torch.export.export(Started().eval(), (torch.zeros(1, 1, 6), torch.zeros(1, 1, 5)))
    with pytest.raises(SourceError, match=r"the initial state of gru .* is computed"):
        stream(to_program(exported)[0])


@pytest.mark.parametrize(("name", "count"), [("given_gru", 1), ("given_lstm", 2)])
def test_an_initial_state_that_is_an_input_becomes_the_state(networks: Path, name: str, count: int) -> None:
    """It starts from zeros, and the states that it is reset to are the rows of the input that it was."""
    source = load_streamed(options(networks, name))
    program = source.program
    assert program.inputs[0] == "x" and len(program.states) == 2 * count
    assert [s for s in source.skipped if s[1] == NO_INPUT] == [
        (f"input {given}", NO_INPUT) for given in ("h0", "c0")[:count]
    ]
    whole = load_source(f"{networks}:{name}").program
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 7, 6)).astype(np.float32)
    starts = {n: rng.normal(size=(2, 1, 5)).astype(np.float32) for n in ("h0", "c0")[:count]}
    wanted = interpret(whole, {"x": x, **starts})
    states = {}
    for place, state in enumerate(program.states):  # of each layer h, then c
        states[state.input] = list(starts.values())[place % count][place // count][None]
    found = []
    for step in range(7):
        made = interpret(program, {"x": x[:, step : step + 1], **states})
        states = {state.input: made[state.output] for state in program.states}
        found.append(made[whole.outputs[0]])
    np.testing.assert_allclose(np.concatenate(found, 1), wanted[whole.outputs[0]], atol=1e-5)


def test_an_initial_state_that_something_else_reads_is_refused(networks: Path) -> None:
    with pytest.raises(SourceError, match=r"the initial state of gru .* is computed"):
        load_streamed(options(networks, "given_and_read"))
