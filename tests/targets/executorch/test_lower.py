"""Whole networks, borders of the program, refusals, and what the audit sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.harness import run_both
from tests.targets.executorch.networks import mobile_network

from pocketpress.core.errors import ArtifactError, UnsupportedError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.container import read_container, write_container
from pocketpress.targets.executorch.graph import Graph, read_graph
from pocketpress.targets.executorch.lower import audit, lower
from pocketpress.targets.executorch.run import open_runner

Q = Quantization.per_tensor


def lowered(program: Program, folder: Path) -> Path:
    path = folder / "program.pte"
    lower(program, signature_of(program, precision="fp32"), path)
    return path


def kinds(path: Path) -> list[str]:
    graph = read_graph(read_container(path.read_bytes()).delegates[0])
    return [node["xnode_union"][0] for node in graph["xnodes"]]


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_mobile_network_equals_reference_in_every_integer(pixels: bool, seed: int, tmp_path: Path) -> None:
    program = mobile_network(seed=seed, pixels=pixels)
    expected, got = run_both(program, tmp_path, seed=seed, precision="w8a8-static")
    np.testing.assert_array_equal(got[0], expected[0])
    assert len(np.unique(expected[0])) > 5
    assert audit(tmp_path / "program.pte", program) == ()


def test_clamps_and_pads_need_no_nodes_of_their_own(tmp_path: Path) -> None:
    found = kinds(lowered(mobile_network(), tmp_path))
    assert "XNNClamp" not in found and "XNNStaticConstantPad" not in found
    assert found.count("XNNStaticTranspose") == 1


def test_same_program_gives_the_same_bytes(tmp_path: Path) -> None:
    first = lowered(mobile_network(), tmp_path).read_bytes()
    assert lowered(mobile_network(), tmp_path).read_bytes() == first


def test_float16_filters_halve_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {}
    for dtype in ("float32", "float16"):
        b = ProgramBuilder()
        x = b.input("x", TensorType((1, 64, 8, 8)))
        held = rng.normal(size=(64, 64, 3, 3)).astype(dtype)
        pads = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
        bias = b.constant("b", rng.normal(size=64).astype(dtype))
        b.node("conv2d", [x, b.constant("w", held), bias], TensorType((1, 64, 8, 8)), name="y", **pads)
        expected, got = run_both(b.build(["y"]), tmp_path)
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-4, atol=1e-4)
        sizes[dtype] = (tmp_path / "program.pte").stat().st_size
    assert sizes["float16"] < 0.55 * sizes["float32"]


def test_inputs_may_be_outputs_or_unused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((2, 3)))
    b.input("unused", TensorType((4,)))
    y = b.node("exp", [x], TensorType((2, 3)))
    expected, got = run_both(b.build([y, x, y]), tmp_path)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-6)


def test_a_constant_may_be_an_output(tmp_path: Path) -> None:
    b = ProgramBuilder()
    y = b.node("exp", [b.input("x", TensorType((2, 3)))], TensorType((2, 3)))
    held = np.arange(5, dtype=np.float32)
    program = b.build([y, b.constant("c", held)])
    runner = open_runner(lowered(program, tmp_path), 1)
    np.testing.assert_array_equal(runner.run([np.zeros((2, 3), np.float32)])[1], held)


def test_an_output_may_be_read_again(tmp_path: Path) -> None:
    b = ProgramBuilder()
    first = b.node("abs", [b.input("x", TensorType((2, 3)))], TensorType((2, 3)))
    second = b.node("neg", [first], TensorType((2, 3)))
    expected, got = run_both(b.build([second, first]), tmp_path)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_array_equal(have, want)


def test_xnnpack_does_not_merge_a_clamp_into_an_output(tmp_path: Path) -> None:
    """XNNPACK folds clamps into their producer; here both values are wanted."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 3, 8, 8)))
    w = b.constant("w", np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32))
    one = {"stride": (1, 1), "pads": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "clamp": None}
    y = b.node("conv2d", [x, w], TensorType((1, 4, 8, 8)), **one)
    z = b.node("clamp", [y], TensorType((1, 4, 8, 8)), low=0.0, high=0.5)
    held = b.node("mul", [z, y], TensorType((1, 4, 8, 8)), clamp=None)
    expected, got = run_both(b.build([y, z, held]), tmp_path)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
    expected, got = run_both(b.build([z, y]), tmp_path)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)


def test_xnnpack_does_not_merge_clamps_of_add_outputs(tmp_path: Path) -> None:
    b = ProgramBuilder()
    type_ = TensorType((1, 64), "int8", Q(0.05, 3))
    a, c = b.input("a", type_), b.input("c", type_)
    total = b.node("add", [a, c], type_, clamp=(-2.0, None))
    z = b.node("clamp", [total], type_, low=None, high=1.0)
    expected, got = run_both(b.build([total, z]), tmp_path)
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_array_equal(have, want)


