"""What is measured: artifacts, with what the press that made them left beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.digest import sha256_of
from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.record import Limits, Record
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import check_exists, target_of

RECORD = "record.json"
FOLDER = "bench"
"""Folder of a press with what a device needs besides the artifact: golden samples, float originals, and the
program, to find the operator where a device computes otherwise."""
GOLDEN = "golden.npz"
PROGRAM = "program.bin"
MAX_SUBJECTS = 64


@dataclass(frozen=True)
class Subject:
    """One artifact to measure.

    Attributes:
        path: the artifact.
        spec: its target.
        sha256: of the artifact.
        record: of the press that made these very bytes, or None.
        record_path: where that record is.
    """

    path: Path
    spec: TargetSpec
    sha256: str
    record: Record | None = None
    record_path: Path | None = None

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name

    @property
    def float_path(self) -> Path | None:
        """The float artifact of the same press and target, where it was kept."""
        if self.record is None:
            return None
        path = self.path.parent / FOLDER / f"float-{self.path.name}"
        return path if path.exists() else None

    @property
    def limits(self) -> Limits:
        """Promises of the press that a device can keep: that of latency was of the press's own machine."""
        limits = Limits() if self.record is None else self.record.limits
        return limits.model_copy(update={"max_latency_s": None})

    @property
    def stored_only(self) -> bool:
        """Whether the press made a file that is only smaller, not faster."""
        made = () if self.record is None else self.record.targets
        return any(target.stored_only for target in made if target.sha256 == self.sha256)

    @property
    def rounds_its_own_way(self) -> bool:
        """Whether the press compared this artifact by its error, and not integer by integer."""
        entries = () if self.record is None else self.record.targets
        parity = next((t.parity for t in entries if t.sha256 == self.sha256), None)
        return parity is not None and parity.required_sqnr_db is not None

    @property
    def golden_path(self) -> Path | None:
        """The golden samples of the same press, where they were kept."""
        if self.record is None:
            return None
        path = self.path.parent / FOLDER / GOLDEN
        return path if path.is_file() else None

    @property
    def program_path(self) -> Path | None:
        """The quantised program of the same press, where it was kept."""
        if self.record is None:
            return None
        path = self.path.parent / FOLDER / PROGRAM
        return path if path.is_file() else None


def find_subjects(paths: Sequence[Path]) -> tuple[Subject, ...]:
    """Artifacts by path; a press folder stands for all artifacts that its record names.

    Raises:
        ArtifactError: a path is missing, or nothing of any target.
        UserError: the same artifact twice, or too many.
    """
    found: dict[tuple[str, str], Subject] = {}  # two targets may write the same bytes
    for path in paths:
        for subject in _subjects(path):
            key = subject.sha256, subject.spec.name
            if key in found:
                raise UserError(
                    "the same artifact twice",
                    got=f"{found[key].path} and {subject.path}",
                    next_step="leave one out",
                )
            found[key] = subject
    if len(found) > MAX_SUBJECTS:
        raise UserError("too many artifacts", got=len(found), allowed=MAX_SUBJECTS)
    return tuple(found.values())


def _subjects(path: Path) -> list[Subject]:
    check_exists(path)
    if not (path.is_dir() and (path / RECORD).is_file()):
        return [_subject(path)]
    names = [entry.artifact for entry in Record.read(path / RECORD).targets if entry.artifact]
    if not names:
        raise ArtifactError(
            "the press left no artifact",
            got=path,
            next_step="press the network again, for a target that it fits",
        )
    return [_subject(path / name) for name in names]


def _subject(path: Path) -> Subject:
    check_exists(path)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ArtifactError("cannot read the artifact", got=f"{path}: {error.strerror}") from error
    spec, beside = target_of(path), path.parent / RECORD
    if beside.is_file():
        record = Record.read(beside)
        if any(entry.sha256 == digest for entry in record.targets):
            return Subject(path, spec, digest, record, beside)
    return Subject(path, spec, digest)
