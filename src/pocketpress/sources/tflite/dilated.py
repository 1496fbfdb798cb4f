"""Dilated convolutions that a file has in three pieces, as TensorFlow writes them.

``SPACE_TO_BATCH_ND`` puts every block-th pixel into an image of its own, a convolution without padding runs
on these, and ``BATCH_TO_SPACE_ND`` puts them back: a convolution whose dilation is the block.  What is cut
off afterwards need not be padded before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import Graph, Step

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
SAME, VALID = 0, 1


def with_dilations(graph: Graph) -> Graph:
    """Replace each such chain by one convolution, behind a padding where it is none of the usual ones.

    A chain whose parts are read elsewhere, or whose numbers are not in the file, stays as it is.
    """
    search = _Search(graph)
    chains = {
        chain.convolution.outputs[0]: chain
        for step in graph.steps
        if (chain := search.chain(step)) is not None
    }
    if not chains:
        return graph
    gone = {chain.first.outputs[0] for chain in chains.values()}
    gone |= {chain.last.outputs[0] for chain in chains.values()}
    known = dict(graph.known)
    steps: list[Step] = []
    for step in graph.steps:
        chain = chains.get(step.outputs[0]) if step.outputs else None
        if chain is not None:
            steps += chain.fused(known)
        elif not step.outputs or step.outputs[0] not in gone:
            steps.append(step)
    return replace(graph, steps=tuple(steps), known=known)


@dataclass(frozen=True)
class _Chain:
    """Three steps, the block, and what is added to (or taken from) each side: (begin, end) by axis."""

    first: Step
    convolution: Step
    last: Step
    block: tuple[int, int]
    sides: tuple[tuple[int, int], tuple[int, int]]
    kernel: tuple[int, int]

    def fused(self, known: dict[str, Known]) -> Iterator[Step]:
        """A padding, if there must be one, and the convolution under the name of its result."""
        source, padding = self.first.inputs[0], VALID
        reach = [d * (k - 1) for d, k in zip(self.block, self.kernel, strict=True)]
        if self.sides == tuple((total // 2, total - total // 2) for total in reach):
            padding = SAME
        elif any(map(any, self.sides)):
            name = f"{self.first.outputs[0]} paddings"
            known[name] = np.array([(0, 0), *self.sides, (0, 0)], np.int32)
            source = self.first.outputs[0]
            yield Step("PAD", self.first.name, (self.first.inputs[0], name), (source,), {})
        attributes = {
            **self.convolution.attributes,
            "padding": padding,
            "dilationHFactor": self.block[0],
            "dilationWFactor": self.block[1],
        }
        inputs = (source, *self.convolution.inputs[1:])
        yield replace(self.convolution, inputs=inputs, outputs=self.last.outputs, attributes=attributes)


class _Search:
    def __init__(self, graph: Graph) -> None:
        self.known, self.outputs = graph.known, graph.outputs
        self.readers: dict[str, list[Step]] = {}
        for step in graph.steps:
            for name in dict.fromkeys(step.inputs):
                if name is not None:
                    self.readers.setdefault(name, []).append(step)

    def chain(self, first: Step) -> _Chain | None:
        """The chain that a step begins."""
        if first.op != "SPACE_TO_BATCH_ND" or len(first.inputs) != 3:
            return None
        convolution = self._sole_reader(first)
        if convolution is None or not _is_plain(convolution) or convolution.inputs[0] != first.outputs[0]:
            return None
        last = self._sole_reader(convolution)
        if last is None or last.op != "BATCH_TO_SPACE_ND" or len(last.inputs) != 3 or len(last.outputs) != 1:
            return None
        block, pads = self._numbers(first, 1, (2,)), self._numbers(first, 2, (2, 2))
        same, crops = self._numbers(last, 1, (2,)), self._numbers(last, 2, (2, 2))
        weight = self.known.get(convolution.inputs[1] or "")
        if (
            block is None
            or pads is None
            or same is None
            or crops is None
            or weight is None
            or weight.ndim != 4
        ):
            return None
        if (
            (block != same).any()
            or block.min() < 1
            or min(pads.min(), crops.min()) < 0
            or (crops > pads).any()
        ):
            return None
        (top, bottom), (left, right) = (pads - crops).tolist()
        return _Chain(
            first,
            convolution,
            last,
            (int(block[0]), int(block[1])),
            ((top, bottom), (left, right)),
            (weight.shape[1], weight.shape[2]),
        )

    def _sole_reader(self, step: Step) -> Step | None:
        if len(step.outputs) != 1 or step.outputs[0] in self.outputs:
            return None
        found = self.readers.get(step.outputs[0], [])
        return found[0] if len(found) == 1 else None

    def _numbers(self, step: Step, place: int, shape: tuple[int, ...]) -> Known | None:
        value = self.known.get(step.inputs[place] or "")
        return value if value is not None and value.shape == shape and value.dtype.kind == "i" else None


def _is_plain(step: Step) -> bool:
    """A convolution without padding, strides and a dilation of its own."""
    names = ("strideH", "strideW", "dilationHFactor", "dilationWFactor")
    return (
        step.op in CONVOLUTIONS
        and len(step.inputs) > 1
        and int(step.attributes.get("padding", SAME)) == VALID
        and all(int(step.attributes.get(name, 1)) == 1 for name in names)
    )
