"""Weights of 8 and 4 bits between float activations, 4 bits between integers, activations of run time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.targets.executorch.harness import run_both
from tests.targets.onnxruntime.stored import CLAMPS, OPERATORS, feed, stored
from tests.targets.onnxruntime.test_w4a8 import CASES, coarse

from pocketpress.compress.weight_only.dynamic import DYNAMIC as DYNAMIC_OPS
from pocketpress.compress.weight_only.dynamic import quantize_at_run_time
from pocketpress.compress.weight_only.integers import apply_weights
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch.emit import filters
from pocketpress.targets.executorch.emit.filters import stored_wider
from pocketpress.targets.executorch.lower import lower
from pocketpress.testing import Case
from pocketpress.verify.reference import interpret


@pytest.fixture(autouse=True)
def windows_always_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of a few weights must show what thousands would."""
    monkeypatch.setattr(filters, "WINDOW_BYTES", 0)


BITS = ("w8", "w8-block-8", "w4", "w4-block-8")


def check_close(program: Program, folder: Path) -> None:
    expected, got = run_both(program, folder, feeds=feed(program))
    for want, have in zip(expected, got, strict=True):
        assert have.shape == want.shape
        assert np.abs(have - want).max() <= 2e-6 * np.ptp(want)


@pytest.mark.parametrize("precision", BITS)
@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_weights_are_decoded(operator: str, clamp: object, precision: str, tmp_path: Path) -> None:
    program = stored(OPERATORS[operator](clamp), precision)
    check_close(program, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_four_bit_weights_give_the_integers_of_the_reference(case: Case, tmp_path: Path) -> None:
    expected, got = run_both(coarse(case.program), tmp_path, feeds=dict(case.feeds), precision="w4a8")
    for want, have in zip(expected, got, strict=True):
        np.testing.assert_array_equal(have, want)


DYNAMIC = {name: make for name, make in OPERATORS.items() if name != "transposed"}


@pytest.mark.parametrize("clamp", CLAMPS)
@pytest.mark.parametrize("operator", DYNAMIC)
def test_activations_of_run_time_err_no_more_than_the_reference(
    operator: str, clamp: object, tmp_path: Path
) -> None:
    exact = stored(DYNAMIC[operator](clamp), "w8")
    program, skipped = quantize_at_run_time(exact, frozenset(DYNAMIC_OPS.values()))
    assert not skipped and program.nodes[0].op.startswith("dynamic_")
    feeds = feed(exact)
    truth = interpret(exact, feeds)["y"]
    (expected,), (got,) = run_both(program, tmp_path, feeds=feeds)
    assert rms(got - truth) <= 1.2 * rms(expected - truth)
    assert rms(expected - truth) > 0


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def file_bytes(program: Program, folder: Path) -> int:
    lower(program, signature_of(program, precision="fp32"), folder / "program.pte")
    return (folder / "program.pte").stat().st_size


@pytest.mark.parametrize(("precision", "bits"), [("w8", 8), ("w4", 4)])
def test_weights_take_their_bits(precision: str, bits: int, tmp_path: Path) -> None:
    b, rng = ProgramBuilder(), np.random.default_rng(0)
    x = b.input("x", TensorType((1, 64, 8, 8)))
    w = b.constant("w", rng.normal(0, 0.1, (64, 64, 3, 3)).astype("f"))
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
    exact = b.build([b.node("conv2d", [x, w], TensorType((1, 64, 8, 8)), **attrs)])
    saved = file_bytes(exact, tmp_path) - file_bytes(stored(exact, precision), tmp_path)
    assert saved == pytest.approx(64 * 64 * 9 * (32 - bits) / 8, abs=4000)
    assert stored_wider(stored(exact, precision)) == ()


@pytest.mark.parametrize("operator", ["grouped", "depthwise"])
def test_products_of_several_groups_take_sixteen_bits_and_say_so(operator: str, tmp_path: Path) -> None:
    exact = OPERATORS[operator](None)
    program = stored(exact, "w8")
    assert file_bytes(program, tmp_path) < file_bytes(exact, tmp_path) + 600
    (skipped,) = stored_wider(program)
    assert skipped.name == "conv2d y" and "16 bits each" in skipped.reason
    assert lower(program, signature_of(program, precision="w8"), tmp_path / "a.pte").skipped == (skipped,)


def test_a_convolution_with_few_of_the_weights_is_not_spread_into_windows(tmp_path: Path) -> None:
    b, rng = ProgramBuilder(), np.random.default_rng(0)
    x = b.input("x", TensorType((1, 3, 8, 8)))
    first = b.constant("w", rng.normal(0, 0.3, (8, 3, 3, 3)).astype("f"))
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
    y = b.node("conv2d", [x, first], TensorType((1, 8, 8, 8)), name="stem", **attrs)
    flat = b.node("reshape", [y], TensorType((1, 512)), shape=(1, 512))
    head = b.constant("w", rng.normal(0, 0.3, (600, 512)).astype("f"))
    exact = b.build([b.node("linear", [flat, head], TensorType((1, 600)), name="y", clamp=None)])
    program = stored(exact, "w8")
    assert [s.name for s in stored_wider(program)] == ["conv2d stem"]
    check_close(program, tmp_path)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from(["w8", "w4"]),
    st.integers(0, 99),
)
def test_any_shape_of_rows(inputs: int, outputs: int, rows: int, precision: str, seed: int) -> None:
    b, rng = ProgramBuilder(), np.random.default_rng(seed)
    x = b.input("x", TensorType((rows, inputs)))
    w = b.constant("w", rng.normal(0, 0.3, (outputs, inputs)).astype("f"))
    bias = b.constant("b", rng.normal(0, 5, outputs).astype("f"))
    exact = b.build([b.node("linear", [x, w, bias], TensorType((rows, outputs)), name="y", clamp=None)])
    with tempfile.TemporaryDirectory() as folder:
        expected, got = run_both(stored(exact, precision), Path(folder), seed=seed)
    np.testing.assert_allclose(got[0], expected[0], atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_transposed_convolution_is_a_convolution_over_sub_pixels(data: st.DataObject) -> None:
    stride, kernel = (data.draw(st.tuples(st.integers(1, top), st.integers(1, top))) for top in (3, 4))
    grow = tuple(data.draw(st.integers(0, max(0, s - 1))) for s in stride)
    full = [(5 - 1) * s + k + g for s, k, g in zip(stride, kernel, grow, strict=True)]
    pads = tuple(data.draw(st.integers(0, min(3, (full[i % 2] - 1) // 2))) for i in range(4))
    size = (full[0] - pads[0] - pads[2], full[1] - pads[1] - pads[3])
    b, rng = ProgramBuilder(), np.random.default_rng(0)
    x = b.input("x", TensorType((2, 8, 5, 5)))
    w = b.constant("w", rng.normal(0, 0.2, (8, 6, *kernel)).astype("f"))
    bias = b.constant("b", rng.normal(0, 0.3, 6).astype("f"))
    attrs = {"stride": stride, "pads": pads, "output_padding": grow, "groups": 1, "clamp": None}
    exact = b.build([b.node("conv_transpose2d", [x, w, bias], TensorType((2, 6, *size)), name="y", **attrs)])
    program = apply_weights(exact, {"w": TensorType((8, 6, *kernel), "int8", per_channel(6))})
    with tempfile.TemporaryDirectory() as folder:
        check_close(program, Path(folder))


def per_channel(channels: int) -> Quantization:
    return Quantization.per_channel(np.linspace(0.004, 0.009, channels), 1)
