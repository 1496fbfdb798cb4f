"""The card of ONNX Runtime Web."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.targets.onnxruntime.spec import SPEC as ONNXRUNTIME

_SLOWER = (
    "in networks whose integer kernels would take longer than the float ones (depthwise layers, few products "
    "for each result) in float, on the same 8-bit weights; only what the caller gets is rounded"
)
_PRODUCTS = ("conv2d", "conv_transpose2d", "linear", "matmul")

SPEC = replace(
    ONNXRUNTIME,
    name="onnxruntime-web",
    title="ONNX Runtime Web",
    suffix=".web.onnx",
    package="pocketpress.targets.onnxruntime_web",
    groups=("web",),
    remarks={
        **ONNXRUNTIME.remarks,
        **{op: "; ".join(filter(None, (ONNXRUNTIME.remarks.get(op), _SLOWER))) for op in _PRODUCTS},
    },
    executor="pocketpress.devices.web:obstacle",
)
