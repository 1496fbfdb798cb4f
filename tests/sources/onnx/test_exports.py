"""What PyTorch writes with open sizes, given sizes: the shape arithmetic is gone and the numbers stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret


class Forward(nn.Module):
    """Layers by name, and what is computed with them."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleDict(layers)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs, **self.layers)


def recurrent(x: Tensor, lstm: nn.Module, last: nn.Module) -> Tensor:
    return last(lstm(x)[0][:, -1])  # type: ignore[no-any-return]


def decoder(x: Tensor, a: nn.Module, b: nn.Module, c: nn.Module) -> Tensor:
    first = a(x).relu()
    second = F.interpolate(b(first).relu(), size=first.shape[2:], mode="bilinear")
    return F.interpolate(c(torch.cat([first, second], 1)), size=x.shape[2:], mode="nearest")


def padded_tokens(ids: Tensor, mask: Tensor, rows: nn.Module, block: nn.Module) -> Tensor:
    return block(rows(ids), src_key_padding_mask=mask == 0)  # type: ignore[no-any-return]


def causal(ids: Tensor, rows: nn.Module, products: nn.Module) -> Tensor:
    count, length = ids.shape
    q, k, v = products(rows(ids)).view(count, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
    hidden = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    scores = (q @ k.transpose(-1, -2)).masked_fill(hidden, float("-inf"))
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(count, length, 16)


def head(x: Tensor, a: nn.Module, b: nn.Module, scores: nn.Module) -> Tensor:
    """Boxes decoded on grids of computed sizes, levels flattened and joined."""
    found, level = [], a(x).relu()
    for stride, feature in ((2, level), (4, b(level).relu())):
        y = scores(feature)
        count, channels, height, width = y.shape
        rows, columns = torch.meshgrid(
            torch.arange(height, dtype=torch.float32), torch.arange(width, dtype=torch.float32), indexing="ij"
        )
        grid = torch.stack([columns, rows]).reshape(1, 2, height, width)
        boxes = [(y[:, :2].sigmoid() + grid) * stride, y[:, 2:4].exp() * stride, y[:, 4:].sigmoid()]
        found.append(torch.cat(boxes, 1).reshape(count, channels, -1).permute(0, 2, 1))
    return torch.cat(found, 1)


def windows(x: Tensor, mix: nn.Module) -> Tensor:
    """Padded to whole windows of 4 x 4 and cut back, as Swin does."""
    count, height, width, channels = x.shape
    down, right = (4 - height % 4) % 4, (4 - width % 4) % 4
    x = F.pad(x, (0, 0, 0, right, 0, down))
    rows, columns = (height + down) // 4, (width + right) // 4
    parts = x.view(count, rows, 4, columns, 4, channels).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, channels)
    back = mix(parts).view(count, rows, columns, 4, 4, channels).permute(0, 1, 3, 2, 4, 5)
    return back.reshape(count, rows * 4, columns * 4, channels)[:, :height, :width].contiguous()


def computed_starts(x: Tensor, mix: nn.Module) -> Tensor:
    length = x.shape[1]
    late, early = x[:, length // 2 :], x[:, : length - length // 2]
    return mix(late * 1.5 + early) + x[:, ::2].mean(1, keepdim=True)  # type: ignore[no-any-return]


@torch.jit.script
def cut(x: Tensor, most: int) -> Tensor:
    if x.shape[-1] > most:  # noqa: SIM108  a choice in the file
        y = x[..., :most]
    else:
        y = x * 2.0
    return y


def scripted(x: Tensor, mix: nn.Module) -> Tensor:
    return mix(cut(x, 8))  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int, stride: int = 2) -> nn.Module:
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


IDS, MASK = torch.arange(7)[None] * 5, torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
TIME, IMAGE = {0: "batch", 1: "time"}, {0: "batch", 2: "height", 3: "width"}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], dict[int, str]]] = {
    "recurrent": (
        lambda: Forward(
            recurrent, lstm=nn.LSTM(8, 16, batch_first=True, bidirectional=True), last=nn.Linear(32, 4)
        ),
        (torch.randn(1, 9, 8),),
        TIME,
    ),
    "decoder": (
        lambda: Forward(decoder, a=_conv(3, 8), b=_conv(8, 8), c=nn.Conv2d(16, 2, 1)),
        (torch.randn(1, 3, 24, 40),),
        IMAGE,
    ),
    "padded tokens": (
        lambda: Forward(
            padded_tokens,
            rows=nn.Embedding(50, 16),
            block=nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0),
        ),
        (IDS, MASK),
        TIME,
    ),
    "causal": (
        lambda: Forward(causal, rows=nn.Embedding(50, 16), products=nn.Linear(16, 48)),
        (IDS,),
        TIME,
    ),
    "head": (
        lambda: Forward(head, a=_conv(3, 8), b=_conv(8, 8), scores=nn.Conv2d(8, 7, 1)),
        (torch.randn(1, 3, 24, 40),),
        IMAGE,
    ),
    "windows": (
        lambda: Forward(windows, mix=nn.Linear(8, 8)),
        (torch.randn(1, 10, 13, 8),),
        {1: "height", 2: "width"},
    ),
    "computed starts": (lambda: Forward(computed_starts, mix=nn.Linear(6, 6)), (torch.randn(1, 8, 6),), TIME),
    "scripted": (
        lambda: Forward(scripted, mix=nn.Linear(8, 4)),
        (torch.randn(1, 5, 8),),
        {1: "time", 2: "width"},
    ),
}  # fmt: skip


def _write(
    network: nn.Module, inputs: tuple[Tensor, ...], sizes: dict[int, str], path: Path, new: bool
) -> list[str]:
    names = [f"input_{i}" for i in range(len(inputs))]
    if new:
        sized = {axis: torch.export.Dim.DYNAMIC for axis in sizes if inputs[0].shape[axis] > 1}
        shapes = (tuple(sized for _ in inputs),)  # of the one starred argument
        torch.onnx.export(
            network, inputs, path, dynamo=True, dynamic_shapes=shapes, input_names=names, verbose=False
        )
    else:
        torch.onnx.export(
            network, inputs, path, dynamo=False, input_names=names, dynamic_axes=dict.fromkeys(names, sizes)
        )
    return names


@pytest.mark.parametrize("name", NETWORKS)
def test_the_exporter_by_traces(tmp_path: Path, name: str) -> None:
    _check(tmp_path, name, new=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "scripted"])
def test_the_exporter_by_graphs(tmp_path: Path, name: str) -> None:
    _check(tmp_path, name, new=True)


def _check(folder: Path, name: str, *, new: bool) -> None:
    torch.manual_seed(0)
    make, inputs, sizes = NETWORKS[name]
    path = folder / "net.onnx"
    names = _write(make().eval(), inputs, sizes, path, new)
    feeds: dict[str, Any] = {key: value.numpy() for key, value in zip(names, inputs, strict=True)}
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, feeds)
    source = load_source(str(path), shapes=[tuple(value.shape) for value in inputs])
    (found,) = interpret(source.program, feeds).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
