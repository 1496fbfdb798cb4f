"""The Gaussian error linear unit as it is written before operator set 20: x * (1 + erf(x / sqrt 2)) / 2."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pocketpress.sources.steps.graph import Graph, Step

_CLOSE = 1e-3


def with_gelu(graph: Graph) -> Graph:
    """Replace each such chain by a Gelu; a part of it that something else reads keeps the chain as it is."""
    search = _Search(graph)
    gone: set[str] = set()
    last: dict[str, Step] = {}
    for step in graph.steps:
        chain = search.chain(step) if step.op == "Erf" else None
        if chain is not None:
            x, parts = chain
            gone |= {part.outputs[0] for part in parts[:-1]}
            last[parts[-1].outputs[0]] = replace(
                parts[-1], op="Gelu", inputs=(x,), attributes={"approximate": "none"}
            )
    steps = (last.get(step.outputs[0], step) for step in graph.steps if step.outputs[0] not in gone)
    return replace(graph, steps=tuple(steps))


class _Search:
    def __init__(self, graph: Graph) -> None:
        self.known, self.outputs = graph.known, graph.outputs
        self.makers = {name: step for step in graph.steps for name in step.outputs}
        self.readers: dict[str, list[Step]] = {}
        for step in graph.steps:
            for name in dict.fromkeys(step.inputs):
                if name is not None:
                    self.readers.setdefault(name, []).append(step)

    def chain(self, erf: Step) -> tuple[str, list[Step]] | None:
        """The name of x, and the steps in order, the last of which writes the result."""
        scaled = self.makers.get(erf.inputs[0] or "")
        x = None if scaled is None else self._times(scaled, math.sqrt(0.5))
        plus = self._sole_reader(erf)
        if scaled is None or x is None or plus is None or plus.op != "Add" or self._other(plus, erf) is None:
            return None
        first = self._sole_reader(plus)
        if not self._is_number(self._other(plus, erf), 1.0) or first is None or first.op != "Mul":
            return None
        own = [scaled] if self._sole_reader(scaled) is erf else []
        return self._ended(x, [*own, erf, plus], first)

    def _ended(self, x: str, parts: list[Step], first: Step) -> tuple[str, list[Step]] | None:
        """(x * s) * 0.5, (s * 0.5) * x or (x * 0.5) * s, where s is what the last of ``parts`` makes."""
        other = self._other(first, parts[-1])
        half = self.makers.get(other or "")
        if half is not None and self._times(half, 0.5) == x:
            own = [half] if self._sole_reader(half) is first else []
            return x, [*own, *parts, first]
        second = self._sole_reader(first)
        if second is None or (other != x and not self._is_number(other, 0.5)):
            return None
        rest = self._times(second, 0.5) == first.outputs[0]
        if other != x:
            rest = second.op == "Mul" and self._other(second, first) == x
        return (x, [*parts, first, second]) if rest else None

    def _sole_reader(self, step: Step) -> Step | None:
        name = step.outputs[0]
        found = self.readers.get(name, [])
        return found[0] if len(found) == 1 and name not in self.outputs else None

    @staticmethod
    def _other(step: Step, maker: Step) -> str | None:
        left = [name for name in step.inputs if name != maker.outputs[0]]
        return left[0] if len(left) == 1 else None

    def _times(self, step: Step, factor: float) -> str | None:
        """What a step multiplies by ``factor``, or divides by its inverse."""
        if step.op not in ("Mul", "Div") or len(step.inputs) != 2:
            return None
        first, second = step.inputs
        if self._is_number(second, factor if step.op == "Mul" else 1 / factor):
            return first
        return second if step.op == "Mul" and self._is_number(first, factor) else None

    def _is_number(self, name: str | None, wanted: float) -> bool:
        value = self.known.get(name or "")
        return value is not None and value.size == 1 and abs(float(np.ravel(value)[0]) - wanted) < _CLOSE
