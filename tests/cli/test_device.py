"""``pocketpress device``: the list, what needs no set-up, what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Press
from tests.devices.test_store import SHA, entry

from pocketpress.devices.store import Store


@pytest.fixture
def cache(pocketpress: Press, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_list_and_nothing_is_made(pocketpress: Press, cache: Path) -> None:
    found = {kind["name"]: kind for kind in json.loads(pocketpress("device", "list", "--json").out)}
    assert {"host", "arm64", "ssh", "adb"} <= set(found)
    assert found["host"]["state"] == "ready" and found["host"]["disk_bytes"] == 0
    assert found["arm64"]["state"].startswith(("not set up", "not here"))
    assert found["arm64"]["folder"] == str(cache / "devices" / "arm64")
    shown = pocketpress("device")
    assert shown.code == 0 and "arm64:cortex-a53" in shown.out
    assert not cache.exists()


def test_phones_that_measured_are_listed(
    pocketpress: Press, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(cache.with_name("kept"))
    monkeypatch.setenv("POCKETPRESS_DEVICES", str(store.folder))
    told = {"created": "2031-02-03T00:00:00+00:00", "description": "Pixel 7, Android 14"}
    store.keep("net", "litert", SHA, entry().model_copy(update=told), "phone-1x")
    store.keep("net", "litert", SHA, entry(name="ssh:pi").model_copy(update={"kind": "ssh"}))
    (store.folder / "iphone.json").write_text("{")
    found = {kind["name"]: kind for kind in json.loads(pocketpress("device", "list", "--json").out)}
    assert found["pixel-7"]["typed"] == "pixel-7" and "ssh:pi" not in found
    assert found["pixel-7"]["state"] == "1 artifact measured, last 2031-02-03"
    assert found["pixel-7"]["what"] == "a phone, for press only: Pixel 7, Android 14"
    assert "kept measurements are damaged" in found["iphone"]["state"]
    assert "pixel-7" in pocketpress("device").out


def test_half_a_set_up_says_what_it_lacks(pocketpress: Press, cache: Path) -> None:
    emulator = next(iter(_emulators(cache)))
    emulator.parent.mkdir(parents=True)
    emulator.write_bytes(b"x" * 5000)
    (kind,) = (k for k in json.loads(pocketpress("device", "list", "--json").out) if k["name"] == "arm64")
    assert kind["state"].startswith(("lacks the Arm64 system, ", "not here"))
    assert kind["disk_bytes"] >= 5000
    removed = pocketpress("device", "remove", "arm64", "--json")
    assert json.loads(removed.out)["freed_bytes"] == kind["disk_bytes"]
    assert not emulator.exists()


def _emulators(cache: Path) -> list[Path]:
    from pocketpress.devices.arm64.setup import default_place

    place = default_place()
    assert place.folder == cache / "devices" / "arm64"
    return [place.emulator]


def test_what_cannot_be_set_up(pocketpress: Press, cache: Path) -> None:
    host = pocketpress("device", "setup", "host")
    assert host.code == 2 and "the device host needs no set-up: got host; allowed: arm64" in host.err
    unknown = pocketpress("device", "setup", "toaster")
    assert unknown.code == 2 and "unknown device: got toaster" in unknown.err
    nothing = pocketpress("device", "remove", "arm64")
    assert nothing.code == 0 and nothing.out.strip() == "arm64: nothing was set up"
    assert not cache.exists()
