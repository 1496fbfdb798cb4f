from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pyarrow = pytest.importorskip("pyarrow", reason="reading .parquet needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="reading .parquet needs pyarrow")

from tests.data.builders import picture, png, signature  # noqa: E402

from pocketpress.core.errors import DataError  # noqa: E402
from pocketpress.data import load_dataset  # noqa: E402

NETWORK = signature((1, 3, 8, 8))


def write(path: Path, columns: dict[str, Any], rows_per_group: int = 4) -> Path:
    pq.write_table(pyarrow.table(columns), path, row_group_size=rows_per_group)
    return path


def images(count: int) -> list[bytes]:
    return [png(i) for i in range(count)]


def test_rows_are_decoded_with_their_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"image": images(11), "label": list(range(11))})
    data = load_dataset(str(path), NETWORK)
    assert (data.kind, len(data), data.labelled) == ("parquet", 11, True)
    samples = list(data.samples())
    assert [int(s.target) for s in samples if s.target is not None] == list(range(11))
    expected = np.asarray(picture(10)).transpose(2, 0, 1)[None] / 255
    np.testing.assert_allclose(samples[10].inputs["x"], expected, rtol=1e-6)


@pytest.mark.parametrize("rows_per_group", [1, 3, 100])
def test_a_choice_crosses_row_groups(tmp_path: Path, rows_per_group: int) -> None:
    path = write(tmp_path / "a.parquet", {"image": images(20), "label": list(range(20))}, rows_per_group)
    chosen = list(load_dataset(str(path), NETWORK).samples(9, seed=3))
    assert len(chosen) == 9
    for sample in chosen:
        assert sample.target is not None
        expected = np.asarray(picture(int(sample.target))).transpose(2, 0, 1)[None] / 255
        np.testing.assert_allclose(sample.inputs["x"], expected, rtol=1e-6)


def test_columns_are_found_by_type_when_the_names_say_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"digit": [3, 4], "content": images(2), "text": ["a", "b"]})
    data = load_dataset(str(path), NETWORK)
    assert data.labelled and data.skipped == (("text", "neither image nor label column"),)
    assert int(next(data.samples()).target or 0) == 3


def test_structs_with_bytes_are_images(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"img": [{"bytes": png(0), "path": "a"}]})
    data = load_dataset(str(path), NETWORK)
    assert not data.labelled and next(data.samples()).inputs["x"].shape == (1, 3, 8, 8)


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"a": images(1), "b": [png(7)], "p": [1], "q": [2]})
    with pytest.raises(DataError, match=r"several columns could be the image: got a, b; name it: .*image=a"):
        load_dataset(str(path), NETWORK)
    sample = next(load_dataset(f"{path}?image=b&label=q", NETWORK).samples())
    assert sample.target is not None and int(sample.target) == 2
    with pytest.raises(DataError, match="has no column z; allowed: a, b, p, q"):
        load_dataset(f"{path}?image=z", NETWORK)
    with pytest.raises(DataError, match="unknown column role: got mask"):
        load_dataset(f"{path}?mask=z", NETWORK)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [1, 2]}, "has no image column: got label (int64)"),
        ({"image": [b"junk", b"junk"]}, "a.parquet row 0: not an image"),
        ({"image": [png(0), png(1)[:50]]}, "a.parquet row 1: corrupt or unreadable image"),
        ({"image": [png(0), None]}, "a.parquet row 1: no image: got NoneType"),
        ({"image": images(2), "label": [1, None]}, "a.parquet row 1: no label: got null"),
        ({"image": pyarrow.array([], pyarrow.binary())}, "has no rows"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.parquet", columns)
    with pytest.raises(DataError) as caught:
        list(load_dataset(str(path), NETWORK).samples())
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DataError, match="is not a parquet file"):
        load_dataset(str(path), NETWORK)
    with pytest.raises(DataError, match="no such file"):
        load_dataset(str(tmp_path / "gone.parquet"), NETWORK)


@pytest.mark.parametrize(
    ("feature", "classes"),
    [
        ({"names": ["cat", "dog"], "_type": "ClassLabel"}, ("cat", "dog")),
        ({"dtype": "int64", "_type": "Value"}, ()),
        ({"names": "cat"}, ()),
        ({"names": [1, 2]}, ()),
        (None, ()),
    ],
)
def test_names_of_classes_in_the_metadata(tmp_path: Path, feature: object, classes: tuple[str, ...]) -> None:
    table = pyarrow.table({"image": images(2), "label": [1, 0]})
    described = {"info": {"features": {"label": feature, "image": {"_type": "Image"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(described)})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load_dataset(str(tmp_path / "a.parquet"), NETWORK).classes == classes


def test_metadata_that_is_no_json_names_nothing(tmp_path: Path) -> None:
    table = pyarrow.table({"image": images(1)}).replace_schema_metadata({"huggingface": "{"})
    pq.write_table(table, tmp_path / "a.parquet")
    assert load_dataset(str(tmp_path / "a.parquet"), NETWORK).classes == ()
