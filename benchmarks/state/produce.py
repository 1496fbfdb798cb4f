"""Presses in a process of their own: ``python -m benchmarks.state.produce KIND WORK``.

``step`` presses the decoder of the examples, one token and its cache; ``whole`` the same network without a
cache, which computes all places of the context at once.  Both to float and to int8, into
``WORK/KIND-PRECISION``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from examples.decoder.network import CONTEXT, Decoder, decoder
from torch import Tensor, nn

from pocketpress.core.record import Limits
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

STEP, WHOLE = "examples.decoder.network:decoder", "benchmarks.state.produce:whole"
PRECISIONS = FLOAT, INT8 = "fp32", "w8a8-fast"
KINDS = ("step", "whole")
PROOFS = 16
"""Samples that presses which are not judged here prove themselves on."""


class Whole(nn.Module):
    """Scores (batch, places, vocabulary) after every token (batch, places): nothing is remembered."""

    def __init__(self, network: Decoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor) -> Tensor:
        """All places at once."""
        return self.network.whole(token)


def whole() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The trained network over a whole context."""
    network, *_ = decoder()
    assert isinstance(network, Decoder)
    return Whole(network).eval(), (torch.zeros(1, CONTEXT, dtype=torch.int64),)


def options_of(kind: str, precision: str, work: Path) -> PressOptions:
    """Of one press: steps are judged on texts that training never saw."""
    judged = kind == "step"
    return PressOptions(
        STEP if judged else WHOLE,
        precision=precision,
        out=work / f"{kind}-{precision}",
        data=str(work / f"{kind}.npz"),
        evaluation=str(work / f"{kind}-test.npz"),
        evaluation_samples=None if judged else PROOFS,
        parity_samples=PROOFS,
        measure=judged,
        limits=Limits(allow_slower=True),
    )


def main() -> None:
    """Parse and press."""
    parser = argparse.ArgumentParser(description="Press the decoder.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    for precision in PRECISIONS:
        press(options_of(given.kind, precision, given.work))


if __name__ == "__main__":
    main()
