"""What an artifact is compared with on a device: what its press kept, by the press's own standard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.report import sample

from pocketpress.core.record import Parity
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.targets import all_targets
from pocketpress.pipeline.bench.golden import Golden, write_golden
from pocketpress.pipeline.bench.reference import reference_of
from pocketpress.pipeline.bench.subjects import Subject

SIGNATURE = Signature(
    inputs=(TensorSpec("x", (1, 3), "float32"),),
    outputs=(TensorSpec("y", (1, 2), "float32", grid_scale=0.5),),
)
OUTPUTS = tuple({"y": np.asarray([[i * 10.0, -i]], np.float32)} for i in range(4))
FLOATS = tuple({"y": o["y"] + np.float32(0.01)} for o in OUTPUTS)
GOLDEN = Golden(tuple({"x": np.ones((1, 3), np.float32)} for _ in range(4)), OUTPUTS, FLOATS, "the reference")


def subject(folder: Path, parity: Parity) -> Subject:
    """An artifact that a press left in ``folder``, with what it compared there."""
    (folder / "bench").mkdir()
    (folder / "net.tflite").write_bytes(b"artifact")
    write_golden(GOLDEN, folder / "bench" / "golden.npz")
    sha = "a" * 64
    record = sample.record()
    target = record.targets[0].model_copy(update={"sha256": sha, "parity": parity})
    record = record.model_copy(update={"targets": (target,), "signature": SIGNATURE})
    return Subject(folder / "net.tflite", all_targets()["litert"], sha, record, folder / "record.json")


def test_what_the_press_kept(tmp_path: Path) -> None:
    found = reference_of(subject(tmp_path, sample.EXACT), None, 3)
    assert found.signature == SIGNATURE and found.notes == ()
    assert found.golden is not None and len(found.golden.inputs) == 3 and not found.golden.approximate


@pytest.mark.parametrize(("required", "limit"), [(None, None), (40.0, True)])
def test_float_arithmetic_on_integer_weights_is_held_to_its_error(
    tmp_path: Path, required: float | None, limit: bool | None
) -> None:
    """A runtime that computes the program in float errs less than the integers, and equals none of them."""
    parity = sample.EXACT.model_copy(update={"required_sqnr_db": required})
    golden = reference_of(subject(tmp_path, parity), None, 4).golden
    assert golden is not None and golden.approximate == (required is not None)
    assert (golden.compare(FLOATS, SIGNATURE).required_sqnr_db is not None) == bool(limit)
