"""Networks that hold every operator with something to say about it, for `test_advice`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Images(nn.Module):
    """Activations and windows of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3 if i == 0 else 6, 6, 3, padding=1) for i in range(7)])
        self.slope, self.grouped = nn.PReLU(6), nn.ConvTranspose2d(6, 6, 2, 2, groups=6)
        self.up, self.head = nn.ConvTranspose2d(6, 6, 2, 2), nn.Linear(6, 4)

    def forward(self, image: Tensor) -> Tensor:
        x = F.gelu(self.convs[0](image))
        x = F.silu(self.convs[1](x)) + F.hardswish(self.convs[2](x))
        x = F.elu(F.leaky_relu(self.convs[3](x), 0.2)) + torch.tanh(F.hardsigmoid(x))
        x = self.slope(self.convs[4](x))
        x = F.max_pool2d(self.convs[5](x), 3, 2, 1)
        pooled = self.grouped(F.avg_pool2d(x, 3, 1, 1))
        x = F.interpolate(F.relu(x), (12, 12), mode="bilinear") + pooled
        x = F.interpolate(self.up(x), (30, 30), mode="nearest")
        x = F.pad(self.convs[6](x), (1, 1, 1, 1), value=1.0)
        x = F.max_pool2d(x, 2, 2, dilation=2)
        return cast(Tensor, self.head(x.mean((2, 3))))


class Arithmetic(nn.Module):
    """Functions of one and two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.sigmoid(self.layers[0](x)) + 0.5, torch.relu(self.layers[1](x)) + 1.0
        c = a / b + torch.exp(-a) + torch.log(b)
        c = c - torch.sqrt(b) * torch.rsqrt(b + 1) + torch.pow(b, 2.5) + b**3.0
        c = torch.minimum(c, a) + torch.maximum(self.layers[2](c), b) + torch.abs(self.layers[3](c))
        return torch.softmax(c, -1)


class Attention(nn.Module):
    """Two products of activations, layer normalisation, a head on the mean of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.projection = nn.LayerNorm(16), nn.Linear(16, 48)
        self.out, self.head = nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.projection(self.norm(tokens)).reshape(1, -1, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = torch.softmax(q @ k.transpose(-1, -2) * 8**-0.5, -1) @ v
        tokens = tokens + self.out(mixed.permute(0, 2, 1, 3).reshape(1, -1, 16))
        return cast(Tensor, self.head(tokens.mean(1)))


class Words(nn.Module):
    """An embedding, a mask of an input, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.mix, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = torch.relu(self.mix(self.table(ids))) * mask[..., None].float()
        return cast(Tensor, self.head(x.mean(1)))


class Sequences(nn.Module):
    """Recurrent layers of every kind, a linear layer on the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 16, batch_first=True, bidirectional=True)
        self.lstm, self.rnn = nn.LSTM(32, 12, batch_first=True, proj_size=8), nn.RNN(8, 12, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, steps: Tensor) -> Tensor:
        steps = self.lstm(self.gru(steps)[0])[0]
        return cast(Tensor, self.head(self.rnn(steps)[0][:, -1]))


class Wide(nn.Module):
    """A recurrent layer that is wide enough for integers."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 256, batch_first=True), nn.Linear(256, 4)

    def forward(self, steps: Tensor) -> Tensor:
        return cast(Tensor, self.head(torch.relu(self.gru(steps)[0][:, -1])))


class Cell(nn.Module):
    """One step of a convolutional network with a running mean and the last frames as states."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(4, 8, 3), nn.Linear(8, 4)

    def forward(self, frame: Tensor, mean: Tensor, last: Tensor) -> dict[str, Tensor]:
        frames = torch.cat([last, frame], 2)
        x = torch.relu(self.conv(frames)).mean(2)
        mean = 0.9 * mean + 0.1 * x
        return {"scores": self.head(x - mean), "mean_out": mean, "last_out": frames[:, :, 1:]}


class Masked(nn.Module):
    """Attention whose mask is compared, and selected by `where`; positions that the network computes."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.mix, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = torch.relu(self.mix(self.table(ids)))
        x = torch.where((ids != 0)[..., None], x, torch.zeros(()))
        return cast(Tensor, self.head(x.mean(1)))


class Hinted(nn.Module):
    """Supported everywhere, and slower than it need be."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.grouped = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.large = nn.Conv2d(4, 4, 9, padding=4, groups=4)

    def forward(self, image: Tensor) -> Tensor:
        x = self.large(F.silu(self.grouped(self.plain(image))))
        return F.interpolate(x, (16, 16), mode="bilinear", align_corners=True)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "images": (Images, (torch.zeros(1, 3, 12, 12),)),
    "arithmetic": (Arithmetic, (torch.zeros(1, 8),)),
    "attention": (Attention, (torch.zeros(1, 6, 16),)),
    "sequences": (Sequences, (torch.zeros(1, 6, 8),)),
    "wide": (Wide, (torch.zeros(1, 3, 8),)),
    "cell": (Cell, (torch.zeros(1, 4, 1), torch.zeros(1, 8), torch.zeros(1, 4, 2))),
    "masked": (Masked, (torch.zeros(1, 5, dtype=torch.int64),)),
    "hinted": (Hinted, (torch.zeros(1, 2, 8, 8),)),
    "words": (Words, (torch.zeros(1, 5, dtype=torch.int64), torch.ones(1, 5, dtype=torch.int64))),
}


STATES = {"cell": {"mean": "mean_out", "last": "last_out"}}


def __getattr__(name: str) -> Callable[[], tuple[Any, ...]]:
    """``tests.pipeline.promised:images`` is a factory, and so on."""
    if name not in NETWORKS:
        raise AttributeError(name)

    def factory() -> tuple[Any, ...]:
        torch.manual_seed(0)
        network, examples = NETWORKS[name]
        made = (network().eval(), examples)
        return (*made, STATES[name]) if name in STATES else made

    return factory
