"""Transposed convolution as a convolution over sub-pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.targets.onnxruntime.networks import grid
from tests.targets.onnxruntime.test_lower import lowered, run

from pocketpress.core.program import ProgramBuilder, Quantization, TensorType
from pocketpress.targets.onnxruntime.transposed import phase_weights
from pocketpress.verify.reference import interpret


def test_phases_of_a_kernel_by_hand() -> None:
    """Kernel (a b c) with stride 2: even outputs see c then a, odd ones b."""
    weight = np.array([1, 2, 3]).reshape(1, 1, 1, 3)
    phases = phase_weights(weight, (1, 2), 1)
    assert phases.shape == (2, 1, 1, 2)
    assert phases[:, 0, 0].tolist() == [[3, 1], [0, 2]]


KERNELS = [((1, 1), (2, 2)), ((2, 3), (2, 1)), ((4, 5), (2, 3)), ((3, 3), (3, 2)), ((5, 2), (4, 2))]
CONFIGURATIONS = [
    ((k, m), (s, t), pads, (grow_h, grow_w), groups)
    for (k, m), (s, t) in KERNELS
    for pads in [(0, 0, 0, 0), (1, 0, 0, 1)]
    for grow_h, grow_w in [(0, 0), (s - 1, t - 1)]
    for groups in (1, 2)
    if k > pads[0] and m > pads[3]
]


@pytest.mark.parametrize(("kernel", "stride", "pads", "grow", "groups"), CONFIGURATIONS)
def test_equal_to_the_reference(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, int, int, int],
    grow: tuple[int, int],
    groups: int,
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    b = ProgramBuilder()
    x = b.input("x", TensorType((1, 4, 3, 4), "int8", grid(0.04, 11)))
    scales = rng.uniform(0.005, 0.01, 3)
    w = b.constant(
        "w", rng.integers(-127, 128, (4, 3, *kernel)).astype(np.int8), Quantization.per_channel(scales, 1)
    )
    step = np.tile(scales, groups) * 0.04
    bias = b.constant(
        "b", rng.integers(-900, 900, 3 * groups).astype(np.int32), Quantization.per_channel(step, 0)
    )
    if groups > 1:
        w = b.constant("wg", rng.integers(-127, 128, (4, 3, *kernel)).astype(np.int8), grid(0.007))
    height = 2 * stride[0] + kernel[0] - pads[0] - pads[2] + grow[0]
    width = 3 * stride[1] + kernel[1] - pads[1] - pads[3] + grow[1]
    out = TensorType((1, 3 * groups, height, width), "int8", grid(0.03, -5))
    attrs = {"stride": stride, "pads": pads, "output_padding": grow, "groups": groups, "clamp": None}
    program = b.build([b.node("conv_transpose2d", [x, w, bias], out, name="y", **attrs)])
    value = rng.integers(-128, 128, (1, 4, 3, 4)).astype(np.int8)
    expected = interpret(program, {"x": value})["y"]
    np.testing.assert_array_equal(run(lowered(program, tmp_path / "t.onnx"), value)[0], expected)
