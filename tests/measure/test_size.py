"""Sizes of files and folders."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.measure.size import Size, measure_size


def test_a_file(tmp_path: Path) -> None:
    content = b"weights" * 100_000 + random.Random(0).randbytes(5000)
    (tmp_path / "net").write_bytes(content)
    assert measure_size(tmp_path / "net") == Size(len(content), len(zlib.compress(content, 9)))


def test_a_folder_is_the_sum_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "net" / "data").mkdir(parents=True)
    (tmp_path / "net" / "model").write_bytes(b"a" * 1000)
    (tmp_path / "net" / "data" / "weights").write_bytes(b"b" * 2000)
    (tmp_path / "net" / "link").symlink_to(tmp_path / "net" / "model")
    expected = len(zlib.compress(b"a" * 1000, 9)) + len(zlib.compress(b"b" * 2000, 9))
    assert measure_size(tmp_path / "net") == Size(3000, expected)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot measure the artifact: got .*No such file"):
        measure_size(tmp_path / "absent")
