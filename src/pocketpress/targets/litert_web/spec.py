"""The card of LiteRT.js."""

from __future__ import annotations

from dataclasses import replace

from pocketpress.targets.litert.spec import SPEC as LITERT

SPEC = replace(
    LITERT,
    name="litert-web",
    title="LiteRT.js",
    suffix=".web.tflite",
    package="pocketpress.targets.litert_web",
    groups=("web",),
    precisions=tuple(family for family in LITERT.precisions if family != "w8a16"),
    stores=(*LITERT.stores, "w8a16"),
    executor="pocketpress.devices.web:obstacle",
)
