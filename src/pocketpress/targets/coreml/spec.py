"""The card of the Core ML target."""

from __future__ import annotations

from pocketpress.core.program.ops import OPS
from pocketpress.core.target import TargetSpec

DECIDED_ON_DEVICE = (
    "the file holds the decided integers and scales; whether Core ML runs dequantise, operator and quantise "
    "as one integer kernel is decided on the device"
)

SPEC = TargetSpec(
    name="coreml",
    title="Core ML",
    suffix=".mlpackage",
    package="pocketpress.targets.coreml",
    requires=("coremltools",),
    groups=("ios",),
    precisions=("fp32", "fp16", "w8a8-static"),
    executes_on=("darwin",),
    float_ops=frozenset(OPS) - {"quantize", "dequantize", "requantize"},
    integer_ops=frozenset(op for op, spec in OPS.items() if spec.integer != "float"),
    remarks={
        **{op: DECIDED_ON_DEVICE for op, spec in OPS.items() if spec.integer != "float"},
        "max_pool2d": f"no dilation other than 1; {DECIDED_ON_DEVICE}",
    },
)
