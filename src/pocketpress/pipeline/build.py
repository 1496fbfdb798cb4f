"""Lower one target: the artifact, its float original, and what the runtime says it executes."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from pocketpress.compress.quantize.recurrent import INTEGER_WIDTH
from pocketpress.core.digest import sha256_of
from pocketpress.core.errors import DeviceError
from pocketpress.core.labels import Labels
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.arithmetic import stores_recurrent
from pocketpress.core.program.exact import exact_nodes
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.record import SkippedEntry, TargetEntry
from pocketpress.core.signature import Preprocessing, signature_of
from pocketpress.core.target import Lowered, Skipped, TargetSpec
from pocketpress.measure.size import measure_size
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.prepare import Prepared

FLOAT_ARITHMETIC = (
    f"no layer computes in integers: recurrent layers below {INTEGER_WIDTH} units, and small ones behind "
    "them, are float arithmetic on int8 weights; the file is smaller and nothing is faster"
)


@dataclass(frozen=True)
class Built:
    """One lowered target.

    Attributes:
        spec: its card.
        artifact: the file (or folder).
        float_artifact: the network as it was given, at fp32; the artifact itself for a plain fp32 press.
        entry: what is known so far.
        float_sha256: of the float artifact.
        in_float: the program has integer activations, and the artifact computes them in float32.
    """

    spec: TargetSpec
    artifact: Path
    float_artifact: Path
    entry: TargetEntry
    float_sha256: str
    in_float: bool = False

    @property
    def executes(self) -> bool:
        """Whether this machine can run it."""
        return self.spec.obstacle() is None


def build(
    spec: TargetSpec,
    prepared: Prepared,
    preprocessing: Preprocessing | None,
    precision: str,
    folder: Path,
    stem: str,
    cache: Cache,
    labels: Labels | None = None,
) -> Built:
    """Lower (or take from the cache) the artifact and its float original into ``folder``."""
    artifact = folder / f"{stem}{spec.suffix}"
    floats = folder / f"float-{stem}{spec.suffix}"
    begin = time.perf_counter()
    lowered = _lower(spec, prepared.program, preprocessing, precision, artifact, cache, labels)
    notes = lowered.notes
    seconds = time.perf_counter() - begin
    if prepared.float_lowered is prepared.program:
        floats = artifact
    else:
        _lower(spec, prepared.float_lowered, preprocessing, "fp32", floats, cache, labels)
    stored = lowered.stored_only or parse_precision(precision).family in spec.stores
    if not stored and stores_recurrent(prepared.program):
        stored, notes = True, (*notes, FLOAT_ARITHMETIC)
    if (obstacle := spec.obstacle()) is not None:
        notes = (*notes, f"not executed here: {obstacle}")
    size, float_size = measure_size(artifact), measure_size(floats)
    entry = TargetEntry(
        name=spec.name,
        title=spec.title,
        artifact=artifact.name,
        stored_only=stored,
        sha256=sha256_of(artifact),
        size_bytes=size.raw_bytes,
        size_compressed_bytes=size.compressed_bytes,
        float_size_bytes=float_size.raw_bytes,
        float_size_compressed_bytes=float_size.compressed_bytes,
        lower_s=seconds,
        skipped=tuple(SkippedEntry(name=s.name, reason=s.reason) for s in lowered.skipped),
        notes=notes,
        verdict="not executed here",
    )
    in_float = lowered.stored_only and prepared.program.is_quantized
    return Built(spec, artifact, floats, entry, sha256_of(floats), in_float)


def _lower(
    spec: TargetSpec,
    program: Program,
    prep: Preprocessing | None,
    precision: str,
    path: Path,
    cache: Cache,
    labels: Labels | None,
) -> Lowered:
    signature = signature_of(program, precision=precision, preprocessing=prep, labels=labels)
    key = Cache.key("artifact", spec.name, program_hash(program), signature.to_json())
    hit = cache.get(key)
    if hit is not None:
        stored = hit / f"artifact{spec.suffix}"
        _copy(stored, path)
        return _read_notes((hit / "notes.txt").read_text())
    try:
        lowered = spec.lower(program, signature, path)
    except OSError as error:
        raise DeviceError(
            f"cannot write {path.name}", got=error.strerror, next_step="check the free space"
        ) from error
    skipped = list(lowered.skipped)
    if parse_precision(precision).activations == "int8" and sys.platform in spec.executes_on:
        skipped += [s for s in spec.audit(path, program) if s not in skipped]
        meant = exact_nodes(program)  # float kernels on integers, as planned
        skipped = [s for s in skipped if meant.isdisjoint(s.name.split(" "))]
    lowered = replace(lowered, skipped=tuple(skipped))
    cache.put(key, {f"artifact{spec.suffix}": path, "notes.txt": _written_notes(lowered).encode()})
    return lowered


def _written_notes(lowered: Lowered) -> str:
    rows = [f"skip\t{s.name}\t{s.reason}" for s in lowered.skipped]
    rows += [f"note\t{note}" for note in lowered.notes]
    return "\n".join([*rows, *(["stored"] if lowered.stored_only else [])])


def _read_notes(text: str) -> Lowered:
    rows = [line.split("\t") for line in text.split("\n") if line]
    skipped = tuple(Skipped(row[1], row[2]) for row in rows if row[0] == "skip")
    return Lowered(skipped, tuple(row[1] for row in rows if row[0] == "note"), ["stored"] in rows)


def _copy(source: Path, to: Path) -> None:
    try:
        shutil.copytree(source, to) if source.is_dir() else shutil.copyfile(source, to)
    except OSError as error:
        raise DeviceError(
            f"cannot write {to.name}", got=error.strerror, next_step="check the free space"
        ) from error
