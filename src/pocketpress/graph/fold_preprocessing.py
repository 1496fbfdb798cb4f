"""Let a network take raw pixels: its normalisation becomes part of the program.

``x = (scale * pixel - mean[c]) / std[c]`` is a factor and a shift per channel.  The factor always merges
into a convolution that follows; the shift does too when that convolution does not pad (a padded zero means
the mean there, which no bias can express).  Otherwise a 1x1 depthwise convolution remains in front, which is
exact and costs one product per pixel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketpress.core.errors import UserError
from pocketpress.core.program import Node, Program, TensorType
from pocketpress.core.signature import Preprocessing
from pocketpress.graph.rewrite import Rewrite, sole_consumer

Vector = npt.NDArray[Any]


def fold_preprocessing(program: Program, prep: Preprocessing) -> Program:
    """Change the (only) image input from normalised values to pixels 0..255, still as float32.

    Args:
        program: float, simplified.
        prep: the normalisation the network was trained with.

    Raises:
        UserError: the network has no single image input with as many channels as ``prep``.
    """
    name = _image_input(program, prep)
    axis = _channel_axis(program.type(name).shape, prep)
    factor = np.asarray([prep.scale / s for s in prep.std], np.float64)
    shift = np.asarray([-m / s for m, s in zip(prep.mean, prep.std, strict=True)], np.float64)
    if axis == 1 and not program.type(name).shape[1] == factor.size:
        raise UserError(
            "preprocessing does not fit the input", got=factor.size, allowed=program.type(name).shape[1]
        )
    name, axis = _behind_permute(program, name, axis)
    readers = program.consumers().get(name, [])
    if axis == 1 and len(readers) == 1 and _can_absorb(program, readers[0], shift):
        return _absorb(program, readers[0], factor, shift)
    return _prepend(program, name, axis, factor, shift)


def _image_input(program: Program, prep: Preprocessing) -> str:
    images = [n for n in program.inputs if len(program.type(n).shape) == 4]
    if len(program.inputs) != 1 or len(images) != 1:
        raise UserError(
            "raw uint8 pixels need a network with one image input",
            got=[program.type(n).shape for n in program.inputs],
            next_step="leave --input-uint8 away",
        )
    if len(prep.mean) not in program.type(images[0]).shape:
        raise UserError("preprocessing does not fit the input", got=f"{len(prep.mean)} channels")
    return images[0]


def _channel_axis(shape: tuple[int, ...], prep: Preprocessing) -> int:
    """Where the channels are: as ``prep`` says, or last when only the last axis can be."""
    channels = len(prep.mean)
    last = prep.layout != "nchw" or (shape[1] != channels and shape[-1] == channels)
    return len(shape) - 1 if last else 1


def _behind_permute(program: Program, name: str, axis: int) -> tuple[str, int]:
    """A channels-last input after its permute to channels first, when that is its only reader."""
    reader = sole_consumer(program, name)
    if reader is None or reader.op != "permute":
        return name, axis
    return reader.outputs[0], tuple(reader.attrs["axes"]).index(axis)


def _can_absorb(program: Program, node: Node, shift: Vector) -> bool:
    if node.op != "conv2d" or node.attrs["groups"] != 1 or node.inputs[1] not in program.constants:
        return False
    return not shift.any() or not any(node.attrs["pads"])


def _absorb(program: Program, conv: Node, factor: Vector, shift: Vector) -> Program:
    rewrite = Rewrite(program)
    weight = program.constants[conv.inputs[1]].astype(np.float64)
    bias = (
        program.constants[conv.inputs[2]].astype(np.float64)
        if len(conv.inputs) > 2
        else np.zeros(weight.shape[0])
    )
    bias = bias + (weight * shift.reshape(1, -1, 1, 1)).sum(axis=(1, 2, 3))
    inputs = (
        conv.inputs[0],
        rewrite.constant(
            f"{conv.name}_pixel_weight", (weight * factor.reshape(1, -1, 1, 1)).astype(np.float32)
        ),
        rewrite.constant(f"{conv.name}_pixel_bias", bias.astype(np.float32)),
    )
    rewrite.replace_nodes({conv.name: (replace(conv, inputs=inputs),)})
    return rewrite.build()


def _prepend(
    program: Program,
    name: str,
    axis: int,
    factor: Vector,
    shift: Vector,
) -> Program:
    rewrite = Rewrite(program)
    shape = [1] * len(program.type(name).shape)
    shape[axis] = -1
    a = rewrite.constant(f"{name}_factor", factor.reshape(shape).astype(np.float32))
    b = rewrite.constant(f"{name}_shift", shift.reshape(shape).astype(np.float32))
    scaled, shifted = rewrite.unique(f"{name}_scaled"), rewrite.unique(f"{name}_normalised")
    type_ = TensorType(program.type(name).shape)
    rewrite.types |= {scaled: type_, shifted: type_}
    made = [
        Node("mul", scaled, (name, a), (scaled,), {"clamp": None}, "preprocessing"),
        Node("add", shifted, (scaled, b), (shifted,), {"clamp": None}, "preprocessing"),
    ]
    start = next((i + 1 for i, node in enumerate(rewrite.nodes) if name in node.outputs), 0)
    before, after = rewrite.nodes[:start], rewrite.nodes[start:]
    rewrite.nodes = [*before, *made, *(n.renamed({name: shifted}) if name in n.inputs else n for n in after)]
    return rewrite.build()
