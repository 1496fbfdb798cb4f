"""The keyword network with its scores after every step, for ten seconds of sound; a network of nothing."""

from __future__ import annotations

import math

import torch
from examples.keywords.features import BANDS, FRAMES
from examples.keywords.networks import Keywords, Pressable, load
from torch import Tensor, nn

from pocketpress.core.program import Program, ProgramBuilder, TensorType
from pocketpress.core.signature import Signature

RECORDINGS = 10


class EveryStep(nn.Module):
    """Scores after every step."""

    def __init__(self, network: Keywords) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, frames, bands) to scores (N, frames, digits)."""
        heard, _ = self.network.cells(x)
        scores: Tensor = self.network.scores(heard)
        return scores


def every_step() -> Pressable:
    """Ten recordings in a row."""
    return EveryStep(load()).eval(), (
        torch.linspace(-1, 1, RECORDINGS * FRAMES * BANDS).reshape(1, -1, BANDS),
    )


def nothing(signature: Signature) -> Program:
    """The inputs and outputs of a step, with next to nothing between: what a call costs by itself."""
    b, outputs = ProgramBuilder(), []
    taken = {spec.name: b.input(spec.name, TensorType(spec.shape)) for spec in signature.inputs}
    states = {state.output: taken[state.input] for state in signature.states}
    for spec in signature.outputs:
        source = states.get(spec.name)
        if source is None:
            first = signature.inputs[0]
            row = (*(1 for _ in first.shape[1:]), math.prod(spec.shape))
            zeros, ones = (0,) * len(row), (1,) * len(row)
            given = [taken[first.name]]
            source = b.node("slice", given, TensorType(row), starts=zeros, sizes=row, steps=ones)
            source = b.node("reshape", [source], TensorType(spec.shape), shape=spec.shape)
        outputs.append(b.node("neg", [source], TensorType(spec.shape), name=spec.name))
    return b.build(outputs)
