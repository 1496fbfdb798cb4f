"""Every operator there is, by name."""

from __future__ import annotations

from pocketpress.sources.onnx.operators import elementwise, products, quantized, reductions, shapes, windows
from pocketpress.sources.steps.call import Operator

OPERATORS: dict[str, Operator] = {
    **elementwise.TABLE,
    **products.TABLE,
    **quantized.TABLE,
    **reductions.TABLE,
    **shapes.TABLE,
    **windows.TABLE,
}
