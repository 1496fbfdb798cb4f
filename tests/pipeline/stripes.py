"""A task small enough to learn in seconds: which way do the stripes run?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

NETWORK = '''
"""A residual network for 16x16 pictures of stripes."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x):
        return torch.relu(x + self.second(self.first(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 4)

    def features(self, image):
        return self.blocks(self.stem(image)).mean((2, 3))

    def forward(self, image):
        return self.head(self.dropout(self.features(image)))


class TwoHeads(Net):
    def forward(self, image):
        features = self.features(image)
        return {"logits": self.head(features), "features": features}


def factory():
    return Net().eval(), (torch.zeros(1, 3, 16, 16),)


def two_heads():
    return TwoHeads().eval(), (torch.zeros(1, 3, 16, 16),)


def shapeless():
    return Net().eval()


def training():
    return Net(), (torch.zeros(1, 3, 16, 16),)


def raising():
    raise RuntimeError("no such\\ncheckpoint")


def not_a_network():
    return {"weights": 1}


class Branching(nn.Module):
    def forward(self, image):
        if image.sum() > 0:
            return image + 1
        return image


def branching():
    return Branching().eval(), (torch.zeros(1, 3, 16, 16),)


class Unsupported(nn.Module):
    def forward(self, image):
        return torch.bernoulli(image)


def unsupported():
    return Unsupported().eval(), (torch.zeros(1, 3, 16, 16),)


def random_dead():
    """Random weights and a bias that drowns them: the outputs hardly depend on the input."""
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        net.head.weight.mul_(1e-4)
        net.head.bias.copy_(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    return net, (torch.zeros(1, 3, 16, 16),)
'''
SIDE = 16


def pictures(count: int, seed: int) -> tuple[Any, Any]:
    """Stripes in one of four directions, uneven light, noise; x (N, 3, 16, 16), y (N,)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    rows, cols = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    angle = y * np.pi / 4 + rng.normal(0, 0.2, count)
    frequency, phase = rng.uniform(2, 4, count) * 2 * np.pi, rng.uniform(0, 2 * np.pi, count)
    ramp = np.cos(angle)[:, None, None] * cols + np.sin(angle)[:, None, None] * rows
    wave = np.sin(frequency[:, None, None] * ramp + phase[:, None, None])
    x = wave[:, None] * rng.uniform(0.3, 1, (count, 3, 1, 1)) + rng.normal(0, 0.3, (count, 3, SIDE, SIDE))
    return x.astype(np.float32), y


def as_pixels(x: Any) -> Any:
    """Normalised values to uint8 pixels: mean 0.5 and standard deviation 0.25 of the range."""
    return np.clip(np.rint((x * 0.25 + 0.5) * 255), 0, 255).astype(np.uint8)


def write_project(folder: Path) -> None:
    """Train and write everything a press needs."""
    import importlib.util

    import torch
    from safetensors.torch import save_file

    (folder / "net.py").write_text(NETWORK)
    spec = importlib.util.spec_from_file_location("stripes_net", folder / "net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = module.Net()
    x, y = (torch.from_numpy(a) for a in pictures(1500, 0))
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(120):
        chosen = torch.randint(0, len(x), (64,))
        loss = torch.nn.functional.cross_entropy(network(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    save_file(network.state_dict(), folder / "w.safetensors")
    torch.save(network.state_dict(), folder / "w.pt")
    test_x, test_y = pictures(60, 1)
    np.savez(folder / "calib.npz", x=x[:32].numpy())
    np.savez(folder / "eval.npz", x=test_x, y=test_y)
    np.savez(folder / "pixels.npz", x=as_pixels(test_x).transpose(0, 2, 3, 1), y=test_y)
