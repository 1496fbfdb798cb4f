"""Every operator there is, by its name in the schema."""

from __future__ import annotations

from pocketpress.sources.steps.call import Operator
from pocketpress.sources.tflite.operators import (
    elementwise,
    parts,
    products,
    recurrent,
    reductions,
    resize,
    shapes,
    windows,
)

OPERATORS: dict[str, Operator] = {
    **elementwise.TABLE,
    **parts.TABLE,
    **products.TABLE,
    **recurrent.TABLE,
    **reductions.TABLE,
    **resize.TABLE,
    **shapes.TABLE,
    **windows.TABLE,
}
