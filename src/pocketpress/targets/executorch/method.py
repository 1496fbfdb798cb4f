"""The method ``forward``: values in planned memory, and the instructions over them.

A loop is what the runtime's own exporter makes of one (``exir/emit/_emitter.py``): take a position of the
sequence, call the delegate, put its result in place, count, jump back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketpress.core.program.ir import TensorType
from pocketpress.targets.executorch.flatbuffer import Record
from pocketpress.targets.executorch.graph import Blob
from pocketpress.targets.executorch.kernels import Argument, KernelCall
from pocketpress.targets.executorch.stages import Layer

BACKEND = "XnnpackBackend"
ALIGNMENT = 64

_SCALAR_TYPES = {"uint8": 0, "int8": 1, "int32": 3, "int64": 4, "float16": 5, "float32": 6}
_DYNAMIC_BOUND = 1
"""Of the schema's ``TensorShapeDynamism``: the shape may shrink."""

_SELECT = ("aten::select_copy", "int_out")
_COPY = ("aten::copy_", "")
_PUT = ("executorch_prim::et_copy_index", "tensor")
_ADD = ("executorch_prim::add", "Scalar")
_EQUAL = ("executorch_prim::eq", "Scalar")
LOOP_OPERATORS = frozenset({_SELECT, _COPY, _PUT, _ADD, _EQUAL})


@dataclass(frozen=True)
class Loop:
    """A recurrent layer and the delegate of its step."""

    layer: Layer
    step: Blob


Stage = KernelCall | Blob | Loop


def kinds(stages: Sequence[KernelCall | Layer | object]) -> list[str]:
    """The instructions of stages, by kind; anything but kernel calls and layers is one delegate call."""
    found = []
    for stage in stages:
        if isinstance(stage, KernelCall):
            found.append("KernelCall")
        elif isinstance(stage, Layer):
            copies = ["KernelCall"] * len(stage.states)
            turn = ["KernelCall", "DelegateCall", "KernelCall", *copies, "KernelCall", "KernelCall"]
            found += ["MoveCall", *copies, *turn, "JumpFalseCall"]
        else:
            found.append("DelegateCall")
    return found


