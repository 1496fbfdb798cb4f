"""Paddings of windows: VALID, SAME where that is equal, else a PAD, which XNNPACK folds into a conv."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketpress.core.program import Node, TensorType
from pocketpress.core.program.ir import Array
from pocketpress.targets.litert.emission import Emission

SAME: int = schema.Padding.SAME
VALID: int = schema.Padding.VALID

Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """A sliding window over an image: sizes as (height, width), ``pads`` as (top, left, bottom, right)."""

    image: tuple[int, int]
    result: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: Pads

    def needed(self) -> Pads:
        """The pads that windows really read: what lies behind the last window is dropped."""
        after = [
            max(0, (self.result[i] - 1) * self.stride[i] + self._reach(i) - self.image[i] - self.pads[i])
            for i in (0, 1)
        ]
        return (self.pads[0], self.pads[1], after[0], after[1])

    def is_same(self) -> bool:
        """Whether SAME gives the needed pads: ``ceil(image/stride)`` results, odd pixel behind."""
        pads = self.needed()
        for i in (0, 1):
            if self.result[i] != -(-self.image[i] // self.stride[i]):
                return False
            total = max((self.result[i] - 1) * self.stride[i] + self._reach(i) - self.image[i], 0)
            if (pads[i], pads[i + 2]) != (total // 2, total - total // 2):
                return False
        return True

    def _reach(self, axis: int) -> int:
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1


def padded(
    e: Emission, node: Node, window: Window, value: Array | None = None, *, same: bool = True
) -> tuple[int, int]:
    """The tensor a window operator must read, and its padding mode.

    Args:
        e: the emission.
        node: the window operator; its input 0 is an NHWC image.
        window: its geometry.
        value: scalar to pad with, in the input's dtype; None for real 0.
        same: whether SAME padding means to this operator what an explicit one does.
    """
    source, pads = e.index(node.inputs[0]), window.needed()
    if not any(pads):
        return source, VALID
    if same and window.is_same():
        return source, SAME
    top, left, bottom, right = pads
    return pad_image(e, source, (top, left, bottom, right), value), VALID


def pad_image(e: Emission, source: int, pads: Pads, value: Array | None) -> int:
    """Append a PAD (real 0) or PADV2 (``value``) of an NHWC image and return its output."""
    type_ = e.graph.type(source)
    top, left, bottom, right = pads
    batch, rows, cols, channels = type_.shape
    shape = (batch, rows + top + bottom, cols + left + right, channels)
    widths = e.graph.integers("paddings", np.asarray([[0, 0], [top, bottom], [left, right], [0, 0]]))
    like = TensorType(shape, type_.dtype, type_.quant)
    if value is None:
        return e.step("PAD", [source, widths], "pad", like)
    filler = e.graph.constant("padding_value", value, type_.quant)
    return e.step("PADV2", [source, widths, filler], "pad", like)
