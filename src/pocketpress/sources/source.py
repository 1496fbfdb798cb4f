"""What every source yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketpress.core.given import GivenScales
from pocketpress.core.labels import Labels
from pocketpress.core.program.ir import Program
from pocketpress.core.signature import Preprocessing

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Source:
    """A network as a float program.

    Attributes:
        program: float32, images NCHW behind inputs as the network has them, batch-norm and dropout as the
            network had them at inference.
        name: short name for files and tables.
        spec: what the user typed.
        parameters: number of trained numbers.
        skipped: what was left out of the program, and why (for example unused inputs).
        exported: the graph the program was translated from.
        given: scales of an 8-bit file.
        preprocessing: how images become its input, where the source says so.
        labels: names of classes by output, where the source says so.
        sha256: of the weights, where the source is no file that the user named.
        format: of the file, in words; "" where there is nothing to say.
    """

    program: Program
    name: str
    spec: str
    parameters: int
    skipped: tuple[tuple[str, str], ...] = ()
    exported: torch.export.ExportedProgram | None = field(default=None, repr=False, compare=False)
    given: GivenScales | None = None
    preprocessing: Preprocessing | None = None
    labels: Labels = field(default_factory=dict)
    sha256: str | None = None
    format: str = ""
