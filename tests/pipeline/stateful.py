"""A small network with state and its data, on disk: a leaky cell that adds up what it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NETWORK = """
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.read = nn.Linear(12, 32)
        self.recall = nn.Linear(16, 32, bias=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x, h):
        z, n = (self.read(x) + self.recall(h)).chunk(2, -1)
        z = torch.sigmoid(z)
        h = z * h + (1 - z) * torch.tanh(n)
        return {"scores": self.head(h), "h_next": h}


def cell():
    torch.manual_seed(0)
    network = Cell()
    for parameter in network.parameters():
        parameter.data *= 2
    return network.eval(), (torch.zeros(1, 12), torch.zeros(1, 16))


class Sequence(nn.Module):
    # one layer that starts from what it is given
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x, h0):
        return self.head(self.rnn(x, h0)[0])


def sequence():
    torch.manual_seed(0)
    return Sequence().eval(), (torch.randn(1, 40, 12), torch.zeros(1, 1, 16))


def declared():
    return *cell(), {"h": ("h_next", 0.25)}


def samples():
    import numpy as np

    rng = np.random.default_rng(1)
    for length in (9, 12, 20, 5):
        yield rng.normal(size=(length, 12)).astype(np.float32), rng.integers(0, 4, size=length)
"""


def write_stateful(folder: Path) -> None:
    """Write cell.py, and sequences x (N, T, 12) with one label y each (labels.npz) or none (plain.npz)."""
    (folder / "cell.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 40, 12)).astype(np.float32)
    np.savez(folder / "plain.npz", x=x)
    np.savez(folder / "labels.npz", x=x, y=rng.integers(0, 4, size=12))
