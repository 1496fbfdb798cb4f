"""Weights stored in fewer bits between float activations: decoded exactly, and really smaller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import FLOAT_CASES, Case, feeds_for, name, run

from pocketpress.compress.weight_only.palette import palettize
from pocketpress.core.errors import ArtifactError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.decode import decode
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.audit import audit
from pocketpress.targets.litert.graph import pack_bits
from pocketpress.targets.litert.inspection import read_model
from pocketpress.targets.litert.lower import lower, to_bytes
from pocketpress.targets.litert.run import open_runner
from pocketpress.verify.reference.interpret import interpret

PRODUCTS = ("conv2d", "conv_transpose2d", "linear")
KINDS = ("w8", "w4", "w8-block-4", "w4-block-4", "palette-1", "palette-2", "palette-4", "palette-7")
Array = np.ndarray


def integers(program: Program, bits: int, block: int | None = None) -> Program:
    """The products' weights rounded to int8 or int4, per channel or in blocks."""
    types, constants = dict(program.types), dict(program.constants)
    for node in program.nodes:
        if node.op not in PRODUCTS:
            continue
        weight, axis = program.constants[node.inputs[1]], 1 if node.op == "conv_transpose2d" else 0
        rows = np.abs(np.moveaxis(weight, axis, 0)).reshape(weight.shape[axis], weight.shape[1 - axis], -1)
        limit = 7 if bits == 4 else 127
        if block is None or rows.shape[1] % block:
            quant = Quantization.per_channel(rows.max(axis=(1, 2)) / limit, axis)
        else:
            blocks = rows.reshape(rows.shape[0], -1, block * rows.shape[2])
            quant = Quantization.blockwise(blocks.max(axis=2) / limit, axis, block)
        grid = np.rint(weight / quant.spread(weight.shape))
        constants[node.inputs[1]] = np.clip(grid, -limit, limit).astype(np.int8)
        types[node.inputs[1]] = TensorType(weight.shape, f"int{bits}", quant)
    return replace(program, types=types, constants=constants)


def smaller(program: Program, kind: str) -> Program:
    family, _, number = kind.rpartition("-")
    if family == "palette":
        return palettize(program, int(number))[0]
    bits = int(kind[1])
    return integers(program, bits, int(number) if family else None)


def close(got: Array, expected: Array) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * float(np.ptp(expected)))


def test_nibbles_and_crumbs_by_hand() -> None:
    assert pack_bits(np.asarray([1, -1, 7, -8, 3], np.int8), 4) == bytes([0xF1, 0x87, 0x03])
    assert pack_bits(np.asarray([1, -1, 0, -2, 1], np.int8), 2) == bytes([0b10001101, 0b01])


def test_a_palette_by_hand(tmp_path: Path) -> None:
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 2)))
    w = b.constant("w", np.asarray([[0, 3], [1, 2], [3, 3]], np.uint8))
    program = b.build([b.node("linear", [x, w], TensorType((1, 3)), name="y", clamp=None)])
    palette = TensorType((3, 2), "uint8", palette=(-2.0, 0.0, 0.5, 10.0))
    program = replace(program, types={**program.types, "w": palette})
    (got,) = run(program, {"x": np.asarray([[1.0, 2.0]], np.float32)}, tmp_path / "a.tflite")
    np.testing.assert_array_equal(got, [[-2 + 20, 1, 30]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", [c for c in FLOAT_CASES if c.op in PRODUCTS], ids=name)
def test_an_operator_computes_with_the_decoded_weights(case: Case, kind: str, tmp_path: Path) -> None:
    program = smaller(case.program(), kind)
    assert program.types != case.program().types
    feeds = feeds_for(program)
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    close(got, interpret(program, feeds)["y"])


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("w8", 8), ("w4", 4), ("w8-block-32", 9), ("w4-block-32", 5), ("palette-2", 2), ("palette-4", 4),
     ("palette-6", 8)],
)  # fmt: skip
@pytest.mark.parametrize("op", ["linear", "conv2d"])
def test_a_file_is_as_small_as_promised(op: str, kind: str, bits: int, tmp_path: Path) -> None:
    """Scales of blocks are float32 and cost 32 bits a block, so 8 and 4 bits become 9 and 5."""
    program = smaller(wide(op), kind)
    signature = signature_of(program, precision=kind)
    size = len(to_bytes(program, signature))
    assert size < program.constants["w"].size * bits / 8 + 11000
    assert size < len(to_bytes(wide(op), signature)) * (bits / 32 + 0.05)
    feeds = feeds_for(program)
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    close(got, interpret(program, feeds)["y"])


