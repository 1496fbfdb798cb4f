"""The data structures of the program: impossible states die at construction."""

from __future__ import annotations

import numpy as np
import pytest

from pocketpress.core.program import Node, ProgramBuilder, Quantization, TensorType


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-60])
def test_a_scale_is_finite_and_positive_in_float32(scale: float) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        Quantization.per_tensor(scale)


def test_scales_are_float32_numbers() -> None:
    quant = Quantization.per_tensor(0.1, 3)
    assert quant.scale == (float(np.float32(0.1)),) and quant.step.dtype == np.float32
    assert quant == Quantization.per_tensor(float(np.float32(0.1)), 3)


def test_per_channel_is_symmetric() -> None:
    with pytest.raises(ValueError, match="zero_point 0, got 1"):
        Quantization((0.1, 0.2), 1, 0)
    with pytest.raises(ValueError, match="axis is None but scale has 2"):
        Quantization((0.1, 0.2))
    with pytest.raises(ValueError, match="per-tensor"):
        _ = Quantization.per_channel([0.1, 0.2], 0).step


def test_types() -> None:
    with pytest.raises(ValueError, match="got float8; allowed"):
        TensorType((1,), "float8")
    with pytest.raises(ValueError, match="dtype is float32"):
        TensorType((1,), "float32", Quantization.per_tensor(1.0))
    assert TensorType((2, 3)).elements == 6 and TensorType(()).elements == 1


def test_nodes_are_frozen() -> None:
    attrs = {"axis": 1}
    node = Node("softmax", "s", ("x",), ("s",), attrs)
    attrs["axis"] = 2
    assert node.attrs["axis"] == 1
    with pytest.raises(TypeError):
        node.attrs["axis"] = 3  # type: ignore[index]
    assert node.with_attrs(axis=0).attrs["axis"] == 0 and node.attrs["axis"] == 1
    renamed = node.renamed({"x": "y", "s": "t"})
    assert (renamed.inputs, renamed.outputs, renamed.name) == (("y",), ("t",), "s")


def test_graph_queries_and_prefix() -> None:
    builder = ProgramBuilder()
    x, unused = builder.input("x", TensorType((2,))), builder.input("unused", TensorType((2,)))
    a = builder.node("abs", [x], TensorType((2,)), name="a")
    b = builder.node("add", [a, a], TensorType((2,)), name="b", clamp=None)
    c = builder.node("neg", [a], TensorType((2,)), name="c")
    program = builder.build([b, c])
    assert program.producers()["a"].op == "abs"
    assert [n.name for n in program.consumers()["a"]] == ["b", "c"]
    assert not program.is_quantized and not program.is_constant("x")
    short = program.prefix(["c"])
    assert [n.name for n in short.nodes] == ["a", "c"] and short.inputs == (x, unused)
