"""Golden samples: a few inputs, and what the artifact must make of them, small enough to send to a phone.

A press writes them beside its artifacts (``bench/golden.npz``): real-valued inputs of single inferences, the
outputs of the integer reference, and those of the float network.  For a bare artifact they are made from
data, or from random inputs, and the reference is the artifact itself in its runtime on this machine.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.record import Parity, write_atomically
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.target import Array
from pocketpress.verify.parity import compare

SAMPLES = 8
MAX_BYTES = 16 << 20
"""Of inputs and outputs together: a phone on a mobile network takes them too."""
MAX_FILE_BYTES = 64 << 20
FORMAT = 1
INTEGER_REFERENCE = "the integer reference of the press"
Feed = Mapping[str, Array]


@dataclass(frozen=True)
class Golden:
    """Inputs of single inferences and the outputs they must give, all in real values.

    Attributes:
        inputs: one mapping per sample, by input name, at the artifact's shapes.
        outputs: what the reference computes, by output name.
        floats: what the float network computes, or None where it is not known.
        reference: what computed ``outputs``, in words.
        approximate: runtimes may round in their own ways (`verify.parity.is_approximate`).
    """

    inputs: tuple[Feed, ...]
    outputs: tuple[Feed, ...]
    floats: tuple[Feed, ...] | None
    reference: str
    approximate: bool = False

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.outputs) or not self.inputs:
            raise ValueError(f"Golden: {len(self.inputs)} inputs and {len(self.outputs)} outputs")

    def compare(self, got: Sequence[Feed], signature: Signature) -> Parity:
        """Parity of an artifact's real-valued outputs of the same inputs."""
        count = len(got)
        floats = None if self.floats is None else self.floats[:count]
        return compare(got, self.outputs[:count], signature, floats, approximate=self.approximate)


def fitting(count: int, sample: Sequence[Feed]) -> int:
    """How many samples of this size `MAX_BYTES` hold, at least one, ``count`` at most."""
    size = sum(np.asarray(value).nbytes for part in sample for value in part.values())
    return max(1, min(count, MAX_BYTES // max(1, size)))


def write_golden(golden: Golden, path: Path) -> None:
    """Write a ``.npz`` atomically.

    Raises:
        DeviceError: the disk refuses.
    """
    stream = io.BytesIO()
    facts = {"format": FORMAT, "reference": golden.reference, "approximate": golden.approximate}
    arrays = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}
    parts = (("in", golden.inputs), ("out", golden.outputs), ("float", golden.floats or ()))
    for prefix, feeds in parts:
        for name in feeds[0] if feeds else ():
            arrays[f"{prefix}.{name}"] = np.stack([np.asarray(feed[name]) for feed in feeds])
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_atomically(path, stream.getvalue())


def read_golden(path: Path, signature: Signature) -> Golden:
    """Read and check what `write_golden` wrote, against the signature it must fit.

    Raises:
        ArtifactError: no golden samples, too large, or of another network.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path.name} is too large", got=f"{size} bytes", allowed=MAX_FILE_BYTES)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(bytes(arrays.pop("facts")))
        if facts["format"] != FORMAT:
            raise ArtifactError(f"{path.name} has another format", got=facts["format"], allowed=FORMAT)
        return Golden(
            inputs=_feeds(arrays, "in", signature.inputs),
            outputs=_feeds(arrays, "out", signature.outputs),
            floats=_feeds(arrays, "float", signature.outputs) or None,
            reference=str(facts["reference"])[:200],
            approximate=bool(facts["approximate"]),
        )
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path.name} holds no golden samples of this network",
            got=f"{type(error).__name__}: {error}"[:200],
            next_step="press the network again",
        ) from error


def _feeds(arrays: Mapping[str, Array], prefix: str, specs: Sequence[TensorSpec]) -> tuple[Feed, ...]:
    if prefix == "float" and not any(name.startswith("float.") for name in arrays):
        return ()
    found = {spec.name: arrays[f"{prefix}.{spec.name}"] for spec in specs}
    count = len(found[specs[0].name])
    for spec in specs:
        value = found[spec.name]
        if value.shape != (count, *spec.shape) or value.dtype.kind not in "fiub":
            raise ValueError(f"{spec.name} is {value.dtype} of {value.shape}, not (samples, *{spec.shape})")
    return tuple({name: value[i] for name, value in found.items()} for i in range(count))


def random_inputs(signature: Signature, count: int, seed: int) -> tuple[Feed, ...]:
    """Inputs when there are no samples: rows of tables, pixels, or normal values; states start anew."""
    rng = np.random.default_rng(seed)
    starts = {state.input: state for state in signature.states}

    def value(spec: TensorSpec) -> Array:
        if spec.name in starts:
            dtype = "float32" if spec.scale is not None else spec.dtype
            return np.asarray(starts[spec.name].start(spec.shape, dtype))
        if spec.rows is not None:
            return rng.integers(0, spec.rows, spec.shape).astype(spec.dtype)
        if spec.scale is None and spec.dtype == "uint8":
            return rng.integers(0, 256, spec.shape).astype(np.float32)
        if spec.scale is None and np.dtype(spec.dtype).kind in "ib":
            return rng.integers(0, 2, spec.shape).astype(spec.dtype)
        return rng.normal(size=spec.shape).astype(np.float32)

    return tuple({spec.name: value(spec) for spec in signature.inputs} for _ in range(count))