def wide(op: str) -> Program:
    b, rng = ProgramBuilder(), np.random.default_rng(1)
    if op == "linear":
        x = b.input("x", TensorType((20, 384)))
        w = b.constant("w", rng.normal(size=(256, 384)).astype(np.float32))
        return b.build([b.node("linear", [x, w], TensorType((20, 256)), name="y", clamp=(0.0, None))])
    x = b.input("x", TensorType((1, 96, 6, 6)))
    w = b.constant("w", rng.normal(size=(112, 96, 3, 3)).astype(np.float32))
    attrs = {"stride": (2, 2), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": (-3.0, 9.0)}
    return b.build([b.node("conv2d", [x, w], TensorType((1, 112, 3, 3)), name="y", **attrs)])


@pytest.mark.parametrize("op", ["linear", "conv2d"])
def test_8_bit_weights_are_decoded_once_and_run_in_xnnpack(op: str, tmp_path: Path) -> None:
    program = smaller(wide(op), "w8")
    lowered = lower(program, signature_of(program, precision="w8"), tmp_path / "a.tflite")
    assert lowered.skipped == () and audit(tmp_path / "a.tflite", program) == ()


def test_decoding_is_one_float32_product() -> None:
    """What the tests above compare with: the reference's own decoding."""
    program = smaller(wide("linear"), "w4-block-32")
    type_, value = program.type("w"), program.constants["w"]
    scales = np.repeat(np.asarray(type_.quant.scale, np.float32).reshape(256, 12), 32, axis=1)
    np.testing.assert_array_equal(decode(value, type_), value.astype(np.float32) * scales)


@pytest.mark.parametrize(("kind", "subgraphs"), [("w8", 1), ("w4", 1), ("w4-block-32", 2), ("palette-4", 2)])
def test_blocks_and_palettes_are_decoded_by_a_subgraph_that_runs_once(
    kind: str, subgraphs: int, tmp_path: Path
) -> None:
    program, path = smaller(wide("conv2d"), kind), tmp_path / "a.tflite"
    lower(program, signature_of(program, precision=kind), path)
    assert len(read_model(path).subgraphs) == subgraphs
    runner = open_runner(path, 1)
    for seed in range(3):
        feeds = feeds_for(program, seed)
        close(runner.run([feeds["x"]])[0], interpret(program, feeds)["y"])
    runner.close()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_rejected(share: float, tmp_path: Path) -> None:
    program, path = smaller(wide("linear"), "palette-4"), tmp_path / "a.tflite"
    lower(program, signature_of(program, precision="palette-4"), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ArtifactError):
        open_runner(path, 1)


@pytest.mark.parametrize(("channels", "stride", "packed"), [(16, 1, False), (32, 1, True), (32, 2, False)])
def test_filters_too_small_for_windows_stay_in_bytes(
    channels: int, stride: int, packed: bool, tmp_path: Path
) -> None:
    """9 channels^2 numbers: 2,304 and 9,216; windows pay from 4,096 on, with a stride from 12,288 on."""
    b, rng = ProgramBuilder(), np.random.default_rng(2)
    x = b.input("x", TensorType((1, channels, 8, 8)))
    w = b.constant("w", rng.normal(size=(channels, channels, 3, 3)).astype(np.float32))
    attrs = {"stride": (stride, stride), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
    side = 8 // stride
    y = b.node("conv2d", [x, w], TensorType((1, channels, side, side)), name="y", **attrs)
    program = integers(b.build([y]), 4)
    skipped = lower(program, signature_of(program, precision="w4"), tmp_path / "a.tflite").skipped
    assert any("stored in 8 bits" in s.reason for s in skipped) is not packed
    feeds = feeds_for(program)
    (got,) = run(program, feeds, tmp_path / "a.tflite")
    close(got, interpret(program, feeds)["y"])
