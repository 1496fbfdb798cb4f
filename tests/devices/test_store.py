"""Measurements of devices, kept on disk."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.record import DeviceEntry, Latency
from pocketpress.devices import store as module
from pocketpress.devices.store import NOBODY, Store, default_folder, replaced, slug

SHA, OTHER = "a" * 64, "b" * 64


def entry(median: float = 0.01, backend: str = "wasm", name: str = "pixel-7") -> DeviceEntry:
    latency = Latency(median=median, p90=median, threads=1, runs=10)
    return DeviceEntry(
        name=name, kind="browser", runtime="LiteRT.js", backend=backend, latency_s=latency, verdict="pass"
    )


def test_kept_and_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "devices")
    assert store.find("pixel-7", SHA) == () and store.names() == ()
    store.keep("net.tflite", "litert", SHA, entry())
    assert store.find("Pixel 7", SHA) == (entry(),)
    assert store.find("pixel-7", OTHER) == () and store.find("iphone", SHA) == ()
    assert store.names() == ("pixel-7",)
    assert [p.name for p in store.folder.iterdir()] == ["pixel-7.json"]


def test_the_last_of_a_backend_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for median, backend in ((0.01, "wasm"), (0.02, "webgpu"), (0.03, "wasm")):
        store.keep("net.tflite", "litert", SHA, entry(median, backend))
    assert store.find("pixel-7", SHA) == (entry(0.02, "webgpu"), entry(0.03, "wasm"))
    store.keep("other.tflite", "litert", OTHER, entry())
    kept = store.read("pixel-7")
    assert kept is not None and [k.artifact for k in kept.artifacts] == ["net.tflite", "other.tflite"]


def test_a_name_is_one_phones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep("net", "litert", SHA, entry(0.01), "phone-1x")
    with pytest.raises(DeviceError, match="another phone has this name: got pixel-7; give this one a name"):
        store.keep("net", "litert", SHA, entry(0.02), "phone-2x")
    store.keep("net", "litert", SHA, entry(0.02, name="pixel-7-2"), "phone-2x")
    assert store.find("pixel-7", SHA) == (entry(0.01),)
    assert store.owners() == {"pixel-7": "phone-1x", "pixel-7-2": "phone-2x"}


def test_a_file_of_before_is_read_and_taken_over(tmp_path: Path) -> None:
    store, other = Store(tmp_path), entry().model_copy(update={"kind": "ssh", "name": "ssh:pi"})
    store.keep("net", "litert", SHA, entry())
    store.keep("net", "litert", SHA, other)
    path = tmp_path / "pixel-7.json"
    old = json.loads(path.read_text())
    del old["identity"]  # as versions before wrote it
    path.write_text(json.dumps(old))
    (tmp_path / "iphone.json").write_text("{")
    assert store.find("pixel-7", SHA) == (entry(),)
    assert store.owners() == {"pixel-7": None, "ssh:pi": NOBODY, "iphone": NOBODY}
    store.keep("net", "litert", OTHER, entry(0.02), "phone-1x")
    assert store.find("pixel-7", SHA) == (entry(),) and store.find("pixel-7", OTHER) == (entry(0.02),)
    assert store.owners()["pixel-7"] == "phone-1x"


def test_two_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.devices.test_store import Store, entry\n"
        "for i in range(20):\n"
        "    Store(Path(sys.argv[1])).keep('net', 'litert', f'{sys.argv[2]}{i:063x}', entry())"
    )
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", code, str(tmp_path), digit]))
            for digit in "ab"
        ]
        assert [process.wait(120) for process in started] == [0, 0]
    kept = Store(tmp_path).read("pixel-7")
    assert kept is not None and len(kept.artifacts) == 40


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ARTIFACTS", 3)
    store = Store(tmp_path)
    for digit in "01234":
        store.keep("net", "litert", digit * 64, entry())
    kept = store.read("pixel-7")
    assert kept is not None and [k.sha256[0] for k in kept.artifacts] == ["2", "3", "4"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 2}', b'{"format": 1, "name": "x"}', b"\xff"])
def test_a_damaged_file_is_said_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pixel-7.json"
    path.write_bytes(content)
    store = Store(tmp_path)
    for act in (lambda: store.find("pixel-7", SHA), lambda: store.keep("net", "litert", SHA, entry())):
        with pytest.raises(ArtifactError, match="kept measurements are damaged"):
            act()
    assert path.read_bytes() == content and [p.name for p in tmp_path.iterdir()] == ["pixel-7.json"]


def test_no_folder_no_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot keep measurements"):
        Store(tmp_path / "file" / "devices").keep("net", "litert", SHA, entry())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("Pixel 7", "pixel-7"), ("../../etc/passwd", "etc-passwd"), ("iPhone", "iphone"), ("  ", "device"),
     ("ssh:pi@board.local", "ssh:pi@board.local"), ("x" * 100, "x" * 64), ("…\n", "device")],
)  # fmt: skip
def test_names_are_safe_as_files(tmp_path: Path, name: str, wanted: str) -> None:
    assert slug(name) == wanted
    store = Store(tmp_path / "s")
    store.keep("net", "litert", SHA, entry(name=name))
    assert store.names() == (wanted,) and store.find(name, SHA) != ()
    assert len(list((tmp_path / "s").iterdir())) == 1


def test_an_entry_replaces_its_like() -> None:
    skipped = DeviceEntry(name="pixel-7", kind="browser", verdict="skipped", reasons=("no SIMD",))
    assert replaced((skipped,), entry()) == (entry(),), "what it can run now it is no longer unable to run"
    assert replaced((entry(),), skipped) == (entry(), skipped)
    assert replaced((entry(0.01), entry(name="iphone")), entry(0.02)) == (entry(name="iphone"), entry(0.02))
    many = tuple(entry(name=f"p{i}") for i in range(256))
    assert len(replaced(many, entry())) == 256 and replaced(many, entry())[-1] == entry()


def test_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETPRESS_DEVICES", "/here")
    assert default_folder() == Path("/here")
    monkeypatch.delenv("POCKETPRESS_DEVICES")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_folder() == Path("/data/pocketpress/devices")
