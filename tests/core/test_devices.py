"""Finding devices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pocketpress.core import devices
from pocketpress.core.errors import UserError


class Point:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.loaded = name, value, 0

    def load(self) -> object:
        self.loaded += 1
        return lambda rest: (self.name, rest)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Point]]:
    points = [Point("host", "p.host:f"), Point("ssh", "p.ssh:f"), Point("ssh", "p.ssh:f")]
    monkeypatch.setattr(devices, "entry_points", lambda group: points)
    devices.all_devices.cache_clear()
    yield points
    devices.all_devices.cache_clear()


@pytest.mark.parametrize(
    ("text", "opened"),
    [("host", ("host", "")), ("ssh:a@b:22", ("ssh", "a@b:22")), (" ssh:[::1] ", ("ssh", "[::1]"))],
)
def test_a_name_and_what_it_needs(installed: list[Point], text: str, opened: tuple[str, str]) -> None:
    assert devices.open_device(text) == opened
    assert installed[0].loaded == (opened[0] == "host")  # nothing else was imported


@pytest.mark.parametrize("text", ["", "ssh2", ":ssh", "SSH:a"])
def test_an_unknown_name(installed: list[Point], text: str) -> None:
    with pytest.raises(UserError, match=r"unknown device: got .*; allowed: host, ssh"):
        devices.open_device(text)


def test_a_name_used_twice_names_both(installed: list[Point]) -> None:
    installed.append(Point("host", "q.other:f"))
    devices.all_devices.cache_clear()
    with pytest.raises(UserError, match=r"define the device host: got p.host:f and q.other:f"):
        devices.open_device("ssh:a")
