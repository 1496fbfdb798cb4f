from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.builders import npz, signature

from pocketpress.core.errors import DataError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.data import load_dataset, parse_preprocessing

NETWORK = signature((1, 3, 4, 4))
X = np.random.default_rng(0).standard_normal((9, 3, 4, 4)).astype(np.float32)
Y = np.arange(9)


@pytest.mark.parametrize("compressed", [False, True])
def test_samples_are_the_stored_arrays(tmp_path: Path, compressed: bool) -> None:
    data = load_dataset(str(npz(tmp_path / "a.npz", compressed, x=X, y=Y)), NETWORK)
    assert (data.kind, len(data), data.labelled) == ("npz", 9, True)
    samples = list(data.samples())
    np.testing.assert_array_equal(np.concatenate([s.inputs["x"] for s in samples]), X)
    assert [int(s.target) for s in samples if s.target is not None] == Y.tolist()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_choice_keeps_samples_and_targets_together(tmp_path: Path, compressed: bool) -> None:
    data = load_dataset(str(npz(tmp_path / "a.npz", compressed, x=X, y=Y)), NETWORK)
    chosen = list(data.samples(4, seed=5))
    assert len(chosen) == 4
    for sample in chosen:
        assert sample.target is not None
        np.testing.assert_array_equal(sample.inputs["x"][0], X[int(sample.target)])


def test_targets_may_be_arrays_and_absent(tmp_path: Path) -> None:
    dense = np.random.default_rng(1).random((9, 2, 5))
    data = load_dataset(str(npz(tmp_path / "a.npz", x=X, y=dense)), NETWORK)
    first = next(data.samples())
    assert first.target is not None and first.target.shape == (2, 5)
    plain = load_dataset(str(npz(tmp_path / "b.npz", x=X)), NETWORK)
    assert not plain.labelled and next(plain.samples()).target is None


def test_batch_axis_of_one_may_be_stored(tmp_path: Path) -> None:
    data = load_dataset(str(npz(tmp_path / "a.npz", x=X[:, None])), NETWORK)
    assert next(data.samples()).inputs["x"].shape == (1, 3, 4, 4)


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_several_inputs_by_name(tmp_path: Path, prefix: str) -> None:
    network = signature((1, 3, 4, 4), (1, 7))
    more = np.ones((9, 7), np.float64)
    data = load_dataset(str(npz(tmp_path / "a.npz", **{f"{prefix}x0": X, f"{prefix}x1": more})), network)
    first = next(data.samples())
    assert {k: (v.shape, str(v.dtype)) for k, v in first.inputs.items()} == {
        "x0": ((1, 3, 4, 4), "float32"),
        "x1": ((1, 7), "float32"),
    }


def test_an_input_may_be_called_y(tmp_path: Path) -> None:
    specs = (TensorSpec("x", (1, 2), "float32"), TensorSpec("y", (1, 3), "float32"))
    network = Signature(specs, ())
    x, y = np.ones((9, 2), np.float32), np.full((9, 3), 2.0, np.float32)
    data = load_dataset(str(npz(tmp_path / "a.npz", x=x, y=y)), network)
    sample = next(data.samples())
    assert not data.labelled and sample.target is None and sample.inputs["y"].tolist() == [[2.0, 2.0, 2.0]]
    assert load_dataset(str(npz(tmp_path / "b.npz", x=x, x_y=y, y=Y)), network).labelled


def test_whole_number_inputs_stay_whole(tmp_path: Path) -> None:
    network = signature((1, 5), dtype="int32")
    data = load_dataset(str(npz(tmp_path / "a.npz", x=np.arange(10).reshape(2, 5))), network)
    assert next(data.samples()).inputs["x"].dtype == np.int32
    wide = load_dataset(str(npz(tmp_path / "b.npz", x=np.full((2, 5), 2**40))), network)
    with pytest.raises(DataError, match="is out of range"):
        next(wide.samples())


