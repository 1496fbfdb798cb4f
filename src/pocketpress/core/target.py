"""What a target is: a light card, a `lower` function and a `Runner`.

A target is one folder.  ``spec.py`` needs only the standard library and this module and holds ``SPEC``;
``lower.py`` and ``run.py`` are imported on first use.  ``lower.py`` defines ``lower`` and, if it can check
its own work, ``audit``; ``run.py`` defines ``open_runner`` and ``read_signature``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pocketpress.core.advice import Rule
from pocketpress.core.errors import MissingExtraError
from pocketpress.core.program.ir import Program
from pocketpress.core.signature import Signature

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Skipped:
    """Something left alone, with the reason: nothing is skipped in silence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Lowered:
    """What a lowering did.

    Attributes:
        skipped: what is not as asked (an operator in float inside an int8 file), and why.
        notes: facts worth a line in the record.
        stored_only: the file holds the precision's weights, and the runtime computes in float32.
    """

    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    stored_only: bool = False


class Runner(Protocol):
    """An artifact loaded in its runtime.  Arrays are in the file's own dtypes, in signature order."""

    @property
    def signature(self) -> Signature:
        """The signature embedded in the artifact."""

    def run(self, feeds: list[Array]) -> list[Array]:
        """Compute one inference; inputs already have the file's dtype and shape."""

    def close(self) -> None:
        """Release the runtime's memory."""


@runtime_checkable
class BlockTimer(Protocol):
    """What a runner has as well when its runtime is not in this process (a page of a browser).

    Seconds seen from here would count the way there and back; such a runner times inferences itself.
    """

    def time_block(self, feeds: list[Array], count: int) -> list[float]:
        """Seconds of each of ``count`` consecutive inferences, one before them that is not timed."""


@runtime_checkable
class Resident(Protocol):
    """What a runner has as well when its runtime's memory is another process's."""

    def resident_bytes(self) -> tuple[int, int]:
        """(largest so far, just before this artifact was loaded) of the process that holds the runtime."""


class LowerFunction(Protocol):
    """``lower``: translate the program into a file.  Deterministic; decides no scale, rounds no weight."""

    def __call__(self, program: Program, signature: Signature, path: Path) -> Lowered:
        """Write the artifact at ``path`` (a file, or a folder for bundle formats)."""


class AuditFunction(Protocol):
    """``audit``: ask the real runtime what it will execute; returns what is not an integer kernel."""

    def __call__(self, path: Path, program: Program) -> tuple[Skipped, ...]:
        """Inspect the artifact as the runtime loads it."""


class OpenFunction(Protocol):
    """``open_runner``: load an artifact in its runtime."""

    def __call__(self, path: Path, threads: int) -> Runner:
        """Load; raises ArtifactError when the file is not one of this target's artifacts."""


