"""A few bytes of a file do not make the reader compute without end, nor take all memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import BlockedError, PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.onnx.load import load_onnx
from pocketpress.sources.steps.budget import Budget


def test_a_result_that_is_too_large_is_refused_before_it_is_made() -> None:
    column = torch.zeros(1 << 20, 1)
    with Budget("it", 1 << 30, result=100):
        assert (torch.ones(10) + 1).sum() == 20
        for ask in (lambda: column + column.T, lambda: torch.zeros(101), lambda: torch.zeros(5).repeat(21)):
            with pytest.raises(UnsupportedError, match="a result is too large"):
                ask()
        assert torch.zeros(1).expand(1 << 40).shape == (1 << 40,), "a view takes no memory"


def test_products_are_paid_for_by_their_operations() -> None:
    """4x5 times 5x6: 2 * 120 operations; then nothing is left for another."""
    a, b = torch.ones(4, 5), torch.ones(5, 6)
    with Budget("it", 240) as budget:
        made = a @ b
        assert budget.left == 0
        with pytest.raises(UnsupportedError, match="it takes too much work; allowed: 240 operations in all"):
            a @ b
    assert made[0, 0] == 5


def chain(op: str, count: int, side: int) -> list[object]:
    nodes = [helper.make_node("ConstantOfShape", ["side"], ["made_0"])]
    for i in range(count):
        nodes.append(helper.make_node(op, [f"made_{i}", f"made_{i}"], [f"made_{i + 1}"]))
    return [*nodes, helper.make_node("Add", ["x", f"made_{count}"], ["y"])]


@pytest.mark.parametrize(
    ("op", "count", "side", "said"),
    [("MatMul", 3, 8000, "takes too much work"), ("Add", 50, 8000, "too large together")],
)
def test_constants_of_a_file_are_bounded(op: str, count: int, side: int, said: str, tmp_path: Path) -> None:
    proto = model(chain(op, count, side), {"x": (1, 1)}, ["y"])
    proto.graph.initializer.append(helper.make_tensor("side", TensorProto.INT64, [2], [side, side]))
    with pytest.raises((BlockedError, UnsupportedError), match=said):
        load_onnx(saved(tmp_path, proto))


def test_what_a_file_needs_is_computed(tmp_path: Path) -> None:
    proto = model(chain("MatMul", 2, 8), {"x": (1, 1)}, ["y"])
    proto.graph.initializer.append(helper.make_tensor("side", TensorProto.INT64, [2], [8, 8]))
    network, _ = load_onnx(saved(tmp_path, proto))
    assert np.array_equal(network(torch.ones(1, 1))["y"].numpy(), np.ones((8, 8)))


def test_graphs_that_hold_themselves_twice_are_refused_before_they_are_read(tmp_path: Path) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1,)}, ["y"])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "leaf", [], [])
    for _ in range(10):
        twice = helper.make_node("If", ["x"], ["z"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([twice], "deep", [], [])
    proto.graph.node.append(graph.node[0])
    path = tmp_path / "deep.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(SourceError, match="too many nodes or branches") as caught:
        load_onnx(path)
    assert isinstance(caught.value, PocketpressError) and "256 branches" in str(caught.value)
