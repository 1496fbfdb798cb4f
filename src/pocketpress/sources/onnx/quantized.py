"""Quantised graphs as float ones: clipping stays, rounding goes.

In the QDQ form an activation passes ``QuantizeLinear`` and ``DequantizeLinear`` (ONNX operator
specification).  Together they clip to the range of the integers and round to their grid; quantisers drop a
ReLU whose clipping that range does.  Here the clipping is kept and the rounding is left to the press, which
finds its own scales.  Between the two, operators that only move or choose integers see real values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import Graph, Step

MOVING = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "Slice", "Gather"}
    | {"Split", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Resize", "Pad", "Concat"}
)
"""Operators whose outputs are integers of their inputs, whatever these stand for, or means of them."""
NOTE = (
    "clipped to the range of the file's integers and not rounded; pressed integers have scales of their own"
)


@dataclass(frozen=True)
class _Grid:
    """Integers of one tensor.

    Attributes:
        scale: of a step.
        zero: integer of 0.0.
        lowest: integer there is.
        highest: integer there is.
    """

    scale: float
    zero: int
    lowest: int
    highest: int

    @property
    def ends(self) -> tuple[float, float]:
        """Real values that the integers hold."""
        return self.scale * (self.lowest - self.zero), self.scale * (self.highest - self.zero)


@dataclass
class _Rewriting:
    known: dict[str, Known]
    grids: dict[str, _Grid] = field(default_factory=dict)

    def steps(self, steps: Sequence[Step]) -> Iterator[Step]:
        for step in steps:
            grid = self.grids.get(step.inputs[0] or "") if step.inputs else None
            if step.op == "QuantizeLinear":
                yield self._clipped(step)
            elif step.op == "DequantizeLinear" and grid is not None:
                yield self._passed(step, grid)
            else:
                yield self._moved(step, grid)

    def _clipped(self, step: Step) -> Step:
        grid = self._grid(step)
        self.grids[step.outputs[0]] = grid
        ends = []
        for end, value in zip(("low", "high"), grid.ends, strict=True):
            name = f"{step.outputs[0]} {end}"
            self.known[name] = np.asarray(value, np.float32)
            ends.append(name)
        return replace(step, op="Clip", inputs=(step.inputs[0], *ends), attributes={})

    def _passed(self, step: Step, grid: _Grid) -> Step:
        own = self._grid(step)
        if own != grid:
            raise UnsupportedError(
                f"node {step.name} reads integers of another grid",
                got=f"scale {own.scale:g}, zero point {own.zero}",
                allowed=f"scale {grid.scale:g}, zero point {grid.zero}",
            )
        return replace(step, op="Identity", inputs=step.inputs[:1], attributes={})

    def _moved(self, step: Step, grid: _Grid | None) -> Step:
        """The step itself, after a check; of a padding with integers, one with the real value."""
        integers = {name for name in step.inputs if name in self.grids}
        if not integers:
            return step
        alike = grid is not None and all(self.grids[name] == grid for name in integers)
        if (
            not alike
            or step.op not in MOVING
            or (step.op == "Concat" and len(integers) < len({*step.inputs}))
        ):
            raise UnsupportedError(
                f"node {step.name} computes with quantised integers",
                got=step.op,
                allowed=["DequantizeLinear", *sorted(MOVING)],
                next_step="export in the QDQ form, or the float network",
            )
        assert grid is not None
        self.grids |= dict.fromkeys(step.outputs, grid)
        return self._with_real_padding(step, grid) if step.op == "Pad" else step

    def _with_real_padding(self, step: Step, grid: _Grid) -> Step:
        """The integer 0 where the file says nothing, as the runtimes have it."""
        given = step.inputs[2] if len(step.inputs) > 2 else None
        value = 0.0 if given is None else float(self._constant(step, 2).reshape(-1)[0])
        name = f"{step.outputs[0]} value"
        self.known[name] = np.asarray(grid.scale * (value - grid.zero), np.float32)
        rest = step.inputs[3:]
        pads = step.inputs[1] if len(step.inputs) > 1 else None
        return replace(step, inputs=(step.inputs[0], pads, name, *rest))

    def _grid(self, step: Step) -> _Grid:
        """Of a step that quantises or dequantises an activation."""
        scale = self._constant(step, 1)
        zero = self._constant(step, 2) if len(step.inputs) > 2 and step.inputs[2] else np.zeros(1, np.uint8)
        if scale.size != 1 or zero.size != 1:
            raise UnsupportedError(
                f"node {step.name} quantises an activation channel by channel", got=f"{scale.size} scales"
            )
        if zero.dtype.kind not in "iu" or zero.dtype.itemsize > 2:
            raise UnsupportedError(
                f"node {step.name} quantises an activation", got=str(zero.dtype), allowed="8 or 16 bits"
            )
        limits = np.iinfo(zero.dtype)
        return _Grid(float(scale.reshape(-1)[0]), int(zero.reshape(-1)[0]), int(limits.min), int(limits.max))

    def _constant(self, step: Step, index: int) -> Known:
        name = step.inputs[index] if index < len(step.inputs) else None
        if name is None or name not in self.known:
            raise UnsupportedError(f"node {step.name}: a scale that depends on the network's inputs")
        return self.known[name]


def without_rounding(graph: Graph) -> Graph:
    """Turn a QDQ graph into the float graph that it stands for.

    Raises:
        UnsupportedError: integers are computed with, leave the network, or have unequal grids at both ends.
    """
    if all(step.op != "QuantizeLinear" for step in graph.steps):
        return graph
    rewriting = _Rewriting(dict(graph.known))
    steps = tuple(rewriting.steps(graph.steps))
    _check_outputs(graph.outputs, rewriting.grids)
    notes = tuple((step.name, NOTE) for step in graph.steps if step.op == "QuantizeLinear")
    return replace(graph, known=rewriting.known, steps=steps, notes=graph.notes + notes)


def _check_outputs(outputs: Collection[str], grids: Mapping[str, _Grid]) -> None:
    integers = [name for name in outputs if name in grids]
    if integers:
        raise UnsupportedError(
            "the network's outputs are quantised integers",
            got=integers,
            next_step="end it with DequantizeLinear; the press quantises outputs itself",
        )
