"""What an operator's function is given: its inputs, attributes and the values known before running."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pocketpress.core.errors import UnsupportedError

MAX_ELEMENTS = 1 << 26
"""Of a tensor that a few bytes of a file ask for: a quarter of a gigabyte, more than a phone gives."""
Known = npt.NDArray[Any]
Result = Tensor | Sequence[Tensor]
Operator = Callable[["Call"], Result]


@dataclass(frozen=True)
class Call:
    """One node, ready to run.

    Attributes:
        op: operator, as ``Conv``.
        name: of the node, for messages.
        inputs: tensors; None where an optional input is left out.
        known: arrays of the inputs that do not depend on the network's inputs, by position.
        attributes: numbers, strings, lists and arrays.
        outputs: how many are asked for.
    """

    op: str
    name: str
    inputs: Sequence[Tensor | None]
    known: Mapping[int, Known]
    attributes: Mapping[str, Any]
    outputs: int

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.input(0)

    def input(self, index: int) -> Tensor:
        """A required input."""
        value = self.optional(index)
        if value is None:
            raise UnsupportedError(f"node {self.name}: {self.op} lacks input {index}")
        return value

    def optional(self, index: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    def array(self, index: int, what: str) -> Known | None:
        """The value of an input that must be known before running; None when it is left out.

        Raises:
            UnsupportedError: it depends on the network's inputs.
        """
        if self.optional(index) is None:
            return None
        if index not in self.known:
            raise UnsupportedError(
                f"node {self.name}: {what} of {self.op} depends on the network's inputs",
                next_step="export the network with static shapes",
            )
        return self.known[index]

    def ints(self, index: int, what: str, attribute: str | None = None) -> list[int] | None:
        """Whole numbers from an input, or in older operator sets from an attribute."""
        value = self.array(index, what)
        if value is not None:
            return [int(v) for v in np.asarray(value).reshape(-1)]
        given = None if attribute is None else self.attribute(attribute)
        return None if given is None else [int(v) for v in given]

    def number(self, index: int, what: str) -> float | None:
        """One number from an input."""
        value = self.array(index, what)
        return None if value is None or value.size == 0 else float(np.asarray(value).reshape(-1)[0])

    def bounded(self, sizes: Sequence[int]) -> list[int]:
        """Sizes of a tensor to be made, which a few bytes of a file may ask for.

        Raises:
            UnsupportedError: more than `MAX_ELEMENTS`.
        """
        if any(size < 0 for size in sizes) or math.prod(sizes) > MAX_ELEMENTS:
            raise self.refuse("size", list(sizes), f"at most {MAX_ELEMENTS} elements")
        return list(sizes)

    def refuse(self, what: str, got: object, allowed: object = None) -> UnsupportedError:
        """An error that names the node."""
        return UnsupportedError(f"node {self.name}: {what} of {self.op}", got=got, allowed=allowed)
