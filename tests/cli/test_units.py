"""What people type for sizes, times, shares and shapes."""

from __future__ import annotations

import pytest

from pocketpress.cli import units
from pocketpress.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [("2MB", 2_000_000), ("900 kB", 900_000), ("1MiB", 1 << 20), ("0.5gb", 500_000_000), ("7B", 7)],
)
def test_sizes(text: str, value: int) -> None:
    assert units.size(text) == value


@pytest.mark.parametrize(("text", "value"), [("20ms", 0.02), ("1.5s", 1.5), ("250us", 0.00025)])
def test_times(text: str, value: float) -> None:
    assert units.duration(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.3", 0.3), ("0.3dB", 0.3), (" 0.5 % ", 0.005)])
def test_drops(text: str, value: float) -> None:
    assert units.drop(text) == pytest.approx(value)


def test_shapes() -> None:
    assert units.shapes(["1,3,224,224", "1x10"]) == ((1, 3, 224, 224), (1, 10))
    assert units.shapes(None) is None and units.shapes([]) is None


@pytest.mark.parametrize("text", ["", "2", "MB", "2 parsecs", "1.2.3MB", "-1MB", "nanMB", "1e3MB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UserError) as caught:
        units.size(text)
    assert "--max-size" in str(caught.value) and "allowed: 2MB" in str(caught.value)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1%", "one", "%"])
def test_drops_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="--max-drop is not a number"):
        units.drop(text)


def test_nothing_given_is_no_limit() -> None:
    assert units.size(None) is None and units.duration(None) is None and units.drop(None) is None