class Method:
    """The method under construction."""

    def __init__(self, types: Mapping[str, TensorType], constants: Sequence[str]) -> None:
        """Constants are numbered in the order given, from 1."""
        self._types, self._constants = types, {name: 1 + i for i, name in enumerate(constants)}
        self._values: list[Record] = []
        self._position: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._planned = 0
        self._operators: list[tuple[str, str]] = []
        self._instructions: list[Record] = []
        self._delegates = 0

    def value(self, name: str) -> int:
        """Index of a tensor: a constant, or planned memory of its own."""
        if name not in self._position:
            type_ = self._types[name]
            if name in self._constants:
                self._position[name] = self._append(_tensor(type_, buffer=self._constants[name]))
            else:
                self._offsets[name] = self._planned
                self._planned += _storage_bytes(type_)
                self._position[name] = self._append(_tensor(type_, offset=self._offsets[name]))
        return self._position[name]

    def number(self, value: Argument) -> int:
        """Index of a new value that is no tensor."""
        return self._append(_immediate(value))

    def _append(self, record: Record) -> int:
        self._values.append(record)
        return len(self._values) - 1

    def add(self, stage: Stage) -> None:
        """Append the instructions of a stage."""
        if isinstance(stage, KernelCall):
            arguments = [self.value(a) if isinstance(a, str) else self.number(a) for a in stage.arguments]
            self._kernel(stage.operator, *arguments, self.value(stage.out), self.value(stage.out))
        elif isinstance(stage, Loop):
            self._loop(stage)
        else:
            self._delegate(stage)

    def _instruct(self, kind: str, **fields: object) -> None:
        self._instructions.append({"instr_args": (kind, fields)})

    def _kernel(self, operator: tuple[str, str], *arguments: int) -> None:
        """Append a call; kernels with ``out`` want it twice: as an argument and as what is returned."""
        if operator not in self._operators:
            self._operators.append(operator)
        self._instruct("KernelCall", op_index=self._operators.index(operator), args=[*arguments])

    def _delegate(self, blob: Blob) -> None:
        arguments = [self.value(name) for name in (*blob.inputs, *blob.outputs)]
        self._instruct("DelegateCall", delegate_index=self._delegates, args=arguments)
        self._delegates += 1

    def _loop(self, loop: Loop) -> None:
        layer = loop.layer
        first, end, stride = (layer.steps - 1, -1, -1) if layer.reverse else (0, layer.steps, 1)
        place, done, axis, no = self.number(first), self.number(False), self.number(0), self.number(False)
        by, bound = self.number(stride), self.number(end)
        item = self.value(layer.item)
        self._instruct("MoveCall", move_from=self.number(first), move_to=place)
        for initial, before, _ in layer.states:
            self._copy(initial, before, no)
        start = len(self._instructions)
        self._kernel(_SELECT, self.value(layer.sequence), axis, place, item, item)
        self._delegate(loop.step)
        self._kernel(_PUT, self._resizable(layer.result), self.value(layer.shown), place)
        for _, before, after in layer.states:
            self._copy(after, before, no)
        self._kernel(_ADD, place, by, place)
        self._kernel(_EQUAL, place, bound, done)
        self._instruct("JumpFalseCall", cond_value_index=done, destination_instruction=start)

    def _copy(self, source: str, target: str, no: int) -> None:
        """``copy_(self, src, non_blocking)``, which returns ``self``."""
        out = self.value(target)
        self._kernel(_COPY, out, self.value(source), no, out)

    def _resizable(self, name: str) -> int:
        """A second value in the memory of a tensor: ``et_copy_index`` gives it the length written so far."""
        self.value(name)
        record = _tensor(self._types[name], offset=self._offsets[name])
        record["val"][1]["shape_dynamism"] = _DYNAMIC_BOUND
        return self._append(record)

    def plan(self, inputs: Sequence[str], outputs: Sequence[str]) -> Record:
        """The execution plan; delegate ``i`` is in segment ``i + 1``."""
        given, got = [self.value(n) for n in inputs], [self.value(n) for n in outputs]
        delegates = [
            {"id": BACKEND, "processed": {"location": 1, "index": 1 + i}, "compile_specs": []}
            for i in range(self._delegates)
        ]
        return {
            **plan("forward", self._values, given, got, self._planned),
            "operators": [{"name": name, "overload": overload} for name, overload in self._operators],
            "chains": [{"inputs": [], "outputs": [], "instructions": self._instructions}],
            "delegates": delegates,
        }


def constant_method(name: str, text: str) -> Record:
    """A method that returns a text."""
    values = [{"val": ("String", {"string_val": text})}]
    chain: Record = {"inputs": [], "outputs": [], "instructions": []}
    return {**plan(name, values, [], [0], 0), "chains": [chain], "delegates": []}


def plan(name: str, values: list[Record], inputs: list[int], outputs: list[int], planned: int) -> Record:
    """What every execution plan has."""
    return {
        "name": name,
        "container_meta_type": {"encoded_inp_str": "", "encoded_out_str": ""},
        "values": values,
        "inputs": inputs,
        "outputs": outputs,
        "operators": [],
        "non_const_buffer_sizes": [0, planned] if planned else [0],
    }


def _immediate(value: Argument) -> Record:
    if value is None:
        return {"val": ("Null", {})}
    if isinstance(value, bool):
        return {"val": ("Bool", {"bool_val": value})}
    return {"val": ("Int", {"int_val": value})}


def _tensor(type_: TensorType, *, buffer: int = 0, offset: int = 0) -> Record:
    record: Record = {
        "scalar_type": _SCALAR_TYPES[type_.dtype],
        "storage_offset": 0,
        "sizes": list(type_.shape),
        "dim_order": list(range(len(type_.shape))),
        "data_buffer_idx": buffer,
    }
    if not buffer:
        record["allocation_info"] = {
            "memory_id": 1,
            "memory_offset_low": offset & 0xFFFFFFFF,
            "memory_offset_high": offset >> 32,
        }
    return {"val": ("Tensor", record)}


def _storage_bytes(type_: TensorType) -> int:
    size = type_.elements * np.dtype(type_.dtype).itemsize
    return size + -size % ALIGNMENT
