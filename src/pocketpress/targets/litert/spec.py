"""The card of LiteRT."""

from __future__ import annotations

from pocketpress.core.program.ops import OPS
from pocketpress.core.target import TargetSpec

REMARKS: dict[str, str] = {}

SPEC = TargetSpec(
    name="litert",
    title="LiteRT (TensorFlow Lite)",
    suffix=".tflite",
    package="pocketpress.targets.litert",
    requires=("ai_edge_litert", "flatbuffers"),
    groups=("android", "ios", "web"),
    precisions=("fp32", "fp16", "w8a8-static"),
    float_ops=frozenset(OPS) - {"quantize", "dequantize", "requantize"},
    integer_ops=frozenset(),
    remarks=REMARKS,
)