def island() -> Program:
    """dequantize -> softmax -> quantize inside an int8 program."""
    b = ProgramBuilder()
    q = b.node("quantize", [b.input("x", TensorType((1, 10)))], TensorType((1, 10), "int8", Q(0.05, 0)))
    real = b.node("dequantize", [q], TensorType((1, 10)))
    soft = b.node("softmax", [real], TensorType((1, 10)), axis=1)
    again = b.node("quantize", [soft], TensorType((1, 10), "int8", Q(1 / 256, -128)))
    return b.build([b.node("dequantize", [again], TensorType((1, 10)))])


def test_float_islands_are_named(tmp_path: Path) -> None:
    path = tmp_path / "program.pte"
    report = lower(island(), signature_of(island(), precision="w8a8-static"), path)
    assert [entry.name for entry in report.skipped] == ["softmax softmax"]
    assert audit(path, island()) == report.skipped


def test_audit_refuses_a_graph_that_is_not_all_delegated(tmp_path: Path) -> None:
    program = island()
    path = lowered(program, tmp_path)
    container = read_container(path.read_bytes())
    plan = container.program["execution_plan"][0]
    plan["chains"][0]["instructions"].append({"instr_args": ("MoveCall", {"move_from": 0, "move_to": 0})})
    from pocketpress.targets.executorch import container as module
    from pocketpress.targets.executorch.flatbuffer import encode
    from pocketpress.targets.executorch.schema import program_schema

    graph = [*container.delegates]
    container.program["segments"] = module._segment_table([b"", *graph])
    content = module._assemble(encode(program_schema(), container.program), [b"", *graph])
    path.write_bytes(module._with_trailer(content))
    with pytest.raises(ArtifactError, match="not the whole graph is delegated"):
        audit(path, program)


def test_integer_matmul_is_refused_with_the_users_line(tmp_path: Path) -> None:
    b = ProgramBuilder()
    a = b.input("a", TensorType((4, 5), "int8", Q(0.1, 1)))
    c = b.input("c", TensorType((5, 6), "int8", Q(0.1, 2)))
    y = b.node("matmul", [a, c], TensorType((4, 6), "int8", Q(0.3, 0)), name="y", source="net.py:12")
    with pytest.raises(UnsupportedError) as caught:
        lowered(b.build([y]), tmp_path)
    text = str(caught.value)
    assert "matmul y at net.py:12" in text and "zero point 0" in text and "leave it in float" in text
    assert not (tmp_path / "program.pte").exists()


def test_requantize_on_a_tie_is_refused(tmp_path: Path) -> None:
    """int8 to uint8 at half the resolution: odd integers lie on ties, and the zero point moves them."""
    b = ProgramBuilder()
    x = b.input("x", TensorType((4,), "int8", Q(0.5, 0)))
    y = b.node("requantize", [x], TensorType((4,), "uint8", Q(1.0, 127)), name="y")
    with pytest.raises(UnsupportedError, match="tie"):
        lowered(b.build([y]), tmp_path)


def test_scale_beyond_the_kernels_range_is_refused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4), "int8", Q(1.0, 0)))
    w = b.constant("w", np.ones((2, 4), np.int8), Quantization.per_channel([1.0, 1.0], 0))
    y = b.node("linear", [x, w], TensorType((1, 2), "int8", Q(0.001, 0)), name="y", clamp=None)
    with pytest.raises(UnsupportedError, match="output scale"):
        lowered(b.build([y]), tmp_path)


def test_computed_weights_are_refused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x, w = b.input("x", TensorType((1, 4))), b.input("w", TensorType((2, 4)))
    y = b.node("linear", [x, w], TensorType((1, 2)), name="y", clamp=None)
    with pytest.raises(UnsupportedError, match="weight is not a constant"):
        lowered(b.build([y]), tmp_path)


def test_integer_inputs_without_scale_are_refused(tmp_path: Path) -> None:
    b = ProgramBuilder()
    y = b.node(
        "reshape", [b.input("x", TensorType((4,), "int64"))], TensorType((2, 2), "int64"), shape=(2, 2)
    )
    with pytest.raises(UnsupportedError, match="int64"):
        lowered(b.build([y]), tmp_path)


def test_equal_weights_are_stored_once() -> None:
    graph = Graph(island())
    array = np.arange(1024, dtype=np.float32)
    graph.packed(array, 1)
    before = len(graph.finish().data)
    graph.packed(array.copy(), 1)
    assert len(graph.finish().data) - before < 200


def test_container_keeps_signature_and_delegate() -> None:
    graph = Graph(island())
    blob = graph.finish()
    data = write_container([blob], dict(island().types), {}, ("x",), ("x",), '{"a": "é"}')
    container = read_container(data)
    assert container.signature == '{"a": "é"}' and container.delegates == (blob.data,)
