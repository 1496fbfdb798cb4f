"""Recurrent layers in every runtime: numbers by hand, long sequences, weights that are stored once."""

from __future__ import annotations

import math
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.targets.test_contract import POINTS, executed_spec

from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.core.program.recurrent import GATES
from pocketpress.core.signature import signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.verify.reference import interpret

RUNTIMES = pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
ATTRS: dict[str, dict[str, Any]] = {
    "gru": {"reset_after": True},
    "lstm": {"cell": False},
    "rnn": {"activation": "tanh"},
}


def layer(
    op: str, weight: Array, steps: int, *, bias: Array | None = None, scale: float | None = None, **attrs: Any
) -> Program:
    """A layer that starts at 0, over input products that the caller gives."""
    b = ProgramBuilder()
    rows, units = weight.shape
    x = b.input("x", TensorType((steps, 1, rows)))
    zero = b.constant("zero", np.zeros((1, units), np.float32))
    if scale is None:
        w = b.constant("w", weight.astype(np.float32))
    else:
        steps_of = np.abs(weight).max(axis=1) / 127
        integers = np.rint(weight / steps_of[:, None]).astype(np.int8)
        w = b.constant("w", integers, Quantization.per_channel(steps_of, 0))
    inputs = [x, *[zero] * (2 if op == "lstm" else 1), w]
    if bias is not None:
        inputs.append(b.constant("b", bias.astype(np.float32)))
    full = {"reverse": False, "state_scale": scale, **ATTRS[op], **attrs}
    width = units * (2 if full.get("cell") else 1)
    return b.build([b.node(op, inputs, TensorType((steps, 1, width)), name="y", **full)])


def computed(spec: TargetSpec, program: Program, x: Array, folder: Path, *, times: int = 1) -> list[Array]:
    path = folder / f"a{spec.suffix}"
    spec.lower(program, signature_of(program, precision="fp32"), path)
    runner = spec.open_runner(path, 1)
    try:
        return [runner.run([x])[0] for _ in range(times)]
    finally:
        runner.close()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@RUNTIMES
@pytest.mark.parametrize("reverse", [False, True])
def test_a_gru_of_one_unit_by_hand(point: EntryPoint, reverse: bool, tmp_path: Path) -> None:
    spec = executed_spec(point)
    weight, bias = np.asarray([[0.5], [-0.25], [2.0]]), np.asarray([0.1, 0.2, -0.3])
    x = np.asarray([[0.3, -0.6, 1.1], [-1.2, 0.4, 0.7]], np.float32).reshape(2, 1, 3)
    h, found = 0.0, {}
    for t in (1, 0) if reverse else (0, 1):
        r = sigmoid(x[t, 0, 0] + 0.5 * h + 0.1)
        z = sigmoid(x[t, 0, 1] - 0.25 * h + 0.2)
        n = math.tanh(x[t, 0, 2] + r * (2 * h - 0.3))
        h = (1 - z) * n + z * h
        found[t] = h
    (got,) = computed(spec, layer("gru", weight, 2, bias=bias, reverse=reverse), x, tmp_path)
    np.testing.assert_allclose(got.reshape(-1), [found[0], found[1]], rtol=2e-6)


@RUNTIMES
def test_an_lstm_of_one_unit_by_hand(point: EntryPoint, tmp_path: Path) -> None:
    spec = executed_spec(point)
    weight = np.asarray([[0.5], [-0.25], [2.0], [1.5]])
    x = np.asarray([[0.3, -0.6, 1.1, 0.2], [-1.2, 0.4, 0.7, -0.9]], np.float32).reshape(2, 1, 4)
    h, c, found = 0.0, 0.0, []
    for t in (0, 1):
        i, f, o = (sigmoid(x[t, 0, k] + weight[k, 0] * h) for k in (0, 1, 3))
        c = f * c + i * math.tanh(x[t, 0, 2] + 2 * h)
        h = o * math.tanh(c)
        found += [h, c]
    (got,) = computed(spec, layer("lstm", weight, 2, cell=True), x, tmp_path)
    np.testing.assert_allclose(got.reshape(-1), found, rtol=2e-6)


