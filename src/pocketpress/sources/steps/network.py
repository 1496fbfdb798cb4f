"""Steps as a live torch network.

What does not depend on the inputs (weights, shapes computed from them) is evaluated once when the network
is made; what is left runs node by node.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.traceback import annotate

from pocketpress.core.errors import BlockedError, Blocker, PocketpressError, SourceError, UnsupportedError
from pocketpress.sources.named import ANNOTATION, with_parameters
from pocketpress.sources.steps import control
from pocketpress.sources.steps.budget import MAX_CONSTANT_WORK, MAX_WORK, Budget
from pocketpress.sources.steps.call import Call, Known, Operator, Result
from pocketpress.sources.steps.graph import LIKE_OPS, SHAPE_OPS, Graph, Step, unsupported

MAX_KNOWN_ELEMENTS = 1 << 26
"""A constant that is computed is not larger: a few bytes of a file may ask for any number."""
KNOWN_RATIO, FREE_KNOWN_ELEMENTS = 4, 1 << 28
"""All of them together are not more than so many times the file's own, beside the second."""
MAX_UNROLLED = 1 << 15
"""Steps that branches and repetitions become."""
MAX_REPEATED_ELEMENTS = 1 << 28
"""Of all weights, as often as steps read them: a gigabyte of float32."""
MAX_LIVE_ELEMENTS = 1 << 30
"""Of all activations that exist at a time."""


FAILURES = (RuntimeError, ValueError, IndexError, KeyError, TypeError, AssertionError, ArithmeticError)
"""What a malformed step may raise."""


class _TooMany(UnsupportedError):
    """Of which no more are looked at."""


