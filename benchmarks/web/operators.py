"""Layers alone in ONNX Runtime Web, in float and in integers: the numbers behind `onnxruntime_web.cost`.

    python -m benchmarks.web.operators --out results/web_operators.json

Six equal layers in a row, in one page, one thread, interleaved; the fastest inference of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.web.measure import Inference
from pocketpress.core.program import Program, ProgramBuilder, Quantization, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.timing import interleave
from pocketpress.devices.web import WebRunner, close_browser
from pocketpress.targets.onnxruntime_web.cost import predicted
from pocketpress.targets.onnxruntime_web.lower import lower_as
from pocketpress.targets.onnxruntime_web.run import open_runner

LAYERS = 6
PLAN = TimingPlan(warmup=5, block=4, min_rounds=10, max_rounds=60, budget_s=20.0)


@dataclass(frozen=True)
class Layer:
    """A convolution that keeps its shape.

    Attributes:
        channels: in and out.
        side: of the square image.
        kernel: of the square window.
        groups: of channels.
    """

    channels: int
    side: int
    kernel: int
    groups: int = 1

    @property
    def name(self) -> str:
        """For the results."""
        kind = "depthwise" if self.groups == self.channels else f"{self.groups} groups" * (self.groups > 1)
        return f"{self.kernel}x{self.kernel} {self.channels} channels, side {self.side} {kind}".strip()

    def program(self) -> Program:
        """`LAYERS` of them, quantised."""
        rng, b = np.random.default_rng(0), ProgramBuilder()
        shape = (1, self.channels, self.side, self.side)
        grid = Quantization.per_tensor(0.05, -10)
        value = b.node("quantize", [b.input("x", TensorType(shape))], TensorType(shape, "int8", grid))
        kernel = (self.channels // self.groups, self.kernel, self.kernel)
        scale = float(1 / (64 * np.sqrt(np.prod(kernel))))
        for _ in range(LAYERS):
            codes = rng.integers(-127, 128, (self.channels, *kernel)).astype(np.int8)
            weight = b.constant("w", codes, Quantization.per_channel([scale] * self.channels, 0))
            value = b.node(
                "conv2d", [value, weight], TensorType(shape, "int8", grid), stride=(1, 1),
                pads=(self.kernel // 2,) * 4, dilation=(1, 1), groups=self.groups, clamp=(0.0, None),
            )  # fmt: skip
        return b.build([b.node("dequantize", [value], TensorType(shape))])


CASES = (
    *(Layer(channels, side, 1) for channels, side in ((16, 56), (64, 28), (128, 28), (256, 14), (512, 7))),
    *(Layer(channels, side, 3) for channels, side in ((8, 32), (16, 32), (32, 28), (64, 14))),
    Layer(64, 28, 3, groups=64),
    Layer(64, 28, 5, groups=64),
    Layer(64, 28, 3, groups=4),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Layers alone in ONNX Runtime Web.")
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(Path(folder)))
    close_browser()
    result = {"benchmark": "web_operators", "format": 1, **describe(), "load": os.getloadavg(), "rows": rows}
    given.out.write_text(json.dumps(result, indent=1) + "\n")


def measured(folder: Path) -> Iterator[dict[str, object]]:
    """One row per layer: milliseconds of a layer, measured and predicted."""
    for layer in CASES:
        program = layer.program()
        signature = signature_of(program, precision="w8a8-static")
        runners: list[WebRunner] = []
        for integers in (True, False):
            path = folder / f"{integers}.web.onnx"
            lower_as(program, signature, path, integers=integers)
            runners.append(open_runner(path))
        shape = program.type("x").shape
        x = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
        seconds = interleave([Inference(runner, [x]) for runner in runners], PLAN).seconds
        for runner in runners:
            runner.close()
        cost = predicted(program)
        integer_s, float_s = (float(part.min()) / LAYERS for part in seconds)
        yield {
            "layer": layer.name,
            "integer_ms": 1000 * integer_s,
            "float_ms": 1000 * float_s,
            "integer_over_float": integer_s / float_s,
            "predicted": cost.integer_s / cost.float_s,
        }


if __name__ == "__main__":
    main()
