"""Real runtimes in a child: the same results, nothing imported in vain, damage contained."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.core.target import Array, TargetSpec
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.isolated import Child, Patience, open_isolated
from pocketpress.measure.latency import summarise
from pocketpress.measure.memory import measure_memory

TARGETS = ("litert", "executorch", "onnxruntime")
LIGHT = ("litert", "onnxruntime")
PATIENCE = Patience(load_s=60, run_s=30)
X = np.random.default_rng(0).normal(0, 1, (1, 8, 64, 64)).astype(np.float32)


def card(name: str) -> TargetSpec:
    spec: TargetSpec = importlib.import_module(f"pocketpress.targets.{name}.spec").SPEC
    for package in spec.requires:
        pytest.importorskip(package)
    return spec


def program(*, quantized: bool) -> Program:
    """A 3 x 3 convolution of 8 to 32 channels."""
    rng = np.random.default_rng(1)
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": None}
    b = ProgramBuilder()
    x = b.input("x", TensorType(X.shape))
    if not quantized:
        weight = b.constant("weight", rng.normal(0, 0.1, (32, 8, 3, 3)).astype(np.float32))
        return b.build([b.node("conv2d", [x, weight], TensorType((1, 32, 64, 64)), **attrs)])
    given, out = Quantization.per_tensor(0.03, 3), Quantization.per_tensor(0.05, -5)
    scales = Quantization.per_channel(rng.uniform(0.002, 0.004, 32), 0)
    q = b.node("quantize", [x], TensorType(X.shape, "int8", given))
    weight = b.constant("weight", rng.integers(-127, 128, (32, 8, 3, 3)).astype(np.int8), scales)
    y = b.node("conv2d", [q, weight], TensorType((1, 32, 64, 64), "int8", out), **attrs)
    return b.build([b.node("dequantize", [y], TensorType((1, 32, 64, 64)))])


def lowered(spec: TargetSpec, folder: Path, *, quantized: bool) -> Path:
    path = folder / f"{'int8' if quantized else 'float'}{spec.suffix}"
    made = program(quantized=quantized)
    spec.lower(made, signature_of(made, precision="w8a8-static" if quantized else "fp32"), path)
    return path


def run_here(spec: TargetSpec, path: Path) -> list[Array]:
    runner = spec.open_runner(path)
    try:
        return runner.run([X])
    finally:
        runner.close()


@pytest.mark.parametrize("name", TARGETS)
def test_a_child_computes_what_this_process_computes_and_can_be_weighed(name: str, tmp_path: Path) -> None:
    spec = card(name)
    path = lowered(spec, tmp_path, quantized=True)
    runner = open_isolated(path, spec=spec, patience=PATIENCE)
    np.testing.assert_array_equal(runner.run([X])[0], run_here(spec, path)[0])
    maps = Path(f"/proc/{runner._child._link.pid}/maps")
    if name in LIGHT and maps.exists():
        assert "torch" not in maps.read_text()
    use = measure_memory(runner, [X])
    runner.close()
    activations = 32 * 64 * 64
    assert activations <= use.delta_bytes < 40 << 20 < use.peak_rss_bytes
    assert use.load_s > 0


@pytest.mark.parametrize("name", TARGETS)
def test_float_and_int8_are_timed_against_each_other_in_one_child(name: str, tmp_path: Path) -> None:
    spec = card(name)
    with Child(patience=PATIENCE) as child:
        runners = [child.open(lowered(spec, tmp_path, quantized=q), spec) for q in (True, False)]
        plan = TimingPlan(warmup=2, block=2, min_rounds=4, max_rounds=4, budget_s=100)
        times = child.time([(runner, [X]) for runner in runners], plan)
    latency = summarise(times.seconds[0], times.seconds[1], threads=1, warmup=times.warmup)
    assert latency.runs == 8 and latency.speedup is not None and latency.speedup > 0
    assert latency.median > 0


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_errors_or_artifacts_but_never_the_end(name: str, tmp_path: Path) -> None:
    """Truncations, and flipped bytes of which some sit in weights: those may load, and nothing may escape."""
    spec = card(name)
    path = lowered(spec, tmp_path, quantized=True)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ArtifactError) as caught:
        open_isolated(path, spec=spec, patience=PATIENCE)
    assert str(caught.value).isprintable()
    rng = np.random.default_rng(2)
    for _ in range(3):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=6):
            damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            runner = open_isolated(path, spec=spec, patience=PATIENCE)
            runner.run([X])
            runner.close()
        except (ArtifactError, DeviceError) as error:
            assert str(error).isprintable()
