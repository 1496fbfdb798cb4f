"""The cache: content-keyed, atomic, and never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketpress.pipeline.cache import Cache, default_folder


def test_what_was_put_is_got(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path / "c"), Cache.key("kind", 1, "x")
    assert cache.get(key) is None
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("inner")
    cache.put(key, {"a": b"bytes", "b": tmp_path / "folder"})
    hit = cache.get(key)
    assert hit is not None and (hit / "a").read_bytes() == b"bytes"
    assert (hit / "b" / "file").read_text() == "inner"
    assert [p.name for p in (tmp_path / "c").iterdir()] == [key]


def test_keys_depend_on_every_part_and_on_nothing_else() -> None:
    assert Cache.key("k", {"a": 1, "b": 2}) == Cache.key("k", {"b": 2, "a": 1})
    assert len({Cache.key("k", 1), Cache.key("k", 2), Cache.key("j", 1), Cache.key("k", 1, None)}) == 4


def test_an_unfinished_entry_is_a_miss(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path), Cache.key("k")
    (tmp_path / key).mkdir()
    (tmp_path / key / "a").write_text("half")
    assert cache.get(key) is None


def test_the_first_writer_wins(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path), Cache.key("k")
    cache.put(key, {"a": b"1"})
    cache.put(key, {"a": b"2"})
    hit = cache.get(key)
    assert hit is not None and (hit / "a").read_bytes() == b"1"
    assert [p.name for p in tmp_path.iterdir()] == [key]


def test_a_failure_to_store_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    Cache(tmp_path / "file").put("k", {"a": b"1"})
    cache = Cache(tmp_path / "c")
    cache.put("k", {"a": b"1", "b": tmp_path / "missing"})
    assert cache.get("k") is None and list((tmp_path / "c").iterdir()) == []


def test_no_folder_is_no_cache() -> None:
    Cache(None).put("k", {"a": b"1"})
    assert Cache(None).get("k") is None


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    monkeypatch.delenv("POCKETPRESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "pocketpress"
