"""The card of the Core ML target.

Weights of few bits are operators of Core ML, which expands them when it loads the package or as it computes.
It has no 16-bit integers between operators (``w8a16``), and none that finds ranges at run time
(``w8-dynamic``).
"""

from __future__ import annotations

from pocketpress.core.advice import has_rank_above_five, is_dilated, rule
from pocketpress.core.program.ops import OPS
from pocketpress.core.target import TargetSpec

DECIDED_ON_DEVICE = (
    "the file holds the decided integers and scales; whether Core ML runs dequantise, operator and quantise "
    "as one integer kernel is decided on the device"
)

_LACKED = {"quantize", "dequantize", "requantize", "dynamic_conv2d", "dynamic_linear"}

SPEC = TargetSpec(
    name="coreml",
    title="Core ML",
    suffix=".mlpackage",
    package="pocketpress.targets.coreml",
    requires=("coremltools",),
    groups=("ios",),
    precisions=("fp32", "fp16", "w8a8-static", "w8", "w8-block", "w4", "w4-block", "w4a8", "palette"),
    executes_on=("darwin",),
    float_ops=frozenset(OPS) - _LACKED,
    integer_ops=frozenset(op for op, spec in OPS.items() if spec.integer != "float"),
    remarks={
        **{op: DECIDED_ON_DEVICE for op, spec in OPS.items() if spec.integer != "float"},
        "max_pool2d": f"no dilation other than 1; {DECIDED_ON_DEVICE}",
    },
    rules=(
        rule("max_pool2d", "missing", "dilated windows", is_dilated),
        rule(" ".join(OPS), "missing", "tensors of more than five axes", has_rank_above_five),
    ),
)
