"""The card of ONNX Runtime Web."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.targets.onnxruntime.spec import SPEC as ONNXRUNTIME

SPEC = replace(
    ONNXRUNTIME,
    name="onnxruntime-web",
    title="ONNX Runtime Web",
    suffix=".web.onnx",
    package="pocketpress.targets.onnxruntime_web",
    groups=("web",),
    executor="pocketpress.devices.web:obstacle",
)
