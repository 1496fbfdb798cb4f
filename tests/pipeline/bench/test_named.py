"""What ``--device`` names: devices, phones that measured, and neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devices.test_store import SHA, entry

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.devices.store import Store
from pocketpress.pipeline.bench.named import known_names, named_devices, reachable_devices

KINDS = ["adb", "arm64", "host", "ssh"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    for name in ("pixel-7", "pixel-7-2", "ssh:pi@board.local"):
        made.keep("net", "litert", SHA, entry(name=name))
    return made


def test_several_in_order_without_repeats(store: Store) -> None:
    named = named_devices("ssh:b, Pixel 7,host,ssh:b,pixel-7,ssh:a", store)
    assert [device.describe.__self__.name for device in named.devices] == ["ssh:b", "host", "ssh:a"]  # type: ignore[attr-defined]
    assert named.phones == ("pixel-7",)
    assert named_devices(" , ", store).devices == named_devices("", store).devices == ()


@pytest.mark.parametrize("look_up", [named_devices, reachable_devices])
def test_an_unknown_name(look_up: object, store: Store) -> None:
    with pytest.raises(UserError) as caught:
        look_up("host,toaster", store)  # type: ignore[operator]
    assert str(caught.value) == (
        "unknown device: got toaster; allowed: adb, arm64, host, ssh, pixel-7, pixel-7-2; "
        "a phone is known once it measured something: pocketpress bench ARTIFACT --phone"
    )
    with pytest.raises(UserError, match="not a place to log in: got ssh:; allowed: ssh:"):
        look_up("ssh:", store)  # type: ignore[operator]


def test_a_phone_is_not_reached(store: Store) -> None:
    with pytest.raises(
        UserError, match=r"a phone cannot be reached from here: got pixel-7; it measures by poc"
    ):
        reachable_devices("host,pixel-7", store)
    with pytest.raises(UserError, match="no device given; allowed: adb, arm64, host, ssh, pixel-7"):
        reachable_devices(" , ", store)


def test_damage_is_said_before_any_work(store: Store) -> None:
    (store.folder / "pixel-7.json").write_text("{")
    with pytest.raises(ArtifactError, match="kept measurements are damaged"):
        named_devices("pixel-7", store)


def test_many_phones_are_not_all_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(23):
        store.keep("net", "litert", SHA, entry(name=f"p{number:02d}"))
    assert known_names(store) == [*KINDS, *(f"p{n:02d}" for n in range(20)), "and 3 more"]