@dataclass(frozen=True)
class TargetSpec:
    """The card of a target.

    Attributes:
        name: as typed after ``--target``.
        title: for people.
        suffix: of the artifact, dot included.
        package: dotted name of the folder holding ``lower`` and ``run``.
        requires: import names of the packages needed to lower and run.
        runs_with: those of them needed to run alone, on a device; all where empty.
        groups: the group names (android, ios, web) it belongs to.
        precisions: the precision families it computes in (`core.precision`).
        stores: families that make its file smaller but are computed in float32, decoded when the file is
            loaded or while it runs.
        executes_on: values of ``sys.platform`` on which ``run`` works.
        executor: ``module:function`` that says what this machine lacks to run it ("" where the packages are
            all): the function returns None or a line with the next step.
        float_ops: operators it can compute in float.
        integer_ops: operators it computes in integers when quantised.
        decodes: products it computes in float from int8 and int4 weights stored as such; all of them where
            it has the family w8.
        remarks: operator name to the reason it is missing or stays in float.
        rules: where it computes what an operator's name alone does not say.
    """

    name: str
    title: str
    suffix: str
    package: str
    requires: tuple[str, ...]
    groups: tuple[str, ...]
    precisions: tuple[str, ...]
    stores: tuple[str, ...] = ()
    executes_on: tuple[str, ...] = ("linux", "darwin", "win32")
    executor: str = ""
    float_ops: frozenset[str] = field(default_factory=frozenset)
    integer_ops: frozenset[str] = field(default_factory=frozenset)
    decodes: frozenset[str] = field(default_factory=frozenset)
    remarks: dict[str, str] = field(default_factory=dict, hash=False)
    rules: tuple[Rule, ...] = ()
    runs_with: tuple[str, ...] = ()

    @property
    def needs_to_run(self) -> tuple[str, ...]:
        """Import names of the packages that execute its artifacts."""
        return self.runs_with or self.requires

    @property
    def runtime_package(self) -> str:
        """Import name of the runtime itself among them."""
        return min(self.needs_to_run, key=lambda package: self.name not in package, default=self.name)

    @property
    def families(self) -> tuple[str, ...]:
        """All precision families that it can be lowered to."""
        return self.precisions + self.stores

    def takes_integer_weights(self, op: str) -> bool:
        """Whether a float product ``op`` may have int8 or int4 weights."""
        return "w8" in self.families or op in self.decodes

    def check_installed(self) -> None:
        """Raise MissingExtraError, naming the command to type, when a required package is absent."""
        missing = [name for name in self.requires if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingExtraError(
                f"target {self.name} needs packages that are not installed",
                got=f"missing {', '.join(missing)}",
                next_step=f"run: pip install 'pocketpress[{self.name}]'",
            )

    def obstacle(self) -> str | None:
        """Why this machine cannot execute its artifacts, with the next step; None where it can."""
        if sys.platform not in self.executes_on:
            return f"{self.title} executes on {', '.join(self.executes_on)} only, this is {sys.platform}"
        if not self.executor:
            return None
        module, _, function = self.executor.partition(":")
        found: str | None = getattr(importlib.import_module(module), function)()
        return found

    def runtime(self) -> str | None:
        """Name and version of what executes its artifacts on this machine, as the record states it."""
        if self.executor:
            function: Callable[[], str] = importlib.import_module(f"{self.package}.run").runtime
            return function()
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"{self.runtime_package.replace('_', '-')} {version(self.runtime_package)}"
        except PackageNotFoundError:
            return None

    def lower(self, program: Program, signature: Signature, path: Path) -> Lowered:
        """Import ``lower.py`` and translate."""
        self.check_installed()
        function: LowerFunction = importlib.import_module(f"{self.package}.lower").lower
        return function(program, signature, path)

    def audit(self, path: Path, program: Program) -> tuple[Skipped, ...]:
        """Import ``lower.py`` and ask the runtime what it executes."""
        function: AuditFunction = importlib.import_module(f"{self.package}.lower").audit
        return function(path, program)

    def read_signature(self, path: Path) -> Signature:
        """Import ``run.py`` and read what is embedded in an artifact, without loading it in the runtime.

        Raises:
            ArtifactError: the file is not one of this target's artifacts.
        """
        function: Callable[[Path], Signature] = importlib.import_module(f"{self.package}.run").read_signature
        return function(path)

    def open_runner(self, path: Path, threads: int = 1) -> Runner:
        """Import ``run.py`` and load an artifact."""
        self.check_installed()
        function: OpenFunction = importlib.import_module(f"{self.package}.run").open_runner
        return function(path, threads)


def real_to_file(values: Array, dtype: str, scale: float | None, zero_point: int) -> Array:
    """Real values to the file's dtype: cast, or ``clip(rint(x * (1/scale)) + zero_point)`` in float32."""
    if scale is None:
        return np.ascontiguousarray(values, dtype=dtype)
    info = np.iinfo(np.dtype(dtype))
    inverse = np.float32(1) / np.float32(scale)
    grid = np.rint(values.astype(np.float32) * inverse) + np.float32(zero_point)
    return np.asarray(np.clip(grid, info.min, info.max).astype(dtype))


def file_to_real(values: Array, scale: float | None, zero_point: int) -> Array:
    """The file's values to real values, float32 for quantised tensors."""
    if scale is None:
        return values
    real = (values.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
    return np.asarray(real)
