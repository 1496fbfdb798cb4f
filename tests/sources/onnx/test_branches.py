"""Choices: the branch that the shapes or constants decide is taken, everything else is refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import BlockedError, PocketpressError, SourceError
from pocketpress.sources.load import load_source
from pocketpress.sources.onnx.load import load_onnx


def branch(
    name: str, *nodes: onnx.NodeProto, output: str = "out", constants: dict[str, Any] | None = None
) -> Any:
    held = model([], {}, [], constants).graph.initializer
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), name, [], [result], held)


def by_length(limit: int = 4) -> onnx.ModelProto:
    """x * 2 + 1 where the second size is more than ``limit``, else x - 3; both call their results alike."""
    two, three = {"c": np.float32(2), "one": np.float32(1)}, {"c": np.float32(3)}
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "place"], ["n"]),
        helper.make_node("Greater", ["n", "limit"], ["long"]),
        helper.make_node(
            "If", ["long"], ["y"], "choice",
            then_branch=branch(
                "a",
                helper.make_node("Mul", ["x", "c"], ["m"]),
                helper.make_node("Add", ["m", "one"], ["out"]),
                constants=two,
            ),
            else_branch=branch("b", helper.make_node("Sub", ["x", "c"], ["out"]), constants=three),
        ),
    ]  # fmt: skip
    return model(nodes, {"x": (1, "n")}, ["y"], {"place": np.array(1), "limit": np.array(limit)})


@pytest.mark.parametrize(("size", "wanted", "truth"), [(5, 3.0, "true"), (4, -2.0, "false")])
def test_the_shape_decides(tmp_path: Path, size: int, wanted: float, truth: str) -> None:
    path = saved(tmp_path, by_length())
    source = load_source(str(path), shapes=[(1, size)])
    network, _ = load_onnx(path, [(1, size)])
    x = torch.ones(1, size)
    assert network(x)["y"].tolist() == [[wanted] * size]
    assert onnxruntime.InferenceSession(str(path)).run(None, {"x": x.numpy()})[0].tolist() == [
        [wanted] * size
    ]
    note = f"the condition is {truth} for these shapes: the other branch is left out"
    assert ("choice", note) in source.skipped


def test_a_choice_within_a_branch(tmp_path: Path) -> None:
    """A constant condition; the inner branch reads the outer one's product and returns it as it is."""
    inner = helper.make_node(
        "If", ["yes"], ["out"], "inner",
        then_branch=branch("c", helper.make_node("Add", ["m", "x"], ["q"]), output="q"),
        else_branch=branch("d", helper.make_node("Neg", ["m"], ["out"])),
    )  # fmt: skip
    outer = branch("a", helper.make_node("Mul", ["x", "x"], ["m"]), inner)
    other = branch("b", helper.make_node("Neg", ["x"], ["out"]))
    node = helper.make_node("If", ["yes"], ["y"], "outer", then_branch=outer, else_branch=other)
    proto = model([node], {"x": (1, 2)}, ["y"], {"yes": np.array(True)})
    network, _ = load_onnx(saved(tmp_path, proto))
    assert [step.op for step in network.steps] == ["Mul", "Add", "Identity", "Identity"]
    assert network(torch.tensor([[2.0, 3.0]]))["y"].tolist() == [[6.0, 12.0]]


def test_loops_that_the_inputs_decide_and_what_is_lacking_are_listed_together(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
        ],
    )
    ways = {
        "then_branch": branch("a", helper.make_node("Neg", ["x"], ["out"])),
        "else_branch": branch("b", helper.make_node("Abs", ["x"], ["out"])),
    }
    lacking = {**ways, "else_branch": branch("c", helper.make_node("Det", ["x"], ["out"], "volume"))}
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["t"], keepdims=0),
        helper.make_node("Greater", ["t", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["p"], "by_value", **ways),
        helper.make_node("Cast", ["t"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "", "p"], ["q"], "again", body=body),
        helper.make_node("If", ["positive"], ["r"], "once_more", **lacking),
        helper.make_node("Add", ["q", "r"], ["y"]),
    ]
    proto = model(nodes, {"x": (1, 2)}, ["y"], {"zero": np.float32(0)})
    with pytest.raises(BlockedError) as caught:
        load_onnx(saved(tmp_path, proto))
    found = [(blocker.where, blocker.op) for blocker in caught.value.blockers]
    assert found == [("node again", "Loop"), ("node volume", "Det")]
    reason = str(caught.value.blockers[0].reason)
    assert "the number of repetitions of Loop depends on the network's inputs" in reason
    assert "\n" not in str(caught.value)


def test_what_the_taken_branch_lacks_is_listed(tmp_path: Path) -> None:
    ways = {
        "then_branch": branch("a", helper.make_node("Det", ["x"], ["out"], "volume")),
        "else_branch": branch("b", helper.make_node("Unique", ["x"], ["out"], "different")),
    }
    for truth, name in ((True, "volume"), (False, "different")):
        node = helper.make_node("If", ["yes"], ["y"], "choice", **ways)
        proto = model([node], {"x": (1, 2, 2)}, ["y"], {"yes": np.array(truth)})
        with pytest.raises(BlockedError) as caught:
            load_onnx(saved(tmp_path, proto))
        assert [blocker.where for blocker in caught.value.blockers] == [f"node {name}"]


@pytest.mark.parametrize(
    "kind", ["no condition", "no branch", "two outputs", "two conditions", "text", "name"]
)
def test_malformed_choices(tmp_path: Path, kind: str) -> None:
    proto = by_length()
    (node,) = [node for node in proto.graph.node if node.op_type == "If"]
    if kind == "no condition":
        node.input[0] = ""
    elif kind == "no branch":
        del node.attribute[0]
    elif kind == "two outputs":
        node.output.append("z")
    elif kind == "two conditions":
        proto.graph.node[2].input[0] = "s"
    elif kind == "text":
        node.attribute[0].CopyFrom(helper.make_attribute(node.attribute[0].name, "text"))
    else:
        node.attribute[0].g.node[0].input[0] = "nothing"
        node.attribute[1].g.node[0].input[0] = "nothing"
    with pytest.raises(PocketpressError) as caught:
        load_onnx(saved(tmp_path, proto), [(1, 5)])
    assert "\n" not in str(caught.value)
    if kind in ("two outputs", "two conditions", "name"):
        assert isinstance(caught.value, SourceError)
