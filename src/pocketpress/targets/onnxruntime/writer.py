"""Collect ONNX nodes and initialisers for one program.

The file holds uint8 where the program holds int8: the same integers plus 128, so that ONNX Runtime picks its
uint8 x int8 kernels, about twice as fast on x86 as the int8 x int8 ones.  Zero points move along.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pocketpress.core.errors import InternalError, UnsupportedError
from pocketpress.core.program import Node, Program, Quantization
from pocketpress.core.program.ir import Array
from pocketpress.core.target import Skipped

MICROSOFT = "com.microsoft"
SHIFT = {"int8": 128, "uint8": 0}
"""What is added to a stored integer (and its zero point) of each activation dtype."""

OWNER_END = "::"
"""Ends the part of an ONNX node's name that says which program node (by its output) it belongs to."""

_BASE_OPSET = 18


class GraphWriter:
    """Append nodes one by one; names are made unique; equal initialisers are stored once."""

    def __init__(self, program: Program, prefix: str = "") -> None:
        """Write ``program``; all names that are made begin with ``prefix`` (graphs inside a graph)."""
        self.program, self._prefix = program, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.skipped: list[Skipped] = []
        self.opset = _BASE_OPSET
        self._taken = set(program.types)
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._aliases: dict[str, str] = {}
        self._made: dict[str, str] = {}
        self._uses = Counter[str]()
        self._repeated: frozenset[bytes] | None = None
        self._readers = program.consumers()
        for name in (*program.inputs, *program.outputs):
            if program.type(name).dtype == "int8":
                self._aliases[name] = self.unique(f"{name}_u8")

    def unique(self, stem: str) -> str:
        """Return a name nothing else has."""
        stem = stem if stem.startswith(self._prefix) else self._prefix + stem
        name, number = stem, 0
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name

    # -- tensors ---------------------------------------------------------------------------------------

    def value(self, name: str) -> str:
        """The ONNX name of an activation, or of a constant used as one (uint8 for int8)."""
        if name in self._aliases:
            return self._aliases[name]
        if not self.program.is_constant(name):
            return name
        array = self.program.constants[name]
        if array.dtype == np.int8:
            shifted = (array.astype(np.int16) + SHIFT["int8"]).astype(np.uint8)
            self._aliases[name] = self.initializer(f"{name}_u8", shifted)
        elif array.dtype == np.float16:
            half = self.initializer(f"{name}_f16", array)
            self._aliases[name] = self.emit("Cast", [half], name=name, to=onnx.TensorProto.FLOAT)
        else:
            self._aliases[name] = self.shared(f"{name}_value", array)
        return self._aliases[name]

    def set_value(self, name: str, onnx_name: str) -> None:
        """Let readers of tensor ``name`` read ``onnx_name``; not for inputs and outputs of the program."""
        self._aliases[name] = onnx_name

    def readers(self, name: str) -> list[Node]:
        """The program nodes that read tensor ``name``."""
        return self._readers.get(name, [])

    def is_border(self, name: str) -> bool:
        """Whether the caller sees tensor ``name``, so that it must exist under its own name."""
        return name in self.program.inputs or name in self.program.outputs

    def initializer(self, stem: str, array: Array) -> str:
        """Store an array under a fresh name."""
        name = self.unique(stem)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def once(self, key: str, make: Callable[[], str]) -> str:
        """The tensor that ``make`` appends at the first call with ``key``."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def shared(self, stem: str, array: Array | np.generic) -> str:
        """Store an array once, however often it is used."""
        value = np.asarray(array)
        key = (str(value.dtype), value.shape, _digest(value))
        if key not in self._shared:
            self._shared[key] = self.initializer(stem, value)
        return self._shared[key]

    def is_repeated(self, array: Array) -> bool:
        """Whether several int8 constants of the program hold these values."""
        if self._repeated is None:
            stored = (value for value in self.program.constants.values() if value.dtype == np.int8)
            counts = Counter(_digest(value) for value in stored)
            self._repeated = frozenset(key for key, count in counts.items() if count > 1)
        return array.dtype == np.int8 and _digest(array) in self._repeated

    def number_of_use(self, name: str) -> int:
        """How often this was asked of ``name`` before."""
        self._uses[name] += 1
        return self._uses[name] - 1

    # -- quantisation ----------------------------------------------------------------------------------

    def quant(self, name: str) -> Quantization:
        """The quantisation of a tensor, which must have one."""
        quant = self.program.type(name).quant
        if quant is None:
            raise InternalError("tensor has no quantisation", got=name)
        return quant

    def stored_zero_point(self, name: str) -> int:
        """The zero point of an activation as stored in the file."""
        dtype = self.program.type(name).dtype
        if dtype not in SHIFT:
            raise UnsupportedError(
                "ONNX Runtime: activation dtype", got=f"{dtype} of {name}", allowed=sorted(SHIFT)
            )
        return self.quant(name).zero_point + SHIFT[dtype]

    def scale_of(self, name: str) -> str:
        """Initialiser with the scale (scalar, or one per channel)."""
        quant = self.quant(name)
        return self.scale(quant.step if quant.axis is None else quant.scales())

    def scale(self, value: Any) -> str:
        """Initialiser with a given float32 scale."""
        return self.shared("scale", np.asarray(value, np.float32))

    def zero_of(self, name: str) -> str:
        """Initialiser with the stored zero point of an activation."""
        return self.zero(self.stored_zero_point(name))

    def zero(self, value: int) -> str:
        """Initialiser with a uint8 zero point."""
        if not 0 <= value <= 255:
            raise InternalError("zero point does not fit uint8", got=value)
        return self.shared("zero_point", np.uint8(value))

    def int64(self, values: Sequence[int]) -> str:
        """Initialiser with a vector of int64 (shapes, axes)."""
        return self.shared("dims", np.asarray(values, np.int64))

    # -- nodes -----------------------------------------------------------------------------------------

    def emit(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        name: str,
        out: str | None = None,
        domain: str = "",
        **attrs: Any,
    ) -> str:
        """Append a node with one output; returns the output's name.

        Args:
            op: ONNX operator type.
            inputs: ONNX names.
            name: the program node it stands for; its node name and the stem of its output.
            out: the output's name when it is already decided.
            domain: operator set, the standard one by default.
            attrs: ONNX attributes; None is left out.
        """
        output = out if out is not None else self.unique(f"{name}_{op.lower()}")
        self.emit_to(op, inputs, [output], name=name, domain=domain, **attrs)
        return output

    def emit_to(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        name: str,
        domain: str = "",
        **attrs: Any,
    ) -> None:
        """Append a node whose outputs have names already; those that nobody reads are empty."""
        attributes = {key: value for key, value in attrs.items() if value is not None}
        named = f"{name}{OWNER_END}{outputs[-1]}"
        self.nodes.append(
            helper.make_node(op, list(inputs), list(outputs), name=named, domain=domain, **attributes)
        )

    def emit_many(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], *, name: str, **attrs: Any
    ) -> list[str]:
        """Append a node with several outputs, named after ``outputs``; returns their names."""
        made = [self.unique(f"{name}_{output}") for output in outputs]
        self.emit_to(op, inputs, made, name=name, **attrs)
        return made

    def skip(self, node: Node, reason: str) -> None:
        """Report a program node that is not computed as asked."""
        self.skipped.append(Skipped(f"{node.op} {node.name}", reason))

    def needs_opset(self, version: int) -> None:
        """Raise the file's standard operator set to at least ``version``."""
        self.opset = max(self.opset, version)


def _digest(array: Array | np.generic) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()
