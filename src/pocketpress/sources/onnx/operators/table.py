"""Every operator there is, by name."""

from __future__ import annotations

from pocketpress.sources.onnx.operators import (
    elementwise,
    places,
    products,
    quantized,
    recurrent,
    reductions,
    resize,
    shapes,
    windows,
)
from pocketpress.sources.steps.call import Operator

OPERATORS: dict[str, Operator] = {
    **elementwise.TABLE,
    **places.TABLE,
    **products.TABLE,
    **quantized.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **resize.TABLE,
    **shapes.TABLE,
    **windows.TABLE,
}
