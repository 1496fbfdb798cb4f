"""Disjoint sets of tensor names."""

from __future__ import annotations

from pocketpress.compress.quantize.groups import Groups


def test_union_and_members() -> None:
    groups = Groups("abcd")
    assert groups.union("a", "b") == "a"
    groups.union("c", "b")
    assert groups.find("a") == groups.find("c") and groups.find("d") == "d"
    assert sorted(map(sorted, groups.members().values())) == [["a", "b", "c"], ["d"]]


def test_union_with_itself() -> None:
    groups = Groups("a")
    assert groups.union("a", "a") == "a" and groups.find("a") == "a"
