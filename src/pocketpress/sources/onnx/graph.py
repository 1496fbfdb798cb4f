"""A read model as plain data: steps, known arrays, inputs and outputs."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.onnx.integers import EXPANDED
from pocketpress.sources.onnx.older import modernized
from pocketpress.sources.onnx.operators.table import OPERATORS
from pocketpress.sources.onnx.read import DOMAINS, NEWEST, operator_set
from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import BATCHED, Branch, Graph, Input, Step, check_supported

if TYPE_CHECKING:
    import onnx_ir

REWRITTEN = ("QuantizeLinear", *EXPANDED)
"""Supported without a function: `pocketpress.sources.onnx.quantized` and ``integers`` take them out."""
BRANCHES = {"If": ("else_branch", "then_branch"), "Loop": ("body",), "Scan": ("body",)}
"""Attributes that are graphs, of the operators that have them."""
SCANS_WITHOUT_BATCH = 9
"""Operator set that took the batch away from Scan."""
SCALARS = ("value_float", "value_int", "value_floats", "value_ints")


def parse(model: onnx_ir.Model) -> Graph:
    """Take a model apart.

    Raises:
        UnsupportedError: operators that are not supported, all at once.
    """
    graph, version = model.graph, operator_set(model) or NEWEST
    scope: ChainMap[str, str] = ChainMap()
    known, steps = _Reading(version, scope).contents(graph)
    inputs = tuple(_input(v) for v in graph.inputs if v.name not in known)
    check_supported(steps, {*OPERATORS, *REWRITTEN}, [given.name for given in inputs])
    outputs = tuple(str(v.name) for v in graph.outputs)
    return Graph(inputs, outputs, known, tuple(steps), format=_format(model, version))


@dataclass(frozen=True)
class _Reading:
    """One graph, or one branch within it.

    Attributes:
        version: of the operator set.
        scope: what names of the file are called here; those of branches are given their place, since two
            branches may use the same.
        place: of the branch, or "".
    """

    version: int
    scope: ChainMap[str, str]
    place: str = ""

    def contents(self, graph: onnx_ir.Graph) -> tuple[dict[str, Known], list[Step]]:
        """Constants by name, and steps."""
        known = {self._name(n): _array(v.const_value) for n, v in graph.initializers.items()}
        steps: list[Step] = []
        for position, node in enumerate(graph):
            step = self._step(node, node.name or f"{self.place}{node.op_type}_{position}")
            if step.op == "Constant":
                known[step.outputs[0]] = _constant(step)
            else:
                steps.append(step)
        return known, without_nan_guards(modernized(steps, known, self.version), known)

    def _step(self, node: onnx_ir.Node, name: str) -> Step:
        domain = "" if node.domain in DOMAINS else f"{node.domain}."
        step = Step(
            f"{domain}{node.op_type}",
            name,
            tuple(None if v is None or not v.name else self._name(v.name) for v in node.inputs),
            tuple(self._name(v.name) if v.name else "" for v in node.outputs),
            {key: _attribute(a) for key, a in node.attributes.items() if a.type.name != "GRAPH"},
        )
        return self._with_branches(step, node) if step.op in BRANCHES else step

    def _with_branches(self, step: Step, node: onnx_ir.Node) -> Step:
        """Beside its own inputs it reads what its branches read from around it."""
        if step.op == "If" and (not step.inputs or step.inputs[0] is None):
            raise UnsupportedError(f"node {step.name}: If lacks its condition")
        step = _with_counts(step, self.version)
        branches = []
        for key in BRANCHES[step.op]:
            attribute = node.attributes.get(key)
            if attribute is None or attribute.type.name != "GRAPH":
                raise UnsupportedError(f"node {step.name}: {step.op} lacks its {key}")
            own = next((name for name in step.outputs if name), step.name)  # no other step has it
            branches.append(self._branch(attribute.value, f"{own}/{key}/"))
        read = dict.fromkeys(name for branch in branches for name in branch.reads)
        results = max(len(branch.outputs) for branch in branches) - (step.op == "Loop")
        unread = [""] * (results - len(step.outputs)) if step.op != "If" else []
        return replace(
            step,
            inputs=(*step.inputs, *read),
            outputs=(*step.outputs, *unread),
            branches=tuple(branches),
        )

    def _branch(self, graph: onnx_ir.Graph, place: str) -> Branch:
        given = [str(v.name) for v in graph.inputs if v.name not in graph.initializers]
        made = [*given, *graph.initializers, *(v.name for node in graph for v in node.outputs if v.name)]
        scope = self.scope.new_child({str(name): f"{place}{name}" for name in made})
        inner = replace(self, scope=scope, place=place)
        known, steps = inner.contents(graph)
        outputs = tuple(inner._name(v.name) for v in graph.outputs)
        return Branch(outputs, known, tuple(steps), tuple(map(inner._name, given)))

    def _name(self, name: object) -> str:
        return self.scope.get(str(name), str(name))


def _with_counts(step: Step, version: int) -> Step:
    """Repetitions, with how many inputs are their own: names that the body reads come behind them."""
    if step.op == "If":
        return step
    if step.op == "Loop":
        padded = (*step.inputs, *[None] * (2 - len(step.inputs)))
        counts = {"carried": len(padded) - 2, "turn": 0}
        return replace(step, inputs=padded, attributes={**step.attributes, **counts})
    counts = {"own_inputs": len(step.inputs), BATCHED: version < SCANS_WITHOUT_BATCH}
    return replace(step, attributes={**step.attributes, **counts})


def _format(model: onnx_ir.Model, version: int) -> str:
    """What ``inspect`` says of the file, its writer included."""
    writer = f"{model.producer_name or ''} {model.producer_version or ''}".split()
    shown = "".join(c for c in " ".join(writer) if c.isprintable())[:60]
    return f"ONNX, operator set {version}" + (f", written by {shown}" if shown else "")


def without_nan_guards(steps: list[Step], known: Mapping[str, Known]) -> list[Step]:
    """Drop ``Where(IsNaN(p), c, p)`` of a softmax p that is never NaN here.

    Exporters add it for masks of minus infinity.  Where the softmax reads a product, or a sum or quotient of
    it with finite constants or with a mask, it is NaN only if the network's own numbers are.
    """
    makers = {output: step for step in steps for output in step.outputs}
    readers = Counter(name for step in steps for name in step.inputs if name is not None)
    found: list[Step] = []
    for step in steps:
        guard = makers.get(step.inputs[0] or "") if step.op == "Where" else None
        if guard is None or guard.op != "IsNaN" or guard.inputs[0] != step.inputs[2]:
            found.append(step)
            continue
        softmax = makers.get(step.inputs[2] or "")
        if softmax is None or softmax.op != "Softmax" or not _stays_finite(softmax.inputs[0], makers, known):
            found.append(step)
            continue
        found.append(replace(step, op="Identity", inputs=(step.inputs[2],)))
        readers[guard.outputs[0]] -= 1
    return [step for step in found if step.op != "IsNaN" or readers[step.outputs[0]]]


def _stays_finite(name: str | None, makers: Mapping[str, Step], known: Mapping[str, Known]) -> bool:
    if name is not None and name in known:
        return bool(np.isfinite(known[name]).all())
    step = makers.get(name or "")
    if step is None or step.op == "MatMul":
        return step is not None
    if step.op == "Where" and all(n in known for n in step.inputs[1:]):
        return True  # a mask of numbers: it is translated to finite ones, or refused
    return step.op in ("Add", "Sub", "Mul", "Div") and all(
        _stays_finite(n, makers, known) for n in step.inputs if n is not None
    )


def _attribute(attribute: onnx_ir.Attr) -> Any:
    kind = attribute.type.name
    if kind == "TENSOR":
        return _array(attribute.value)
    if kind in ("INTS", "FLOATS", "STRINGS"):
        return list(attribute.value)
    return attribute.value


def _array(tensor: Any) -> Known:
    return np.array(tensor.numpy())


def _constant(step: Step) -> Known:
    if "value" in step.attributes:
        value: Known = step.attributes["value"]
        return value
    name = next((n for n in SCALARS if n in step.attributes), None)
    if name is None:
        raise UnsupportedError(
            f"constant {step.name} is of a kind that is not supported", got=sorted(step.attributes)
        )
    return np.array(step.attributes[name], np.float32 if "float" in name else np.int64)


def _input(value: onnx_ir.Value) -> Input:
    dtype = "unknown" if value.dtype is None else value.dtype.name.lower()
    if value.shape is None:
        return Input(str(value.name), dtype, None)
    sizes = (d if isinstance(d, int) and d != -1 else None for d in value.shape)  # some exporters write -1
    return Input(str(value.name), dtype, tuple(sizes))
