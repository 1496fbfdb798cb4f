"""A plan of scales that the network brings with it, instead of scales found by calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from pocketpress.compress.quantize.place import BINARY, PRODUCTS, Placement, without
from pocketpress.compress.quantize.plan import QuantizationPlan, activation_inputs
from pocketpress.compress.quantize.scales import FIXED_OUTPUTS
from pocketpress.compress.quantize.weights import LIMIT, channel_scales, quantize_weight
from pocketpress.core.errors import UnsupportedError
from pocketpress.core.given import GivenScales
from pocketpress.core.program import OPS, Node, Program, Quantization
from pocketpress.core.program.recurrent import RECURRENT
from pocketpress.core.target import Skipped

ANEW = (
    "weights that are not symmetric were quantised anew, one scale per output channel; the scales of its "
    "input and output are the file's"
)
NEXT_STEP = "leave --estimator file out: the network is then compressed anew"


def given_plan(program: Program, placement: Placement, given: GivenScales) -> QuantizationPlan:
    """Decide everything as the file has it; what it does not say stays in float.

    Args:
        program: float, simplified; the weights are those of the file, made real.
        placement: which nodes may run in integers.
        given: the file's scales.

    Raises:
        UnsupportedError: a node reads another scale than its input has, a fixed scale differs, or no weight
            can be kept.
    """
    return _Given(program, placement, given).plan()


@dataclass
class _Given:
    program: Program
    placement: Placement
    given: GivenScales

    def plan(self) -> QuantizationPlan:
        """See `given_plan`."""
        self.grids: dict[str, Quantization] = {
            name: grid for name, grid in zip(self.program.inputs, self.given.inputs, strict=True) if grid
        }
        self.weights: dict[str, Quantization] = {}
        self.edges: dict[tuple[str, int], str] = {}
        self.anew: list[str] = []
        results = self._results()
        float_: dict[str, str] = {}
        for node in self.program.nodes:
            reason = self._take(node, node.name in results)
            if reason is not None:
                float_[node.name] = reason
        placement = without(self.program, self.placement, float_)
        for node in self.program.nodes:
            if node.name in placement.integer:
                self._check(node)
        if not self.weights:
            self._refuse()
        skipped = placement.left_in_float + tuple(Skipped(name, ANEW) for name in self.anew)
        return QuantizationPlan(placement.integer, self.grids, self.weights, self.edges, skipped)

    def _refuse(self) -> NoReturn:
        products = [node for node in self.program.nodes if node.op in (*PRODUCTS, *RECURRENT)]
        if any(node.name in self.placement.integer for node in products):
            raise UnsupportedError(
                "none of the file's weights can be kept",
                allowed="int8 weights without zero points, as converters write them since 2019",
                next_step=NEXT_STEP,
            )
        reasons = {skipped.name: skipped.reason for skipped in self.placement.left_in_float}
        why = [reasons.get(f"{node.op} {node.name}") for node in products]
        raise UnsupportedError(
            "no layer of the file computes in integers here, so there are no scales to keep",
            got=next(
                (f"{node.op}: {reason}" for node, reason in zip(products, why, strict=True) if reason), None
            ),
            next_step=NEXT_STEP,
        )

    def _results(self) -> set[str]:
        """Nodes that make what a node of the file makes, but for its order: their readers only move it."""
        readers = self.program.consumers()

        def behind(name: str) -> Iterator[Node]:
            """Who reads a tensor, in whatever order of axes: a change of order that we made is nobody's."""
            for reader in readers.get(name, []):
                if reader.source or OPS[reader.op].integer != "move":
                    yield reader
                else:
                    yield from behind(reader.outputs[0])

        found: set[str] = set()
        for node in reversed(self.program.nodes):
            own = [r for r in behind(node.outputs[0]) if r.source == node.source]
            if all(OPS[r.op].integer == "move" and r.name in found for r in own):
                found.add(node.name)
        return found

    def _take(self, node: Node, is_result: bool) -> str | None:
        """Write down the scales of a node; why it stays in float, when it does."""
        out = node.outputs[0]
        grid = self.given.results.get(node.source) if is_result else None
        if grid is None and OPS[node.op].integer == "move":
            grid = self.grids.get(node.inputs[0])
        if grid is None:
            return "the file has no scale of its result"
        self.grids[out] = grid
        if node.name not in self.placement.integer:
            return None
        if node.op in PRODUCTS:
            weight = self._weight(node)
            if weight is None:
                return "the file has no symmetric 8-bit weight for it"
            self.weights[node.name] = weight
        for name in activation_inputs(self.program, node):
            if name in self.program.constants:
                self._constant(node, name)
            if name not in self.grids and not self._is_quantized_by(node, name):
                return "the file has no scale of what it reads"
        return None

    def _is_quantized_by(self, node: Node, name: str) -> bool:
        """A product of a tensor that the file keeps real, and quantises for the product: by its scale."""
        operands = self.given.operands.get(node.source, ())
        if node.op not in PRODUCTS or name != node.inputs[0] or not operands or operands[0] is None:
            return False
        self.grids[name] = operands[0]
        return True

    def _weight(self, node: Node) -> Quantization | None:
        """The file's scales, if they give its integers back."""
        scales = self.given.weights.get(node.source)
        weight = self.program.constants[node.inputs[1]]
        axis = 1 if node.op == "conv_transpose2d" else 0
        channels = weight.shape[axis]
        if node.source in self.given.anew:
            self.anew.append(node.name)
            own = channel_scales(weight, axis, search=False)
            return Quantization.per_channel(tuple(float(scale) for scale in own), axis)
        if scales is None or len(scales) not in (1, channels):
            return None
        found = Quantization.per_channel(scales * channels if len(scales) == 1 else scales, axis)
        integers = quantize_weight(weight, found.scales(), axis, LIMIT)
        same = (integers * found.spread(weight.shape)).astype(np.float32) == weight
        return found if bool(same.all()) else None

    def _constant(self, node: Node, name: str) -> None:
        """A constant operand has the one scale of the node's operands that no activation explains."""
        others = [self.grids.get(n) for n in node.inputs if n not in self.program.constants]
        left = [grid for grid in self.given.operands.get(node.source, ()) if grid is not None]
        for grid in others:
            if grid in left:
                left.remove(grid)
        if node.op in BINARY and len(left) == 1:
            self.grids[name] = left[0]

    def _check(self, node: Node) -> None:
        out = self.grids[node.outputs[0]]
        fixed = FIXED_OUTPUTS.get(node.op)
        if fixed is not None and fixed != out:
            raise UnsupportedError(
                f"{node.source}: {node.op} has a scale of its own", got=out.scale[0], allowed=fixed.scale[0],
                next_step=NEXT_STEP,
            )  # fmt: skip
        allowed = [g for g in self.given.operands.get(node.source, ()) if g is not None]
        for index, name in enumerate(activation_inputs(self.program, node)):
            grid = self.grids[name]
            if OPS[node.op].integer == "move":
                if grid != out:
                    self.edges[(node.name, index)] = node.outputs[0]
            elif allowed and grid not in allowed:
                raise UnsupportedError(
                    f"{node.source}: it reads another scale than its input has", got=grid.scale[0],
                    allowed=[g.scale[0] for g in allowed], next_step=NEXT_STEP,
                )  # fmt: skip
