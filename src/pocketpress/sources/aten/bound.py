"""One ATen call with its arguments bound to schema names, and helpers to emit program nodes for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pocketpress.core.errors import UnsupportedError
from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.program.ir import Array

Operand = str | torch.Tensor | float | int
WHOLE = ("int32", "int64")
_ON_WHOLE = frozenset({"reshape", "permute", "slice", "concat", "embedding", "cast"})
"""Operators that read whole numbers as they are; others compute on float32."""


@dataclass
class Bound:
    """An ATen call.  Activations are tensor names (str); constants are torch tensors or numbers.

    ``dtypes`` are those that torch gives to the arguments that are single tensors.
    """

    node: torch.fx.Node
    args: dict[str, Any]
    builder: ProgramBuilder
    source: str
    dtypes: dict[str, torch.dtype]

    @classmethod
    def of(
        cls, node: torch.fx.Node, schema: Any, args: Any, kwargs: Any, builder: ProgramBuilder, source: str
    ) -> Bound:
        """Bind positional and keyword arguments to the operator's schema, defaults included."""
        bound: dict[str, Any] = {}
        dtypes: dict[str, torch.dtype] = {}
        for index, argument in enumerate(schema.arguments):
            given: Any = None
            if index < len(args):
                bound[argument.name], given = args[index], node.args[index]
            elif argument.name in kwargs:
                bound[argument.name], given = kwargs[argument.name], node.kwargs[argument.name]
            else:
                bound[argument.name] = argument.default_value
            bound[argument.name] = _widened(bound[argument.name])
            if isinstance(given, torch.fx.Node) and isinstance(given.meta.get("val"), torch.Tensor):
                dtypes[argument.name] = given.meta["val"].dtype
        return cls(node, bound, builder, source, dtypes)

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the (first) result."""
        value = self.node.meta["val"]
        if isinstance(value, (tuple, list)):
            value = value[0]
        return tuple(int(d) for d in value.shape)

    def shape(self, value: Operand) -> tuple[int, ...]:
        """Shape of an operand."""
        if isinstance(value, str):
            return self.builder.type(value).shape
        return tuple(value.shape) if isinstance(value, torch.Tensor) else ()

    def is_truth(self, name: str) -> bool:
        """Whether torch holds argument ``name`` as truth values; the program holds them as 1.0 and 0.0."""
        value = self.args[name]
        if isinstance(value, torch.Tensor):
            return value.dtype is torch.bool
        return self.dtypes.get(name) is torch.bool

    def activation(self, name: str = "self") -> str:
        """Argument ``name``, which must be computed at run time."""
        value = self.args[name]
        return value if isinstance(value, str) else self.tensor(value)

    def tensor(self, value: Operand, stem: str = "constant") -> str:
        """Any operand as a tensor name; numbers and constants become float32 constants."""
        if isinstance(value, str):
            return value
        array: Array = (
            value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float32)
        )
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        return self.builder.constant(f"{self.node.name}_{stem}", array)

    def real(self, x: str) -> str:
        """A tensor in float32: whole numbers are cast, which is exact up to 2^24."""
        if self.builder.type(x).dtype not in WHOLE:
            return x
        value = self.builder.constant_value(x)
        if value is not None:
            return self.builder.constant(f"{x}_real", value.astype(np.float32))
        type_ = TensorType(self.shape(x))
        return self.builder.node("cast", [x], type_, name=f"{self.node.name}_cast", source=self.source)

    def constant(self, name: str) -> Array:
        """Argument ``name`` as a NumPy constant.

        Raises:
            UnsupportedError: it is computed at run time.
        """
        value = self.args[name]
        if isinstance(value, str):
            raise UnsupportedError(f"{self.source}: {name} must be a constant", got="a computed tensor")
        return np.asarray(value.detach().cpu().numpy())

    def emit(
        self,
        op: str,
        inputs: list[str],
        shape: tuple[int, ...],
        /,
        *,
        last: bool = True,
        dtype: str | None = None,
        **attrs: Any,
    ) -> str:
        """Append one node; ``last`` marks the one that stands for the ATen call itself.

        The result has the dtype of the first input unless ``dtype`` says otherwise.  Whole numbers are made
        real for operators that compute, and where some of what is joined is real.
        """
        dtypes = {self.builder.type(x).dtype for x in inputs}
        if op not in _ON_WHOLE or (op == "concat" and len(dtypes) > 1):
            inputs = [self.real(x) for x in inputs]
        name = self.node.name if last else f"{self.node.name}_{op}"
        dtype = dtype or self.builder.type(inputs[0]).dtype
        return self.builder.node(op, inputs, TensorType(shape, dtype), name=name, source=self.source, **attrs)

    def refuse(self, what: str, next_step: str | None = None) -> UnsupportedError:
        """An error naming the user's line, to be raised."""
        return UnsupportedError(f"{self.source}: {what}", next_step=next_step)


def _widened(value: Any) -> Any:
    """A constant of half precision as float32, in which it is computed with: torch promotes it too."""
    half = isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def pair(value: Any) -> tuple[int, int]:
    """An int, a list of one or a list of two as a pair."""
    items = [value] if isinstance(value, int) else list(value)
    return (int(items[0]), int(items[0])) if len(items) == 1 else (int(items[0]), int(items[1]))


def axis_of(axis: int, rank: int) -> int:
    """A possibly negative axis as a non-negative one."""
    return axis + rank if axis < 0 else axis
