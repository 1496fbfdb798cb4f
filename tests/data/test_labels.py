"""Names of classes from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketpress.core.errors import DataError
from pocketpress.data.labels import MAX_FILE_BYTES, read_labels


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("a.txt", b"cat\ndog\n", ("cat", "dog")),
        ("a.txt", b"cat\ndog", ("cat", "dog")),
        ("a.txt", b"\xef\xbb\xbf cat \r\nhot  dog\t\r\n\r\n", ("cat", "hot  dog")),
        ("a.txt", "Zürich\n東京\n🐕\n".encode(), ("Zürich", "東京", "🐕")),
        ("labels", b'["cat"]\n', ('["cat"]',)),
        ("a.json", b'["cat", " dog ", "\\u00e9"]', ("cat", " dog ", "é")),
        ("a.JSON", b'["cat",\n"cat"]', ("cat", "cat")),
    ],
)
def test_a_name_a_line_or_a_list(tmp_path: Path, name: str, content: bytes, labels: tuple[str, ...]) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_labels(tmp_path / name) == labels


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", b"", "holds no names of classes; allowed: a text file of one name a line"),
        ("a.txt", b" \n\n", "holds no names of classes"),
        ("a.json", b"[]", "holds no names of classes"),
        ("a.txt", b"cat\n\ndog\n", "line 2 is empty; allowed: printable text of 1 to 256 bytes; write - for"),
        ("a.txt", b"cat\n" + b"x" * 257, "line 2 has 257 bytes, more than 256"),
        ("a.txt", b"cat\nd\x1bog\n", "line 2 holds a control character"),
        ("a.txt", b"cat\rdog\n", "line 1 holds a control character"),
        (
            "a.txt",
            b"cat\n\xff\n",
            "is not UTF-8: got byte 0xff at 4; allowed: a text file",
        ),
        ("a.txt", "cat".encode("utf-16"), "is not UTF-8"),
        ("a.txt", b"x\n" * 65537, "holds too many names: got 65537; allowed: up to 65536"),
        ("a.txt", (b"x" * 256 + b"\n") * 2049, "are too long: got 524544 bytes; allowed: 524288"),
        ("a.txt", b"x" * (MAX_FILE_BYTES + 1), "is too large: got over 4194304 bytes"),
        ("a.json", b'["cat"', "is not JSON: got Expecting"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b'{"0": "cat"}', "is no list: got dict"),
        ("a.json", b'["cat", 7]', "entry 2 is no text: got 7"),
        ("a.json", b'["cat", ""]', "entry 2 is empty"),
        ("a.json", b'["\\ud800"]', "entry 1 holds half a character"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_labels(tmp_path / name)
    assert text in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the names of classes: got .*: No such file"):
        read_labels(tmp_path / "gone.txt")
    with pytest.raises(DataError, match=r"cannot read the names of classes: got .*: Is a directory"):
        read_labels(tmp_path)


def test_a_file_of_a_thousand_names(tmp_path: Path) -> None:
    names = [f"class {i}, and a long synonym of it" for i in range(1000)]
    (tmp_path / "a.json").write_text(json.dumps(names))
    (tmp_path / "a.txt").write_text("\n".join(names))
    assert read_labels(tmp_path / "a.json") == read_labels(tmp_path / "a.txt") == tuple(names)
