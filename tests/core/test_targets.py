"""Finding targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketpress.core import targets
from pocketpress.core.errors import ArtifactError, MissingExtraError, UserError
from pocketpress.core.target import TargetSpec


def card(
    name: str, suffix: str = ".x", groups: tuple[str, ...] = (), requires: tuple[str, ...] = ()
) -> TargetSpec:
    return TargetSpec(name, name, suffix, "nowhere", requires, groups, ("fp32",))


class Point:
    def __init__(self, name: str, value: str, spec: TargetSpec) -> None:
        self.name, self.value, self.spec = name, value, spec

    def load(self) -> TargetSpec:
        return self.spec


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Point]]:
    points = [
        Point("a", "p.a:SPEC", card("a", ".aa", ("phone",))),
        Point("b", "p.b:SPEC", card("b", ".bb", ("phone", "web"))),
        Point("c", "p.c:SPEC", card("c", ".cc")),
    ]
    monkeypatch.setattr(targets, "entry_points", lambda group: points)
    targets.all_targets.cache_clear()
    yield points
    targets.all_targets.cache_clear()


@pytest.mark.parametrize(
    ("text", "names"), [("a", "a"), ("c,a", "ca"), ("phone", "ab"), ("b,phone,b", "ba"), (" a , c ", "ac")]
)
def test_names_and_groups_in_order_without_repeats(installed: Any, text: str, names: str) -> None:
    assert "".join(spec.name for spec in targets.resolve_targets(text)) == names


@pytest.mark.parametrize("text", ["", " , "])
def test_no_name(installed: Any, text: str) -> None:
    with pytest.raises(UserError, match="no target given; allowed: a, b, c, phone, web"):
        targets.resolve_targets(text)


def test_an_unknown_name(installed: Any) -> None:
    with pytest.raises(UserError, match="unknown target: got d; allowed: a, b, c, phone, web"):
        targets.resolve_targets("a,d")


def test_a_name_used_twice_names_both_owners(installed: list[Point]) -> None:
    installed.append(Point("a", "other.package:SPEC", card("a")))
    with pytest.raises(
        UserError, match=r"two packages define the target a: got p.a:SPEC and other.package:SPEC"
    ):
        targets.all_targets()


def test_the_same_entry_twice_is_no_conflict(installed: list[Point]) -> None:
    installed.append(installed[0])
    assert list(targets.all_targets()) == ["a", "b", "c"]


def test_the_suffix_decides(installed: Any) -> None:
    assert targets.target_of(Path("deep.er/net.bb")).name == "b"
    with pytest.raises(
        ArtifactError, match=r"not an artifact of any target: got net.zip; allowed: .aa, .bb, .cc"
    ):
        targets.target_of(Path("net.zip"))


def test_a_missing_package_names_the_command() -> None:
    with pytest.raises(
        MissingExtraError, match=r"missing no_such_package; run: pip install 'pocketpress\[z\]'"
    ):
        card("z", requires=("sys", "no_such_package")).check_installed()


def test_built_in_targets_come_through_the_public_door() -> None:
    targets.all_targets.cache_clear()
    found = targets.all_targets()
    assert {"litert", "executorch", "onnxruntime", "coreml", "pytorch-mobile"} <= set(found)
    assert len({spec.suffix for spec in found.values()}) == len(found)
    assert all(spec.name == name for name, spec in found.items())
