"""A Keras network and its PyTorch twin with the same weights become the same program, but for one permute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.graph.same import ops
from tests.sources.keras.models import keras, layers, randomised, saved
from torch import Tensor, nn
from torch.nn import functional

from pocketpress.core.program import Program
from pocketpress.graph.simplify import simplify
from pocketpress.sources.load import load_source
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret, interpret_node


def keras_network() -> Any:
    """Convolution, batch-norm, ReLU6, depthwise, residual, concat, padding, global pooling, scores."""
    given = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(given)
    stem = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(stem)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(x))
    x = layers.Add()([x, stem])
    x = layers.Concatenate()([layers.Conv2D(4, 3, padding="same", activation="relu")(x), x])
    x = layers.Conv2D(6, 3, strides=2)(layers.ZeroPadding2D(1)(x))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    return randomised(keras.Model(given, layers.Dense(5, name="scores")(x)))


class Twin(nn.Module):
    """The same network by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm2, self.norm3 = nn.BatchNorm2d(8, eps=1e-3), nn.BatchNorm2d(8, eps=1e-3)
        self.point, self.side = nn.Conv2d(8, 8, 1, bias=False), nn.Conv2d(8, 4, 3, padding=1)
        self.down, self.scores = nn.Conv2d(12, 6, 3, stride=2, padding=1), nn.Linear(6, 5)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        stem = functional.relu6(self.norm1(self.stem(image)))
        x = functional.relu6(self.norm2(self.depthwise(stem)))
        x = self.norm3(self.point(x)) + stem
        x = torch.cat([functional.relu(self.side(x)), x], 1)
        x = functional.max_pool2d(self.down(x), 2).mean((2, 3))
        return {"scores": self.scores(x)}


def twin_of(model: Any) -> Twin:
    twin = Twin().eval()
    own = [
        twin.stem,
        twin.norm1,
        twin.depthwise,
        twin.norm2,
        twin.point,
        twin.norm3,
        twin.side,
        twin.down,
        twin.scores,
    ]
    for layer, module in zip((x for x in model.layers if x.weights), own, strict=True):
        values = [torch.tensor(np.array(value)) for value in layer.get_weights()]
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data, module.bias.data, module.running_mean, module.running_var = values
            continue
        order = (
            (1, 0) if isinstance(module, nn.Linear) else (2, 3, 0, 1) if module.groups > 1 else (3, 2, 0, 1)
        )
        module.weight.data = values[0].permute(order).contiguous()
        if len(values) > 1:
            module.bias.data = values[1]
    return twin


def test_the_programs_are_equal_behind_the_input(tmp_path: Path) -> None:
    model = keras_network()
    ours: Program = simplify(load_source(str(saved(tmp_path, model))).program, interpret_node)
    exported = export_module(twin_of(model), (torch.zeros(1, 3, 12, 12),), "twin", name="twin")
    twin: Program = simplify(exported.program, interpret_node)
    assert ops(twin).count("conv2d") == 5 and len(ops(twin)) == 10
    assert ops(ours) == ["permute", *ops(twin)]
    for mine, other in zip(ours.nodes[1:], twin.nodes, strict=True):
        assert ours.type(mine.outputs[0]).shape == twin.type(other.outputs[0]).shape
        assert dict(mine.attrs) == dict(other.attrs)
        for a, b in zip(mine.inputs, other.inputs, strict=True):
            if a in ours.constants:
                np.testing.assert_allclose(ours.constants[a], twin.constants[b], rtol=1e-5, atol=1e-6)
    image = np.random.default_rng(3).normal(size=(1, 12, 12, 3)).astype(np.float32)
    got = interpret(ours, {"image": image})["scores"]
    wanted = interpret(twin, {"image": np.ascontiguousarray(image.transpose(0, 3, 1, 2))})["scores"]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_mobilenet_v2_has_one_permute(tmp_path: Path) -> None:
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=10)
    program = simplify(load_source(str(saved(tmp_path, model))).program, interpret_node)
    kinds = ops(program)
    assert kinds.count("permute") == 1 and kinds[0] == "permute"
    assert (kinds.count("conv2d"), kinds.count("add"), len(kinds)) == (52, 10, 66)
