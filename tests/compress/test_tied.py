"""Layers that are called several times keep one set of weights, in every precision and every file."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from tests.conftest import Press
from tests.reference.networks import plan_of, samples
from torch import Tensor, nn

from pocketpress.compress.distill.examples import Examples
from pocketpress.compress.learn.finetune import QatOptions, train_quantized
from pocketpress.compress.learn.rounding import RoundingOptions, learn_rounding
from pocketpress.compress.quantize.equalize import plan_cross_layer
from pocketpress.compress.quantize.tied import tied_weights
from pocketpress.core.program import Program
from pocketpress.pipeline.prepare import simplified
from pocketpress.sources.pytorch import load_pytorch

NETWORK = '''
import torch
from torch import nn

class Pyramid(nn.Module):
    """One head for three sizes of a feature map, with every channel of another size."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.head = nn.Sequential(
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()
        )
        self.out = nn.Conv2d(64, 4, 1)
        with torch.no_grad():
            self.head[0].weight *= torch.logspace(-1, 1, 64)[:, None, None, None]

    def forward(self, image):
        x = self.stem(image).relu()
        results = []
        for _ in range(3):
            results.append(self.out(self.head(x)).mean((2, 3)))
            x = nn.functional.max_pool2d(x, 2)
        return torch.cat(results, 1)

def factory():
    torch.manual_seed(0)
    return Pyramid().eval(), (torch.zeros(1, 3, 16, 16),)
'''
WEIGHTS = 3 * 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9 + 64 * 4


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.other = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            x = self.second(self.first(x).relu()).relu()
        return cast(Tensor, self.other(x))


def twice() -> tuple[nn.Module, tuple[Tensor]]:
    torch.manual_seed(0)
    return Twice().eval(), (torch.zeros(1, 4),)


@pytest.fixture
def program() -> Program:
    return simplified(load_pytorch(f"{__name__}:twice").program, None, False)


def test_calls_of_one_layer_are_found_and_others_are_not(program: Program) -> None:
    layers = [node.name for node in program.nodes if node.op == "linear"]
    assert len(layers) == 5
    first, second = layers[:2]
    assert tied_weights(program, layers) == {
        layers[0]: first, layers[2]: first, layers[1]: second, layers[3]: second
    }  # fmt: skip
    assert tied_weights(program, layers[1:3]) == {}, "these two are not alike"


def test_equalisation_leaves_tied_weights_alone(program: Program) -> None:
    assert plan_cross_layer(program).scales == ()


def test_learned_rounding_and_training_decide_once_for_all_calls(program: Program) -> None:
    (name,) = program.inputs
    feeds, plan = samples(program, 48), plan_of(program)
    layers = [node.name for node in program.nodes if node.op == "linear"]
    learned = learn_rounding(program, plan, feeds, RoundingOptions(steps=30, rate=0.3))
    examples = Examples((torch.from_numpy(np.concatenate([feed[name] for feed in feeds])),))
    options = QatOptions(epochs=3, batch=16, rate=0.5)
    trained = train_quantized(program, learned, examples, None, False, options)
    for decided, before in ((learned, None), (trained, learned)):
        integers = [decided.rounded[layer] for layer in layers]
        assert np.array_equal(integers[0], integers[2]) and np.array_equal(integers[1], integers[3])
        assert not np.array_equal(integers[0], integers[1])
        if before is not None:
            assert any(not np.array_equal(decided.rounded[n], before.rounded[n]) for n in layers[:4])


@pytest.mark.parametrize("precision", ["fp32", "w8a8-static"])
def test_a_head_of_three_feature_maps_is_stored_once(
    pocketpress: Press, tmp_path: Path, precision: str
) -> None:
    (tmp_path / "pyramid.py").write_text(NETWORK)
    images = np.random.default_rng(0).standard_normal((24, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "images.npz", image=images)
    done = pocketpress(
        "press", f"{tmp_path}/pyramid.py:factory", "--data", f"{tmp_path}/images.npz", "--no-measure",
        "--precision", precision, "--target", "litert,executorch,onnxruntime", "--rounding-steps", "30",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err + done.out
    bytes_each = 4 if precision == "fp32" else 1
    for name in ("pyramid.tflite", "pyramid.pte", "pyramid.onnx"):
        size = (tmp_path / "out" / name).stat().st_size
        assert bytes_each * WEIGHTS < size < bytes_each * WEIGHTS + 26_000, name
