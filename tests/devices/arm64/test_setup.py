"""The flow of a set-up with small packages from a server on this machine, whose emulator is a shell script.

What is real is tested in `test_real`; here it is what an interruption leaves behind.
"""

from __future__ import annotations

import hashlib
import lzma
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tests.devices.arm64.test_deb import entry, package, tar_of

from pocketpress.core.errors import DeviceError, TrustError, UserError
from pocketpress.core.files import locked
from pocketpress.devices.arm64 import pieces, setup
from pocketpress.devices.arm64.device import PATIENCE, open_arm64
from pocketpress.devices.arm64.pieces import Deb, Wheel
from pocketpress.devices.arm64.setup import Place, remove, set_up

SCRIPT = b'#!/bin/sh\ntest -z "$BREAK" && test -e "$5"\n'
EMULATOR = package(lzma.compress(tar_of(entry(f"./{pieces.EMULATOR}", SCRIPT, mode=0o755))))
PYTHON = package(lzma.compress(tar_of(entry(f"./{pieces.PYTHON}", b"arm", mode=0o755))))
LIBRARY = package(lzma.compress(tar_of(entry("./lib/ld.so", b"arm", mode=0o755))))


class Mirror(BaseHTTPRequestHandler):
    """Serves packages by path."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Mirror]]:
    Mirror.files = {"/q.deb": EMULATOR, "/p.deb": PYTHON, "/l.deb": LIBRARY}
    debs = {path: Deb(path[1:], len(c), hashlib.sha256(c).hexdigest()) for path, c in Mirror.files.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv(pieces.MIRROR_VARIABLE, base)
    monkeypatch.setattr(pieces, "ARCHIVE", f"{base}/archive")
    monkeypatch.setattr(setup, "QEMU", debs["/q.deb"])
    monkeypatch.setattr(setup, "SYSTEM", (debs["/l.deb"], debs["/p.deb"]))
    monkeypatch.setattr(setup, "wheels", lambda: ())
    monkeypatch.setattr(setup, "refusal", lambda: None)
    yield Mirror
    server.shutdown()
    server.server_close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "arm64")


def names(place: Place) -> list[str]:
    """What lies in the folder, the lock left out."""
    return sorted(p.name.partition("-")[0] for p in place.folder.iterdir())


def test_from_nothing(mirror: type[Mirror], place: Place) -> None:
    said: list[str] = []
    set_up(place, said.append)
    assert place.missing() == () and names(place) == ["qemu", "system", "works"]
    assert place.emulator.read_bytes() == SCRIPT and (place.root / "lib/ld.so").read_bytes() == b"arm"
    assert said[0].startswith("fetching about ") and str(place.folder) in said[0]
    mirror.files = {}
    again: list[str] = []
    set_up(place, again.append)
    assert again == [], "nothing is fetched twice"


def test_a_mirror_that_lost_a_file_is_followed_by_the_archive(mirror: type[Mirror], place: Place) -> None:
    mirror.files = {"/archive/q.deb": EMULATOR, "/p.deb": PYTHON, "/l.deb": LIBRARY}
    set_up(place, lambda line: None)
    assert place.missing() == ()


def test_without_network_what_is_there_is_kept(mirror: type[Mirror], place: Place) -> None:
    del mirror.files["/p.deb"]
    with pytest.raises(DeviceError, match=r"cannot fetch p\.deb"):
        set_up(place, lambda line: None)
    assert place.missing() == ("the Arm64 system",)
    assert names(place) == ["downloads", "qemu"]
    assert sorted(p.name for p in (place.folder / "downloads").iterdir()) == ["l.deb", "q.deb"]
    mirror.files = {"/p.deb": PYTHON}
    set_up(place, lambda line: None)
    assert place.missing() == () and names(place) == ["qemu", "system", "works"]


def test_an_altered_package_is_never_unpacked(mirror: type[Mirror], place: Place) -> None:
    mirror.files["/q.deb"] = EMULATOR[:-1] + b"!"
    with pytest.raises(TrustError, match="not the file that was expected"):
        set_up(place, lambda line: None)
    assert names(place) == ["downloads"] and list((place.folder / "downloads").iterdir()) == []
    mirror.files["/q.deb"] = EMULATOR
    set_up(place, lambda line: None)
    assert place.missing() == ()


def test_what_a_killed_set_up_left_is_cleared(mirror: type[Mirror], place: Place) -> None:
    half = place.folder / ".new-killed"
    (half / "usr").mkdir(parents=True)
    (place.folder / "python/.new-killed").mkdir(parents=True)
    set_up(place, lambda line: None)
    assert place.missing() == () and list(place.folder.rglob(".new-*")) == []


def test_a_system_that_does_not_start_says_so(
    mirror: type[Mirror], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Place.environment
    monkeypatch.setattr(Place, "environment", lambda self: {**environment(self), "BREAK": "1"})
    with pytest.raises(DeviceError, match="the emulated Python does not work: got exit status 1"):
        set_up(place, lambda line: None)
    assert place.missing() == ("a first start",)
    monkeypatch.setattr(Place, "environment", environment)
    set_up(place, lambda line: None)
    assert place.missing() == ()


def test_two_at_once(mirror: type[Mirror], place: Place) -> None:
    place.folder.mkdir(parents=True)
    with locked(place.folder):
        with pytest.raises(UserError, match="another process sets this device up"):
            set_up(place, lambda line: None)
        with pytest.raises(UserError, match="another process sets this device up"):
            remove(place)
    assert names(place) == []


def test_no_room(mirror: type[Mirror], place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "ROOM_BYTES", 10**18)
    with pytest.raises(DeviceError, match="not enough room on the disk"):
        set_up(place, lambda line: None)
    assert names(place) == []


def test_a_package_that_pip_does_not_find(
    mirror: type[Mirror], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "wheels", lambda: (Wheel("numpy", "0.0.1"),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(DeviceError, match=r"pip cannot install numpy 0\.0\.1 for Arm64.*same command again"):
        set_up(place, lambda line: None)
    assert place.missing() == ("numpy-0.0.1",)
    assert list((place.folder / "python").iterdir()) == []


def test_removed(mirror: type[Mirror], place: Place) -> None:
    set_up(place, lambda line: None)
    assert remove(place) > 0
    assert not place.folder.exists()
    assert remove(place) == 0


def test_another_machine(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "refusal", lambda: "Linux only")
    with pytest.raises(UserError, match=r"no device arm64 here.*Linux only"):
        set_up(place, lambda line: None)
    assert not place.folder.exists()


def test_versions_are_those_installed_here() -> None:
    from importlib.metadata import version

    chosen = {wheel.name: wheel.version for wheel in pieces.wheels()}
    assert chosen["onnxruntime"] == version("onnxruntime")
    assert chosen["executorch"] == version("executorch").partition("+")[0]
    assert chosen["numpy"] == pieces.NUMPY_VERSION
    assert "torch" not in chosen


def test_pins_are_complete() -> None:
    for deb in (pieces.QEMU, *pieces.SYSTEM):
        assert len(deb.sha256) == 64 and int(deb.sha256, 16) and deb.size_bytes > 0
        assert deb.remote.urls[0].endswith(deb.path) and deb.path.startswith("pool/main/")
    assert len({deb.sha256 for deb in pieces.SYSTEM}) == len(pieces.SYSTEM)


def test_not_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path))
    with pytest.raises(DeviceError, match="not set up; run: pocketpress device setup arm64"):
        open_arm64("").connect()
    assert list(tmp_path.iterdir()) == []


def test_what_may_follow_the_name() -> None:
    assert open_arm64("").name == "arm64"
    assert open_arm64("cortex-a53:4GB").name == "arm64:cortex-a53:4GB"
    with pytest.raises(UserError, match=r"takes a processor.*got pentium.*cortex-a76"):
        open_arm64("pentium")
    with pytest.raises(UserError, match="too little memory"):
        open_arm64("500MB")
    assert PATIENCE.run_s >= 600
