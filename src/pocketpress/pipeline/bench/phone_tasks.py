"""What phones are asked to do: artifacts, golden samples as bytes, and how long to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.digest import sha256_of
from pocketpress.core.errors import UserError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import real_to_file
from pocketpress.pipeline.bench.golden import Feed, Golden
from pocketpress.pipeline.bench.reference import Reference, reference_of
from pocketpress.pipeline.bench.subjects import Subject, find_subjects
from pocketpress.pipeline.events import Events
from pocketpress.verify.parity import tolerance_of

BROWSER_RUNTIMES = (".tflite", ".onnx")
BACKENDS = ("auto", "wasm", "webgpu")
BEAT_S = 2.0
PLAN = {"warmup": 10, "block": 4, "repeats": 4, "rounds": 12, "repeat_s": 1.2}
"""Of each of ``repeats``: at most ``rounds`` rounds of ``block`` inferences, ``repeat_s`` seconds or so."""


@dataclass(frozen=True)
class PhoneOptions:
    """What to measure on phones.

    Attributes:
        artifacts: files, or folders of presses.
        data: samples as the user named them, or None.
        samples: compared at most.
        threads: of the runtimes; None leaves it to the phone.
        sustained_s: length of the long run; 0 for none.
        backends: of `BACKENDS`.
        seed: of the choice of samples.
    """

    artifacts: tuple[Path, ...]
    data: str | None = None
    samples: int = 8
    threads: int | None = None
    sustained_s: float = 0.0
    backends: tuple[str, ...] = ("auto",)
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.backends if name not in BACKENDS]
        if unknown or not self.backends:
            raise UserError("unknown backend", got=", ".join(unknown) or "none", allowed=BACKENDS)


@dataclass(frozen=True)
class Task:
    """One artifact in one backend.

    Attributes:
        name: as messages call it.
        golden: name of its samples, or None.
    """

    name: str
    subject: Subject
    backend: str
    reference: Reference
    golden: str | None


@dataclass(frozen=True)
class Work:
    """Everything that phones are given.

    Attributes:
        tasks: by name.
        refused: artifacts that no browser runs, with the reason.
        job: the same as the page reads it.
        artifacts: files by SHA-256.
        golden: bytes by name.
    """

    tasks: dict[str, Task]
    refused: tuple[tuple[str, str], ...]
    job: dict[str, Any]
    artifacts: dict[str, Path]
    golden: dict[str, bytes] = field(repr=False)


def prepare_work(options: PhoneOptions, events: Events | None = None) -> Work:
    """Find artifacts and make their golden samples.

    Raises:
        UserError: nothing that a browser runs, and what `find_subjects` and `reference_of` raise.
    """
    events = events or Events()
    subjects = find_subjects(options.artifacts)
    able, refused = _sorted_out(subjects)
    if not able:
        raise UserError(
            "no browser runs these artifacts",
            got=", ".join(s.name for s in subjects),
            allowed=sorted(BROWSER_RUNTIMES),
            next_step="press for the target litert or onnxruntime",
        )
    tasks: dict[str, Task] = {}
    artifacts: dict[str, Path] = {}
    golden: dict[str, bytes] = {}
    described = []
    with events.stage("golden samples", len(able)) as advance:
        for subject in able:
            reference = reference_of(subject, options.data, options.samples, options.seed)
            samples = None
            if reference.golden is not None and reference.signature is not None:
                samples = subject.sha256[:16]
                golden[samples] = packed(reference.golden, reference.signature)
            artifacts[subject.sha256] = subject.path
            floats = _float_of(subject, artifacts)
            for backend in dict.fromkeys(options.backends):
                task = Task(f"{subject.sha256[:16]}-{backend}", subject, backend, reference, samples)
                tasks[task.name] = task
                described.append(_described(task, floats))
            advance()
    job = {
        "tasks": described,
        "refused": [{"artifact": name, "reason": reason} for name, reason in refused],
        "plan": PLAN,
        "threads": options.threads,
        "sustained_s": options.sustained_s,
        "beat_s": BEAT_S,
    }
    return Work(tasks, refused, job, artifacts, golden)


def _sorted_out(subjects: Sequence[Subject]) -> tuple[list[Subject], tuple[tuple[str, str], ...]]:
    """Artifacts to measure, and the others with the reason."""
    able: dict[str, Subject] = {}
    refused = []
    for subject in subjects:
        if subject.path.suffix not in BROWSER_RUNTIMES or not subject.path.is_file():
            refused.append((subject.name, f"no browser runs artifacts of {subject.spec.title}"))
        elif subject.sha256 in able:
            refused.append((subject.name, f"the same bytes as {able[subject.sha256].name}"))
        else:
            able[subject.sha256] = subject
    return list(able.values()), tuple(refused)


def _float_of(subject: Subject, artifacts: dict[str, Path]) -> dict[str, Any] | None:
    path = subject.float_path
    if path is None or not path.is_file():
        return None
    digest = sha256_of(path)
    artifacts[digest] = path
    return {"sha256": digest, "size_bytes": path.stat().st_size}


def _described(task: Task, floats: dict[str, Any] | None) -> dict[str, Any]:
    subject, reference = task.subject, task.reference
    described: dict[str, Any] = {
        "task": task.name,
        "artifact": subject.name,
        "sha256": subject.sha256,
        "size_bytes": subject.path.stat().st_size,
        "backend": task.backend,
        "float": floats,
        "golden": None,
    }
    if task.golden is not None and reference.golden is not None and reference.signature is not None:
        described["golden"] = layout(task.golden, reference.golden, reference.signature)
    return described


def layout(name: str, golden: Golden, signature: Signature) -> dict[str, Any]:
    """How `packed` lays the samples out, and what the phone needs to compare outputs."""
    return {
        "name": name,
        "samples": len(golden.inputs),
        "floats": golden.floats is not None,
        "inputs": [{"dtype": s.dtype, "elements": _elements(s)} for s in signature.inputs],
        "outputs": [
            {
                "name": s.name,
                "elements": _elements(s),
                "grid_scale": s.grid_scale,
                "exact": s.exact,
                "tolerance": tolerance_of(s.name, golden.outputs),
            }
            for s in signature.outputs
        ],
    }


def packed(golden: Golden, signature: Signature) -> bytes:
    """Per sample: inputs in the file's dtypes, the reference's outputs and the float network's as float32.

    Everything is little-endian, without gaps.
    """
    parts: list[bytes] = []
    floats: Sequence[Feed | None] = golden.floats or [None] * len(golden.inputs)
    for inputs, outputs, originals in zip(golden.inputs, golden.outputs, floats, strict=True):
        for spec in signature.inputs:
            value = real_to_file(np.asarray(inputs[spec.name]), spec.dtype, spec.scale, spec.zero_point)
            parts.append(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes())
        for feed in (outputs, originals):
            if feed is not None:
                parts += [np.asarray(feed[s.name]).astype("<f4").tobytes() for s in signature.outputs]
    return b"".join(parts)


def _elements(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape, dtype=np.int64))