def test_uint8_images_of_any_size_are_preprocessed_when_declared(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 20, 10, 3)).astype(np.uint8)
    data = load_dataset(
        str(npz(tmp_path / "a.npz", x=pixels)), NETWORK, parse_preprocessing("minus1to1", NETWORK)
    )
    values = next(data.samples()).inputs["x"]
    assert values.shape == (1, 3, 4, 4) and -1 <= values.min() < 0 < values.max() <= 1
    raw = next(data.raw_pixels().samples()).inputs["x"]
    assert raw.dtype == np.uint8
    np.testing.assert_allclose(raw / 127.5 - 1, values, atol=1e-6)


def test_normalised_values_give_their_pixels_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 4, 4)).astype(np.uint8)
    prep = parse_preprocessing("minus1to1", NETWORK)
    values = (pixels / 127.5 - 1).astype(np.float32)
    data = load_dataset(str(npz(tmp_path / "a.npz", x=values)), NETWORK, prep).raw_pixels()
    np.testing.assert_array_equal(np.concatenate([s.inputs["x"] for s in data.samples()]), pixels)


def test_unused_arrays_are_listed(tmp_path: Path) -> None:
    data = load_dataset(str(npz(tmp_path / "a.npz", x=X, y=Y, names=np.arange(9))), NETWORK)
    assert data.skipped == (("names", "not an input and not y"),)


def failure(path: Path, network: Signature = NETWORK) -> str:
    with pytest.raises(DataError) as caught:
        list(load_dataset(str(path), network).samples())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"data": X}, "has no array x: got data; allowed: x, x_x; save with np.savez(path, x=…, y=…)"),
        ({"x": X, "y": Y[:5]}, "arrays of different lengths: got x 9, y 5"),
        ({"x": X[:0]}, "x has no samples"),
        ({"x": np.float32(1)}, "x has no samples"),
        ({"x": X.transpose(0, 2, 3, 1)}, "channels are last: transpose to channels first"),
        ({"x": X[:, :, :3]}, "another shape than the network's input: got (3, 3, 4); allowed: (3, 4, 4)"),
        ({"x": np.where(X > 2, np.nan, X)}, "x holds NaN or infinity"),
        ({"x": X, "y": np.where(Y > 3, np.inf, Y)}, "sample 4: the target holds NaN or infinity"),
        ({"x": np.array([["a"]])}, "x is not numeric"),
        ({"x": X.astype(complex)}, "x is not numeric"),
        ({"x": X.astype(np.float64) * 1e300}, "x holds NaN or infinity"),
        ({"x": np.asfortranarray(X)}, "stored in Fortran order"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    assert message in failure(npz(tmp_path / "a.npz", **arrays))


def test_pickled_objects_are_refused_not_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    trap = np.empty(2, dtype=object)
    trap[:] = [Trap(), Trap()]
    assert "x holds pickled objects" in failure(npz(tmp_path / "a.npz", x=trap))
    assert "pickled" in failure(npz(tmp_path / "b.npz", x=X, y=trap))
    assert not (tmp_path / "executed").exists()


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nonsense")
    assert "is not a readable .npz" in failure(tmp_path / "a.npz")
    assert "no such file" in failure(tmp_path / "gone.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY garbage")
    assert "x is not a plain array" in failure(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("x.txt", b"hello")
    assert "has no array x: got no arrays" in failure(tmp_path / "c.npz")


def header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header((10**12, 3, 4, 4)) + b"\0" * 1000)
    assert "x is cut short: got 1000 bytes" in failure(tmp_path / "a.npz")


def test_a_damaged_stream_is_an_error(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", True, x=X)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(bytes(content))
    assert "a.npz" in failure(path)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=X)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert "a.npz" in failure(path)


def test_large_files_are_not_loaded_whole(tmp_path: Path) -> None:
    import tracemalloc

    many = np.zeros((3000, 3, 32, 32), np.float32)
    path = npz(tmp_path / "a.npz", True, x=many)
    data = load_dataset(str(path), signature((1, 3, 32, 32)))
    tracemalloc.start()
    assert sum(1 for _ in data.samples(5, seed=0)) == 5
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < many.nbytes / 8
