"""What a file keeps from run to run, as inputs and outputs of one run.

TFLite files have two means: variables, read and written by ``READ_VARIABLE`` and ``ASSIGN_VARIABLE``
(streaming networks), and tensors that a kernel writes into (SVDF, fused recurrent layers).  Either becomes
a state of the program: an input, and an output with its next value.  A fused recurrent layer over more than
one step is a layer over a whole sequence and starts from zeros.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pocketpress.core.errors import SourceError
from pocketpress.sources.tflite.read import KEPT, FileGraph, FileOperator, FileState, FileTensor

STATES = {"SVDF": (4,), "UNIDIRECTIONAL_SEQUENCE_LSTM": (18, 19), "UNIDIRECTIONAL_SEQUENCE_RNN": (4,)}
"""Inputs that an operator keeps its state in."""
SEQUENCES = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN")
NEXT = "_next"
"""Ends the name of the output that gives a state's next value."""


def with_states(file: FileGraph) -> FileGraph:
    """The same network without variables, its states among the inputs and outputs.

    Raises:
        SourceError: a variable is used that the file does not declare.
    """
    return _kernels(_variables(file))


@dataclass
class _Variable:
    """While operators are walked.

    Attributes:
        first: tensor of its value before the run; -1 while nobody has read that.
        now: tensor of its value; -1 before the first reading or writing.
    """

    first: int = -1
    now: int = -1


@dataclass
class _Walk:
    file: FileGraph
    variables: dict[str, _Variable] = field(default_factory=dict)
    handles: dict[int, str] = field(default_factory=dict)
    same: dict[int, int] = field(default_factory=dict)

    def operators(self) -> Iterator[FileOperator]:
        """Those that compute, reading what the variables hold at that time."""
        for operator in self.file.operators:
            if operator.op == "VAR_HANDLE":
                name = str(operator.attributes.get("sharedName") or "variable")
                self.handles[operator.outputs[0]] = name
                self.variables.setdefault(name, _Variable())
            elif operator.op == "READ_VARIABLE":
                self._read(self._variable(operator), operator.outputs[0])
            elif operator.op == "ASSIGN_VARIABLE":
                written = operator.inputs[1]
                self._variable(operator).now = self.same.get(written, written)
            elif operator.op != "CALL_ONCE":
                yield replace(operator, inputs=tuple(self.same.get(i, i) for i in operator.inputs))

    def _read(self, variable: _Variable, made: int) -> None:
        if variable.now < 0:
            variable.first = variable.now = made
        self.same[made] = variable.now

    def _variable(self, operator: FileOperator) -> _Variable:
        handle = operator.inputs[0]
        if handle not in self.handles:
            raise SourceError("the file uses a variable that it does not declare", got=operator.op)
        return self.variables[self.handles[handle]]


def _variables(file: FileGraph) -> FileGraph:
    walk = _Walk(file)
    operators, more = list(walk.operators()), _More(file)
    for name, variable in walk.variables.items():
        initial = file.initial.get(name)
        if variable.first < 0:
            continue  # written before it is read: nothing comes from the run before
        if variable.first == variable.now:
            more.tensors[variable.first] = _constant(more.tensors[variable.first], initial)
            continue
        made = more.state(name, variable.first, more.tensors[variable.now], initial)
        operators.append(FileOperator("QUANTIZE", (variable.now,), (made,), {}))  # gives it a name of its own
    more.outputs = [(name, walk.same.get(index, index)) for name, index in more.outputs]
    return more.graph(operators)


def _constant(tensor: FileTensor, initial: FileTensor | None) -> FileTensor:
    """A variable that nothing writes holds what it started from."""
    if initial is None:
        raise SourceError("the file reads a variable that nothing writes", got=tensor.name)
    return replace(tensor, data=initial.data)


def _kernels(file: FileGraph) -> FileGraph:
    """States that kernels write into: the operator gets an output for each."""
    operators, more = [], _More(file)
    readers = Counter(index for operator in file.operators for index in operator.inputs)
    for operator in file.operators:
        kept = [
            operator.inputs[place] for place in STATES.get(operator.op, ()) if place < len(operator.inputs)
        ]
        kept = [index for index in kept if index >= 0 and file.tensors[index].refusal == KEPT]
        if kept and _is_step(operator, file) and all(readers[index] == 1 for index in kept):
            made = []
            for index in kept:
                more.tensors[index] = tensor = replace(file.tensors[index], refusal="", data=None)
                made.append(more.state(tensor.name or f"state_{index}", index, tensor))
            operator = replace(operator, outputs=(*operator.outputs, *made))
        operators.append(operator)
    return more.graph(operators)


class _More:
    """A graph that gets states."""

    def __init__(self, file: FileGraph) -> None:
        self.file = file
        self.tensors, self.states = list(file.tensors), list(file.states)
        self.inputs, self.outputs = list(file.inputs), list(file.outputs)

    def state(self, name: str, taken: int, given: FileTensor, initial: FileTensor | None = None) -> int:
        """Make ``taken`` an input, and an output like ``given``, whose index is returned."""
        made = len(self.tensors)
        self.tensors.append(replace(given, name=f"{name}{NEXT}", data=None))
        self.inputs.append((name, taken))
        self.outputs.append((f"{name}{NEXT}", made))
        self.states.append(FileState(taken, made, initial))
        return made

    def graph(self, operators: Sequence[FileOperator]) -> FileGraph:
        return replace(
            self.file,
            tensors=tuple(self.tensors),
            operators=tuple(operators),
            inputs=tuple(self.inputs),
            outputs=tuple(self.outputs),
            states=tuple(self.states),
        )


def _is_step(operator: FileOperator, file: FileGraph) -> bool:
    """Whether a run is one step of a sequence, which says nothing without the steps before."""
    if operator.op not in SEQUENCES:
        return True
    shape = file.tensors[operator.inputs[0]].shape
    axis = 0 if operator.attributes.get("timeMajor") else 1
    return len(shape) == 3 and shape[axis] == 1
