"""Golden samples: written, read, compared; and what is no golden sample."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.state import State
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.pipeline.bench import golden as module
from pocketpress.pipeline.bench.golden import Golden, fitting, random_inputs, read_golden, write_golden

SIGNATURE = Signature(
    inputs=(TensorSpec("x", (1, 3), "float32"),),
    outputs=(TensorSpec("y", (1, 2), "int8", scale=0.5, grid_scale=0.5),),
)


def samples(count: int = 3) -> Golden:
    rng = np.random.default_rng(0)
    inputs = tuple({"x": rng.normal(size=(1, 3)).astype(np.float32)} for _ in range(count))
    outputs = tuple({"y": np.asarray([[i * 10.0, -i]], np.float32)} for i in range(count))
    floats = tuple({"y": o["y"] + np.float32(0.1)} for o in outputs)
    return Golden(inputs, outputs, floats, "the integer reference of the press", True)


@pytest.mark.parametrize("with_floats", [True, False])
def test_there_and_back(tmp_path: Path, with_floats: bool) -> None:
    made = samples()
    if not with_floats:
        made = Golden(made.inputs, made.outputs, None, made.reference)
    write_golden(made, tmp_path / "golden.npz")
    found = read_golden(tmp_path / "golden.npz", SIGNATURE)
    assert (found.reference, found.approximate) == (made.reference, made.approximate)
    for a, b in zip(found.inputs + found.outputs, made.inputs + made.outputs, strict=True):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[k], b[k]) for k in a)
    assert (found.floats is not None) == with_floats
    assert [p.name for p in tmp_path.iterdir()] == ["golden.npz"]


def test_compared() -> None:
    made = samples()
    assert made.compare(made.outputs, SIGNATURE).equal == 1.0
    off = [{"y": o["y"] + np.float32([[0.5, 0]])} for o in made.outputs]
    parity = made.compare(off, SIGNATURE)
    assert (parity.equal, parity.within_1_lsb, parity.max_lsb) == (0.5, 1.0, 1)
    assert made.compare(off[:2], SIGNATURE).samples == 2


OTHER = Signature(inputs=(TensorSpec("x", (1, 4), "float32"),), outputs=SIGNATURE.outputs)


def test_of_another_network(tmp_path: Path) -> None:
    write_golden(samples(), tmp_path / "golden.npz")
    with pytest.raises(ArtifactError, match="no golden samples of this network"):
        read_golden(tmp_path / "golden.npz", OTHER)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"{}"])
def test_not_golden_samples(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="no golden samples"):
        read_golden(path, SIGNATURE)


def test_a_bomb_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "golden.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\0" * 100_000)
    assert path.stat().st_size < 1000
    with pytest.raises(ArtifactError, match="too large: got 100000 bytes"):
        read_golden(path, SIGNATURE)


def test_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    np.savez(path, facts=np.asarray([{"format": 1}], dtype=object))
    with pytest.raises(ArtifactError, match="no golden samples"):
        read_golden(path, SIGNATURE)


def test_as_many_as_fit() -> None:
    half = {"x": np.zeros(module.MAX_BYTES // 8, np.float32)}
    assert fitting(8, [half]) == 2
    assert fitting(8, [half, half, half]) == 1, "one in any case"
    assert fitting(8, [{"x": np.zeros(10)}]) == 8


def test_random_inputs_are_inputs() -> None:
    signature = Signature(
        inputs=(
            TensorSpec("ids", (1, 50), "int64", rows=7),
            TensorSpec("pixels", (1, 8, 8, 3), "uint8"),
            TensorSpec("h", (1, 2), "float32"),
            TensorSpec("x", (2, 2), "int8", scale=0.1),
        ),
        outputs=(TensorSpec("h_out", (1, 2), "float32"),),
        states=(State("h", "h_out", (0.25,)),),
    )
    first, second = random_inputs(signature, 2, 0)
    assert first["ids"].min() >= 0 and first["ids"].max() <= 6 and first["ids"].dtype == np.int64
    assert first["pixels"].min() >= 0 and 200 < first["pixels"].max() <= 255
    assert (first["h"] == 0.25).all()
    assert not np.array_equal(first["x"], second["x"])
    assert np.array_equal(random_inputs(signature, 2, 0)[1]["x"], second["x"])