@RUNTIMES
@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("rounded", [False, True])
def test_the_error_does_not_grow_over_five_hundred_steps(
    point: EntryPoint, op: str, rounded: bool, tmp_path: Path
) -> None:
    """A layer whose state forgets; a rounded state may fall on the other side of a tie now and then."""
    spec = executed_spec(point)
    if rounded and "w8a8-static" not in spec.precisions:
        pytest.skip(f"{spec.name} has no integers")
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((GATES[op] * 24, 24)) / np.sqrt(24) * 0.7
    program = layer(op, weight, 500, scale=1 / 128 if rounded else None)
    x = rng.standard_normal((500, 1, GATES[op] * 24)).astype(np.float32)
    (got,) = computed(spec, program, x, tmp_path)
    errors = np.abs(got - interpret(program, {"x": x})["y"]).reshape(500, -1).max(axis=1)
    assert np.ptp(got[400:]) > 0.5
    assert np.median(errors[400:]) <= 3 * max(float(np.median(errors[:100])), 1e-7)
    assert errors.max() < (5e-3 if rounded else 2e-6)


@RUNTIMES
@pytest.mark.parametrize("op", GATES)
def test_every_run_starts_at_the_initial_state(point: EntryPoint, op: str, tmp_path: Path) -> None:
    spec = executed_spec(point)
    rng = np.random.default_rng(5)
    program = layer(op, rng.standard_normal((GATES[op] * 8, 8)), 7)
    x = rng.standard_normal((7, 1, GATES[op] * 8)).astype(np.float32)
    first, second, third = computed(spec, program, x, tmp_path, times=3)
    np.testing.assert_array_equal(second, first)
    np.testing.assert_array_equal(third, first)


@pytest.mark.parametrize("point", [p for p in POINTS if p.name in ("litert", "executorch", "onnxruntime")])
@pytest.mark.parametrize("scale", [None, 1 / 128])
def test_a_longer_sequence_takes_no_larger_file(
    point: EntryPoint, scale: float | None, tmp_path: Path
) -> None:
    spec = executed_spec(point)
    weight = np.random.default_rng(1).standard_normal((192, 64))
    sizes = []
    for steps in (49, 1000):
        program = layer("gru", weight, steps, scale=scale)
        path = tmp_path / f"{steps}{spec.suffix}"
        spec.lower(program, signature_of(program, precision="fp32"), path)
        sizes.append(path.stat().st_size)
    stored = weight.size * (4 if scale is None else 1)
    assert sizes[0] < 1.1 * stored + 12_000
    assert abs(sizes[1] - sizes[0]) < 3_000


def stored_weight(family: str, seed: int) -> tuple[Array, TensorType]:
    """(24, 8) weights of a GRU of eight units, stored as a precision family has them."""
    rng = np.random.default_rng(seed)
    if family == "palette":
        palette = tuple(rng.standard_normal(16).tolist())
        return rng.integers(0, 16, (24, 8)).astype(np.uint8), TensorType((24, 8), "uint8", None, palette)
    top, dtype = (8, "int4") if family.startswith("w4") else (128, "int8")
    integers = rng.integers(1 - top, top, (24, 8)).astype(np.int8)
    quant = Quantization.per_channel(rng.uniform(0.5, 1, 24) / top, 0)
    if family.endswith("block"):
        quant = Quantization.blockwise(rng.uniform(0.5, 1, (24, 2)) / top, 0, 4)
    return integers, TensorType((24, 8), dtype, quant)


@RUNTIMES
@pytest.mark.parametrize("family", ["w8", "w8-block", "w4", "w4-block", "palette"])
def test_layers_keep_weights_of_few_bits_apart(point: EntryPoint, family: str, tmp_path: Path) -> None:
    """Two layers in a row: what a runtime decodes while it loads must not be taken for the other's."""
    spec = executed_spec(point)
    if family not in spec.families:
        pytest.skip(f"{spec.name} does not store {family}")
    b = ProgramBuilder()
    value = b.input("x", TensorType((5, 1, 24)))
    zero = b.constant("zero", np.zeros((1, 8), np.float32))
    attrs = {"reverse": False, "state_scale": None, "reset_after": True}
    for seed in (0, 1):
        weight, type_ = stored_weight(family, seed)
        w = b.constant("w", weight, type_=type_)
        name = "y" if seed else "first"
        states = b.node("gru", [value, zero, w], TensorType((5, 1, 8)), name=name, **attrs)
        value = states if seed else b.node("concat", [states] * 3, TensorType((5, 1, 24)), axis=2)
    program = b.build([value])
    x = np.random.default_rng(2).standard_normal((5, 1, 24)).astype(np.float32)
    (got,) = computed(spec, program, x, tmp_path)
    np.testing.assert_allclose(got, interpret(program, {"x": x})["y"], atol=2e-6)
