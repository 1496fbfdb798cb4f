"""What tensors of a program are called in the ML program."""

from __future__ import annotations

import re

from pocketpress.core.program import Program

RESERVED = (
    *("any", "bool", "program", "func", "tensor", "list", "dict", "tuple", "true", "false", "string"),
    *("bf16", "fp16", "fp32", "fp64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)


class Names:
    """Identifiers, unique within one program; tensors keep their names as far as the alphabet allows.

    A quantised input or output has two: the feature's, and that of its integers inside.
    """

    def __init__(self, program: Program, taken: set[str] | None = None) -> None:
        """Keep clear of the names ``taken``, and add to them."""
        self.taken: set[str] = set() if taken is None else taken
        borders = [*program.inputs, *program.outputs]
        self._names = {n: self.unique(n) for n in dict.fromkeys([*borders, *program.types])}
        self._integers = {
            n: self.unique(f"{n}_integers")
            for n in dict.fromkeys(borders)
            if program.type(n).quant is not None
        }

    def of(self, tensor: str) -> str:
        """Name of a tensor; of a quantised input or output, the feature's."""
        return self._names[tensor]

    def integers(self, tensor: str) -> str:
        """Name of a quantised tensor's integers."""
        return self._integers.get(tensor, self._names[tensor])

    def unique(self, name: str) -> str:
        """An identifier close to ``name`` that nobody has."""
        wanted = identifier(name)
        unique, number = wanted, 0
        while unique in self.taken:
            number += 1
            unique = f"{wanted}_{number}"
        self.taken.add(unique)
        return unique


def identifier(name: str) -> str:
    """``name`` in the alphabet of ML programs: letters, digits and underscores."""
    safe = re.sub(r"[^A-Za-z0-9_]", "_", name) or "_"
    if safe in RESERVED:
        return f"{safe}_"
    return f"_{safe}" if safe[0].isdigit() else safe
