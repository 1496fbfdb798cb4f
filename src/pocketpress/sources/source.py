"""What every source yields."""

from __future__ import annotations

from dataclasses import dataclass

from pocketpress.core.program.ir import Program


@dataclass(frozen=True)
class Source:
    """A network as a float program.

    Attributes:
        program: float32, NCHW, batch-norm and dropout as the network had them at inference.
        name: short name for files and tables.
        spec: what the user typed.
        parameters: number of trained numbers.
        skipped: what was left out of the program, and why (for example unused inputs).
    """

    program: Program
    name: str
    spec: str
    parameters: int
    skipped: tuple[tuple[str, str], ...] = ()