class StepNetwork(nn.Module):
    """A graph; its ``forward`` takes the inputs in order and returns outputs by name.

    Args:
        graph: parsed; its known arrays are added to.
        examples: inputs in order, which fix all shapes.
        operators: what runs a step, by the name of its operator.

    Raises:
        BlockedError: operators are used in a form that is not supported; all of them.
        UnsupportedError: it needs too much memory.
        SourceError: the graph is malformed.
    """

    def __init__(self, graph: Graph, examples: Sequence[Tensor], operators: Mapping[str, Operator]) -> None:
        super().__init__()
        self.graph, self.operators = graph, {**operators, **control.OPERATORS}
        self.known: dict[str, Known] = graph.known
        self.keys: dict[str, str] = {}
        self.steps: list[Step] = []
        self.unrolled = self.repeated = 0
        self._resolve({i.name: e for i, e in zip(graph.inputs, examples, strict=True)})
        self._keep_constants()
        self.forward = with_parameters(self.run, [i.name for i in graph.inputs])

    def run(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Run the graph; the same as ``forward``, whose parameters have the names of the inputs."""
        values = {given.name: value for given, value in zip(self.graph.inputs, inputs, strict=True)}
        for step, done in zip(self.steps, last_reads(self.steps, self.graph.outputs), strict=True):
            values.update(self._run(step, values))
            _drop(values, done)
        return {name: self._value(name, values) for name in self.graph.outputs}

    @torch.no_grad()
    def _resolve(self, values: dict[str, Tensor]) -> None:
        """Run once; keep as known what does not depend on the inputs, and as steps what does."""
        blockers: list[Blocker] = []
        constants = Budget("what does not depend on the inputs", MAX_CONSTANT_WORK)
        network = Budget("one run of the network", MAX_WORK)
        free = FREE_KNOWN_ELEMENTS + KNOWN_RATIO * sum(v.size for v in self.known.values())
        lost: set[str] = set()  # what unsupported steps would have made
        steps = self.graph.steps
        waiting = list(zip(steps, last_reads(steps, self.graph.outputs), strict=True))[::-1]
        while waiting:
            step, done = waiting.pop()
            self._check_made(step, values, lost)
            if step.branches and not lost.intersection(self._needed(step)):
                try:
                    around = control.Around(self.known, lambda name: self._value(name, values).shape)
                    waiting += self._queued(step, done, control.expanded(step, around))[::-1]
                except _TooMany:
                    raise
                except FAILURES as error:
                    raise _failed(step, error) from error
                except UnsupportedError as error:
                    missing = unsupported(step, error)
                    blockers += [] if missing in blockers else [missing]
                    lost.update(step.outputs)
                continue
            blocker = None if step.branches or step.op in self.operators else unsupported(step)
            if blocker is None and lost.intersection(n for n in step.inputs if n is not None):
                lost.update(step.outputs)
                continue
            read = step.inputs[:1] if step.op in LIKE_OPS else step.inputs
            is_live = any(n is not None and n not in self.known for n in read)
            found: dict[str, Tensor] = {}
            try:
                if blocker is None:
                    with network if is_live else constants:
                        found = self._run(step, values)
            except UnsupportedError as error:
                blocker = unsupported(step, error)
            if blocker is not None:
                blockers += [] if blocker in blockers else [blocker]  # repetitions lack what the first does
                lost.update(step.outputs)
                continue
            if step.op not in SHAPE_OPS and is_live:
                values.update(found)
                self.steps.append(step)
                _check_memory(step, values)
                self._check_repeated(step)
                _drop(values, done)
                continue
            for name, value in found.items():
                free -= value.numel()
                self.known[name] = _kept(step, value, free)
        if blockers:
            raise BlockedError(blockers)

    def _check_repeated(self, step: Step) -> None:
        """Weights that repetitions read are in the artifact as often as they are read."""
        self.repeated += sum(self.known[name].size for name in step.inputs if name in self.known)
        if self.unrolled and self.repeated > MAX_REPEATED_ELEMENTS:
            raise _TooMany(
                f"node {step.name}: the repetitions read too many weights, which are stored for each",
                allowed=f"{MAX_REPEATED_ELEMENTS} numbers",
            )

    def _check_made(self, step: Step, values: Mapping[str, Tensor], lost: Container[str]) -> None:
        read = [n for n in step.inputs if n is not None and n not in lost]
        unread = [n for n in read if n not in values and n not in self.known]
        if unread:
            raise SourceError(f"node {step.name} reads what nothing makes", got=unread)

    def _needed(self, step: Step) -> set[str]:
        """What must not be lost for a step with branches to be expanded: all but what they only read."""
        listed = step.inputs if step.op == "Scan" else step.inputs[: 1 if step.op == "If" else 2]
        return {name for name in listed if name is not None}

    def _queued(
        self, step: Step, done: Sequence[str], found: control.Expansion
    ) -> list[tuple[Step, list[str]]]:
        """What a step with branches stands for, each with what nobody reads after it."""
        self.unrolled += len(found.steps)
        if self.unrolled > MAX_UNROLLED:
            raise _TooMany(
                f"node {step.name}: the repetitions of all loops are too many nodes",
                allowed=MAX_UNROLLED,
            )
        self.known.update(found.known)
        if found.note:
            self.graph = replace(self.graph, notes=(*self.graph.notes, (step.name, found.note)))
        own = {name for new in found.steps for name in new.outputs}
        read = {name for new in found.steps for name in new.inputs if name is not None}
        kept = [name for name in {*(read - own), *step.outputs} if name not in done]
        reads = last_reads(found.steps, kept)
        if reads:
            reads[-1] += [name for name in done if name not in read]
        return list(zip(found.steps, reads, strict=True))

    def _run(self, step: Step, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        call = Call(
            step.op,
            step.name,
            [None if name is None else self._value(name, values) for name in step.inputs],
            {i: self.known[name] for i, name in enumerate(step.inputs) if name in self.known},
            step.attributes,
            len(step.outputs),
        )
        try:
            with annotate({ANNOTATION: f"{step.name} ({step.op})"}):
                found: Result = self.operators[step.op](call)
        except PocketpressError:
            raise
        except FAILURES as error:
            raise _failed(step, error) from error
        listed = [found] if isinstance(found, Tensor) else list(found)
        return {name: value for name, value in zip(step.outputs, listed, strict=False) if name}

    def _value(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        if name in values:
            return values[name]
        if name in self.keys:
            value: Tensor = getattr(self, self.keys[name])
            return value
        if name not in self.known:
            raise SourceError("the graph has an output that nothing makes", got=name)
        return torch.from_numpy(np.array(self.known[name], order="C"))

    def _keep_constants(self) -> None:
        """Known tensors that steps read: float ones are parameters, others buffers."""
        read = [name for step in self.steps for name in step.inputs if name is not None]
        for name in dict.fromkeys([*read, *self.graph.outputs]):
            if name not in self.known:
                continue
            key = f"constant_{len(self.keys)}"
            value = torch.from_numpy(np.array(self.known[name], order="C"))
            if value.is_floating_point():
                self.register_parameter(key, nn.Parameter(value, requires_grad=False))
            else:
                self.register_buffer(key, value)
            self.keys[name] = key


def _failed(step: Step, error: Exception) -> SourceError:
    line = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return SourceError(f"node {step.name}: {step.op} fails", got=line)


def last_reads(steps: Sequence[Step], outputs: Sequence[str]) -> list[list[str]]:
    """Names that nobody reads after each step: what it makes for nobody, and what it reads last."""
    found, later = [], set(outputs)
    for step in reversed(steps):
        named = dict.fromkeys(n for n in (*step.inputs, *step.outputs) if n)
        found.append([name for name in named if name not in later])
        later |= set(named)
    return found[::-1]


def _drop(values: dict[str, Tensor], names: Sequence[str]) -> None:
    for name in names:
        values.pop(name, None)


def _check_memory(step: Step, values: Mapping[str, Tensor]) -> None:
    held = sum(value.numel() for value in values.values())
    if held > MAX_LIVE_ELEMENTS:
        raise UnsupportedError(
            f"node {step.name}: the network needs too much memory",
            got=f"{held} numbers at a time",
            allowed=MAX_LIVE_ELEMENTS,
        )


def _kept(step: Step, value: Tensor, free: int) -> Known:
    if free < 0:
        raise UnsupportedError(f"node {step.name}: all constants that are computed are too large together")
    if value.numel() > MAX_KNOWN_ELEMENTS:
        raise UnsupportedError(
            f"node {step.name} makes too large a constant",
            got=value.numel(),
            allowed=f"{MAX_KNOWN_ELEMENTS} elements",
        )
    found: Known = value.contiguous().numpy()
    return found
