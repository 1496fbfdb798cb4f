"""Three pieces are one dilated convolution: LiteRT's numbers, and chains that must stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.sources.tflite.models import Op, grid, litert, saved

from pocketpress.core.program import TensorType
from pocketpress.sources.load import load_source
from pocketpress.sources.tflite.load import load_tflite
from pocketpress.verify.reference import interpret

VALID = {"padding": 1, "strideH": 1, "strideW": 1}
IMAGE = np.random.default_rng(7).normal(size=(1, 9, 10, 3)).astype(np.float32)


def chain(
    folder: Path, op: str, block: list[int], pads: list[list[int]], crops: list[list[int]], **changes: Any
) -> Path:
    """A dilated convolution of 3 x 3 as TensorFlow writes it."""
    rng = np.random.default_rng(0)
    depthwise = op == "DEPTHWISE_CONV_2D"
    kind, weight = ("DepthwiseConv2D", (1, 3, 3, 3)) if depthwise else ("Conv2D", (4, 3, 3, 3))
    attributes = {**VALID, "fusedActivationFunction": 3, **({"depthMultiplier": 1} if depthwise else {})}
    attributes.update(changes.get("attributes", {}))
    (top, bottom), (left, right) = pads
    inner = (block[0] * block[1], (9 + top + bottom) // block[0], (10 + left + right) // block[1])
    size = (inner[1] - 2, inner[2] - 2) if attributes["padding"] else inner[1:]
    (up, down), (first, last) = crops
    channels = 3 if depthwise else 4
    out = (1, size[0] * block[0] - up - down, size[1] * block[1] - first - last, channels)
    ops = [
        Op("SPACE_TO_BATCH_ND", ["x", "block", "pads"], ["a"], "SpaceToBatchND"),
        Op(op, ["a", "w", "b"], ["c"], kind, attributes),
        Op("BATCH_TO_SPACE_ND", ["c", "block", "crops"], ["y"], "BatchToSpaceND"),
    ]
    outputs = {"y": out, "_a": (*inner, 3), "_c": (inner[0], *size, channels)}
    if changes.get("more"):
        ops.append(Op("NEG", ["a"], ["z"], "Neg"))
        outputs["z"] = outputs["_a"]
    constants = {
        "w": rng.normal(0, 0.4, weight).astype(np.float32),
        "b": rng.normal(0, 0.4, channels).astype(np.float32),
        "block": np.array(block, np.int32),
        "pads": np.array(pads, np.int32),
        "crops": np.array(crops, np.int32),
    }
    return saved(folder, ops, {"x": (1, 9, 10, 3)}, outputs, constants)


@pytest.mark.parametrize(
    ("op", "block", "pads", "crops", "wanted"),
    [
        ("CONV_2D", [2, 2], [[2, 3], [2, 2]], [[0, 1], [0, 0]], ["CONV_2D"]),  # as SAME
        ("DEPTHWISE_CONV_2D", [4, 4], [[4, 7], [4, 6]], [[0, 3], [0, 2]], ["DEPTHWISE_CONV_2D"]),
        ("CONV_2D", [2, 2], [[0, 1], [0, 0]], [[0, 1], [0, 0]], ["CONV_2D"]),  # as VALID
        ("CONV_2D", [3, 2], [[1, 2], [3, 1]], [[0, 0], [1, 0]], ["PAD", "CONV_2D"]),
    ],
)
def test_the_numbers_of_litert(
    tmp_path: Path,
    op: str,
    block: list[int],
    pads: list[list[int]],
    crops: list[list[int]],
    wanted: list[str],
) -> None:
    path = chain(tmp_path, op, block, pads, crops)
    network, _ = load_tflite(path)
    assert [step.op for step in network.steps] == wanted
    assert network.steps[-1].attributes["dilationHFactor"] == block[0]
    (numbers,) = litert(path, IMAGE)
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(IMAGE))["y"].numpy(), numbers, atol=1e-5)
    program = load_source(str(path)).program
    np.testing.assert_allclose(interpret(program, {"x": IMAGE})["y"], numbers, atol=1e-5)
    (product,) = (node for node in program.nodes if node.op == "conv2d")
    assert tuple(product.attrs["dilation"]) == tuple(block)


@pytest.mark.parametrize(
    ("crops", "changes"),
    [
        ([[0, 1], [0, 0]], {"more": True}),  # the pieces are an output too
        ([[0, 1], [0, 0]], {"attributes": {"padding": 0}}),  # every piece is padded by itself
        ([[0, 4], [0, 0]], {}),  # more is cut off than was added
    ],
)
def test_chains_that_stay(tmp_path: Path, crops: list[list[int]], changes: dict[str, Any]) -> None:
    path = chain(tmp_path, "CONV_2D", [2, 2], [[2, 3], [2, 2]], crops, **changes)
    network, _ = load_tflite(path)
    assert [step.op for step in network.steps][:3] == ["SPACE_TO_BATCH_ND", "CONV_2D", "BATCH_TO_SPACE_ND"]
    numbers = litert(path, IMAGE)
    with torch.no_grad():
        found = network(torch.from_numpy(IMAGE))
    np.testing.assert_allclose(found["y"].numpy(), numbers[0], atol=1e-5)


def test_scales_of_an_8_bit_file_belong_to_the_convolution(tmp_path: Path) -> None:
    def tensor(shape: tuple[int, ...], scale: float) -> TensorType:
        return TensorType(shape, "int8", grid(scale))

    ops = [
        Op("SPACE_TO_BATCH_ND", ["x", "block", "pads"], ["a"], "SpaceToBatchND"),
        Op("CONV_2D", ["a", "w", "b"], ["c"], "Conv2D", VALID),
        Op("BATCH_TO_SPACE_ND", ["c", "block", "crops"], ["y"], "BatchToSpaceND"),
    ]
    weight = np.random.default_rng(0).integers(-127, 128, (2, 3, 3, 3)).astype(np.int8)
    constants = {
        "w": (weight, grid(0.01)),
        "b": (np.array([5, -5], np.int32), grid(0.00025)),
        "block": np.array([2, 2], np.int32),
        "pads": np.array([[2, 2], [2, 2]], np.int32),
        "crops": np.array([[0, 0], [0, 0]], np.int32),
    }
    made = {
        "y": tensor((1, 8, 8, 2), 0.1),
        "_a": tensor((4, 6, 6, 3), 0.025),
        "_c": tensor((4, 4, 4, 2), 0.1),
    }
    path = saved(tmp_path, ops, {"x": tensor((1, 8, 8, 3), 0.025)}, made, constants)
    source = load_source(str(path))
    (product,) = (node for node in source.program.nodes if node.op == "conv2d")
    assert source.given is not None and product.source == "node c (CONV_2D)"
    assert np.allclose(source.given.weights[product.source], 0.01)
    assert source.given.results[product.source] == grid(0.1)
    assert source.given.operands[product.source][0] == source.given.inputs[0] == grid(0.025)
