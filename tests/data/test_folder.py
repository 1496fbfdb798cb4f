from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import class_folders, picture, png, signature

from pocketpress.core.errors import DataError
from pocketpress.data import load_dataset
from pocketpress.data.folder import open_folder

NETWORK = signature((1, 3, 8, 8))


def test_class_folders_are_labelled_in_name_order(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d", ("dog", "cat"))), NETWORK)
    assert (data.kind, len(data), data.labelled) == ("folder", 6, True)
    targets = [int(s.target) for s in data.samples() if s.target is not None]
    assert targets == [0, 0, 0, 1, 1, 1]
    assert open_folder(tmp_path / "d", 3).classes == ("cat", "dog")


def test_pixels_reach_the_network_divided_by_255(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d")), NETWORK)
    first = next(iter(data.samples(1, seed=0)))
    assert first.inputs["x"].shape == (1, 3, 8, 8) and first.inputs["x"].dtype == np.float32
    whole = next(data.samples())
    expected = np.asarray(picture(0)).transpose(2, 0, 1)[None] / 255
    np.testing.assert_allclose(whole.inputs["x"], expected, rtol=1e-6)


def test_raw_pixels_are_the_images_bytes(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d")), NETWORK).raw_pixels()
    got = next(data.samples()).inputs["x"]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[0], np.asarray(picture(0)).transpose(2, 0, 1))


def test_whole_number_names_are_the_labels(tmp_path: Path) -> None:
    reader = open_folder(class_folders(tmp_path / "d", ("10", "9", "2"), each=1), 3)
    assert [label for _, label in reader.files] == [10, 2, 9]
    assert reader.classes == () and reader.labelled, "numbers are no names"


def test_classes_file_gives_the_order(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d", each=1)
    (root / "classes.txt").write_text("dog\nbird\ncat\n")
    assert [label for _, label in open_folder(root, 3).files] == [2, 0]
    data = load_dataset(str(root), NETWORK)
    assert data.classes == ("dog", "bird", "cat"), "those without a folder count too"


def test_images_without_classes_have_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    data = load_dataset(str(tmp_path), NETWORK)
    assert not data.labelled and next(data.samples()).target is None and data.classes == ()


def test_other_files_are_listed_not_lost(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d")
    (root / "cat" / "notes.txt").write_text("hello")
    (root / "empty").mkdir()
    names = {Path(name).name: reason for name, reason in load_dataset(str(root), NETWORK).skipped}
    assert names == {"notes.txt": "not an image by its suffix", "empty": "no images in this folder"}


def test_a_choice_is_seeded_and_without_repeats(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d", each=10)), NETWORK)

    def chosen(seed: int) -> list[bytes]:
        return [s.inputs["x"].tobytes() for s in data.samples(7, seed)]

    assert chosen(1) == chosen(1) != chosen(2)
    assert len(set(chosen(1))) == 7


def test_grey_networks_get_grey_images(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d")), signature((1, 1, 8, 8)))
    assert next(data.samples()).inputs["x"].shape == (1, 1, 8, 8)


def failure(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        list(load_dataset(str(root), NETWORK).samples())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors_are_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has no images" in failure(empty)
    mixed = class_folders(tmp_path / "mixed")
    (mixed / "loose.png").write_bytes(png(5))
    assert "images beside class folders: got loose.png beside cat/" in failure(mixed)
    listed = class_folders(tmp_path / "listed")
    (listed / "classes.txt").write_text("cat\n")
    assert "lacks a class folder: got dog" in failure(listed)


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "d")
    bad = root / "dog" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    assert "dog/1.png: corrupt or unreadable image" in failure(root)
    bad.write_bytes(b"not an image at all")
    assert "dog/1.png: not an image" in failure(root)
