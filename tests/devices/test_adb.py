"""Phones over adb: what they compute, by either road, what goes wrong, and what is left on them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.devices.adb_server import AdbServer, FakePhone, serving
from tests.devices.fake_runtime import SPEC
from tests.devices.test_runtimes import TARGETS, X, card, lowered, run_here

import pocketpress
from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError, UserError
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices import python_device, runner
from pocketpress.devices.adb import folder, shell
from pocketpress.devices.adb.device import AdbDevice, open_adb
from pocketpress.devices.adb.programs import Programs
from pocketpress.devices.adb.server import Server, choose
from pocketpress.devices.adb.sync import pull, push_bytes
from pocketpress.devices.adb.tools import TOOLS
from pocketpress.devices.isolated import Patience

NOTHING: tuple[list[str], list[int]] = ([], [])
FEED = np.arange(6, dtype=np.float32).reshape(2, 3)
PROGRAMS = Path(__file__).parent / "programs"
SOURCE = Path(pocketpress.__file__).parents[1]
GETPROP = """#!/bin/sh
case $1 in
  ro.product.manufacturer) echo Google ;;
  ro.product.model) echo Pixel 7 ;;
  ro.soc.model) echo Tensor G2 ;;
  ro.product.cpu.abi) echo arm64-v8a ;;
  ro.build.version.release) echo 14 ;;
esac
"""


def phone_in(folder: Path, *, python: bool = True) -> FakePhone:
    phone = FakePhone("29051FDH2000AB", folder)
    phone.program("getprop", GETPROP)
    text = f'#!/bin/sh\nexec {sys.executable} "$@"\n' if python else "#!/bin/sh\nexit 127\n"
    phone.program("python3", text)
    return phone


@pytest.fixture
def phone(tmp_path: Path) -> FakePhone:
    return phone_in(tmp_path / "phone")


@pytest.fixture
def server(phone: FakePhone) -> Iterator[AdbServer]:
    with serving(phone) as started:
        yield started
        assert phone.settled() == NOTHING


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An artifact of the fake runtime, which is made one of the installed targets."""
    for module in (runner, python_device):
        monkeypatch.setattr(module, "all_targets", lambda: {"fake": SPEC})
    path = tmp_path / "net.fake"
    path.write_text("fine")
    return path


def program_of(target: str, phone: FakePhone, folder: Path) -> Path:
    """A runtime's program as a user would name it; it needs what its runtime needs on this machine."""
    name = TOOLS[target].program
    path = folder / name
    path.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} {PROGRAMS / name}.py "$@"\n')
    log = phone.folder / "log"
    phone.environment["LOGCAT"] = str(log)
    phone.program("logcat", f'#!/bin/sh\n[ "$1" = -d ] && [ "$4" = ExecuTorch ] && cat {log} 2>/dev/null\n')
    return path


def test_the_phone_says_what_it_is(server: AdbServer, phone: FakePhone) -> None:
    described = AdbDevice(None, server.environment).describe()
    assert (described.name, described.kind, described.emulated) == ("adb", "adb", False)
    assert described.words.startswith("Google Pixel 7, Tensor G2, arm64-v8a, Android 14; ")
    assert described.runtimes["litert"].startswith("ai-edge-litert ")


@pytest.mark.parametrize("name", ["litert", "onnxruntime"])
def test_a_worker_on_the_phone_computes_the_same_bits(
    name: str, server: AdbServer, phone: FakePhone, tmp_path: Path
) -> None:
    spec = card(name)
    path = lowered(spec, tmp_path, quantized=True)
    device = AdbDevice(phone.serial, server.environment)
    assert device.refuses(spec) is None
    connection = device.connect()
    there = connection.open(path, spec)
    for got, wanted in zip(there.run([X]), run_here(spec, path), strict=True):
        np.testing.assert_array_equal(got, wanted)
    times = connection.time([(there, [X])], TimingPlan(1, 2, 3, 3, 60))
    assert times.seconds.shape == (1, 3, 2) and (times.seconds > 0).all()
    connection.close()
    connection.close()
    assert phone.settled() == NOTHING


@pytest.mark.parametrize(
    ("doing", "kind", "message"),
    [
        ("load:abort", ArtifactError, r"loading net.fake in Fake: the runtime crashed: got SIGABRT"),
        ("run:python", DeviceError, r"running net.fake: the runtime refuses: got ValueError: bad magic"),
        ("run:hang", DeviceError, r"running net.fake: the runtime hangs: got no answer in 2 s"),
    ],
)
def test_what_fails_there_is_one_line_here_and_leaves_nothing_there(
    server: AdbServer, phone: FakePhone, fake: Path, doing: str, kind: type[PocketpressError], message: str
) -> None:
    fake.write_text(doing)
    device = AdbDevice(None, server.environment)
    device._python._patience = Patience(60, 60, 2 if doing.endswith("hang") else 60)
    connection = device.connect()
    with pytest.raises(kind) as caught:
        connection.open(fake, SPEC).run([FEED])
    assert re.search(message, str(caught.value)), str(caught.value)
    connection.close()
    assert phone.settled() == NOTHING


def test_a_cable_that_is_pulled(server: AdbServer, phone: FakePhone, fake: Path) -> None:
    connection = AdbDevice(None, server.environment).connect()
    there = connection.open(fake, SPEC)
    server.cut()
    with pytest.raises(
        DeviceError, match=r"running net.fake: the connection to the phone 29051FDH2000AB is "
    ):
        there.run([FEED])
    connection.close()
    assert phone.settled() == NOTHING
    again = AdbDevice(None, server.environment).connect()
    np.testing.assert_array_equal(again.open(fake, SPEC).run([FEED])[0], 2 * FEED)
    again.close()


@pytest.mark.parametrize("size_bytes", [0, 20, 60])
def test_a_cable_that_is_pulled_at_any_byte(
    size_bytes: int, server: AdbServer, phone: FakePhone, fake: Path
) -> None:
    """In the worker's greeting, and in its first answer."""
    phone.cut_after = size_bytes
    with pytest.raises(DeviceError, match=r"the connection to the phone 29051FDH2000AB is lost"):
        AdbDevice(None, server.environment).connect().open(fake, SPEC)
    phone.cut_after = None
    assert phone.settled() == NOTHING


def test_a_phone_that_was_plugged_in_again_is_found(server: AdbServer, phone: FakePhone, fake: Path) -> None:
    device = AdbDevice(None, server.environment)
    device.describe()
    phone.transport += 6
    connection = device.connect()
    np.testing.assert_array_equal(connection.open(fake, SPEC).run([FEED])[0], 2 * FEED)
    connection.close()


def test_a_phone_without_python_says_what_to_do(server: AdbServer, phone: FakePhone) -> None:
    device = AdbDevice(None, {**server.environment, "POCKETPRESS_DEVICE_PYTHON": "/nowhere/python"})
    assert device.describe().runtimes == {}
    reason = device.refuses(all_targets()["litert"]) or ""
    assert reason.startswith(
        f"starting the process: no Python on the phone {phone.serial}; allowed: ~/.pocket"
    )
    assert reason.endswith("or name a benchmark_model built for Android in $POCKETPRESS_ADB_LITERT")
    assert "name a " not in (device.refuses(all_targets()["pytorch-mobile"]) or "")
    device.close()
    assert phone.settled() == NOTHING


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n == "executorch" else ()) for n in TARGETS]
)
def test_a_runtimes_own_program_computes_and_times(
    name: str, server: AdbServer, phone: FakePhone, tmp_path: Path
) -> None:
    spec = card(name)
    paths = [lowered(spec, tmp_path, quantized=q) for q in (True, False)]
    tool = TOOLS[name]
    environment = {**server.environment, tool.variable: str(program_of(name, phone, tmp_path))}
    device = AdbDevice(None, {**environment, "POCKETPRESS_DEVICE_PYTHON": "/nowhere/python"})
    assert device.refuses(spec) is None and device.describe().runtimes == {name: tool.program}
    connection = device.connect()
    ours, floats = (connection.open(path, spec) for path in paths)
    if tool.gives_outputs:
        for got, wanted in zip(ours.run([X]), run_here(spec, paths[0]), strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert len(phone.left) == 1
    times = connection.time([(ours, [X]), (floats, [X])], TimingPlan(min_rounds=2, max_rounds=2))
    assert times.seconds.shape == (2, 2, 1 if name == "litert" else 20)
    assert (times.seconds > 1e-6).all() and (times.seconds < 5).all()
    connection.close()
    connection.close()
    assert phone.settled() == NOTHING


def programs(server: AdbServer, phone: FakePhone, text: str, folder: Path, run_s: float = 30) -> Programs:
    """A folder on the phone with a ``benchmark_model`` that does something else."""
    path = folder / "benchmark_model"
    path.write_text(f"#!/bin/sh\n{text}\n")
    real = Server.of(server.environment)
    there = choose(real.phones(), None)
    return Programs(real, there, {"litert": (TOOLS["litert"], path)}, Patience(60, 0.5, run_s))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("kill -SEGV $$", ArtifactError, "benchmark_model does not execute int8.tflite: got SIGSEGV"),
        (
            "echo no such op; exit 1",
            ArtifactError,
            r"got exit status 1 \(no such op\); is the program one for",
        ),
        ("true", DeviceError, "the phone does not give .*0.out: got open failed: No such file"),
        ("echo 1234 >0.out", DeviceError, "outputs are not those of the artifact: got 5 bytes; allowed: 5"),
        ("exec sleep 600", DeviceError, "a command on the phone takes too long: got no end in 0.8 s"),
    ],
)
def test_a_program_that_fails(
    text: str, kind: type[PocketpressError], message: str, server: AdbServer, phone: FakePhone, tmp_path: Path
) -> None:
    owner = programs(server, phone, text, tmp_path, 0.1 if "sleep" in text else 30)
    there = owner.open(lowered(card("litert"), tmp_path, quantized=True), card("litert"))
    with pytest.raises(kind, match=message):
        there.run([X])
    owner.close()
    assert phone.settled() == NOTHING


def test_times_that_cannot_be_read_are_an_error(server: AdbServer, phone: FakePhone, tmp_path: Path) -> None:
    owner = programs(server, phone, "echo done in no time", tmp_path)
    there = owner.open(lowered(card("litert"), tmp_path, quantized=True), card("litert"))
    with pytest.raises(DeviceError, match="prints no times that can be read: got done in no time"):
        owner.time([(there, [X])])
    owner.close()


def test_a_push_that_is_refused(server: AdbServer, phone: FakePhone, tmp_path: Path) -> None:
    owner = programs(server, phone, "true", tmp_path)
    phone.read_only = True
    with pytest.raises(
        DeviceError, match=r"the phone does not take .*benchmark_model: got couldn't create file"
    ):
        owner.open(lowered(card("litert"), tmp_path, quantized=True), card("litert"))
    owner.close()
    assert phone.settled() == NOTHING


def test_files_go_there_and_back(server: AdbServer, phone: FakePhone) -> None:
    real = Server.of(server.environment)
    there = choose(real.phones(), None)
    content = np.random.default_rng(0).bytes(200_001)
    place = str(phone.folder / "tmp" / "x")
    push_bytes(real, there, content, place, 0o640)
    assert Path(place).read_bytes() == content and Path(place).stat().st_mode & 0o777 == 0o640
    assert pull(real, there, place, len(content)) == content
    with pytest.raises(DeviceError, match=r"is larger than it may be; allowed: 200000 bytes"):
        pull(real, there, place, len(content) - 1)
    Path(place).unlink()
    with pytest.raises(DeviceError, match=r"the phone does not give .*: got open failed: No such file"):
        pull(real, there, place, 10)


def test_a_command_keeps_its_streams_and_its_status(server: AdbServer, phone: FakePhone) -> None:
    real = Server.of(server.environment)
    there = choose(real.phones(), None)
    done = shell.run(real, there, "echo out; echo err >&2; exit 7", 30)
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")
    assert shell.run(real, there, "kill -9 $$", 30).status == -9
    with pytest.raises(DeviceError, match=r"a command on the phone takes too long: got no end in 0\.5 s"):
        shell.run(real, there, "sleep 60", 0.5)
    phone.end_all()


def test_what_a_command_prints_is_limited(
    server: AdbServer, phone: FakePhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Server.of(server.environment)
    there = choose(real.phones(), None)
    monkeypatch.setattr(shell, "MAX_OUTPUT_BYTES", 1000)
    assert len(shell.run(real, there, "yes | head -c 1000", 30).out) == 1000
    with pytest.raises(DeviceError, match="a command on the phone prints too much; allowed: 1000 bytes"):
        shell.run(real, there, "yes | head -c 300000", 30)
    phone.end_all()


def test_a_program_does_not_outlive_ctrl_c(server: AdbServer, phone: FakePhone, tmp_path: Path) -> None:
    owner = programs(server, phone, "exec sleep 600", tmp_path)
    there = owner.open(lowered(card("litert"), tmp_path, quantized=True), card("litert"))

    def interrupt() -> None:
        until = time.monotonic() + 20
        while not any("sleep" in command for command in phone.running()) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells' background jobs ignore it
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            there.run([X])
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    owner.close()
    assert phone.settled() == NOTHING


def test_a_phone_that_makes_no_folder_is_not_waited_for(
    server: AdbServer, phone: FakePhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.program("mktemp", "#!/bin/sh\nexec sleep 3\n")
    monkeypatch.setattr(folder, "ANSWER_S", 0.3)
    began = time.monotonic()
    with pytest.raises(DeviceError, match=f"the connection to the phone {phone.serial} is lost"):
        programs(server, phone, "true", tmp_path)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("states", "serial", "kind", "message"),
    [
        ((), None, DeviceError, "^no phone is connected; plug it in, and turn USB debugging on"),
        (("device",), "other", DeviceError, "no phone with the serial number other; allowed: adb:P0; plug"),
        (
            ("unauthorized",),
            None,
            DeviceError,
            "has not allowed this computer to debug it: got P0; unlock it",
        ),
        (("offline",), None, DeviceError, "the phone does not answer: got P0; plug it in again"),
        (
            ("no permissions (user in plugdev group)",),
            None,
            DeviceError,
            "may not open the phone's USB device",
        ),
        (("sideload",), None, DeviceError, "the phone is in the state sideload: got P0"),
        (
            ("device", "device"),
            None,
            UserError,
            "^several phones are connected: got 2; allowed: adb:P0, adb:P1$",
        ),
        (("device", "unauthorized"), "P1", DeviceError, "has not allowed this computer to debug it: got P1"),
    ],
)
def test_phones_that_cannot_be_used(
    states: tuple[str, ...], serial: str | None, kind: type[PocketpressError], message: str, tmp_path: Path
) -> None:
    phones = [FakePhone(f"P{i}", tmp_path / str(i), state, transport=i + 1) for i, state in enumerate(states)]
    with serving(*phones) as started:
        device = AdbDevice(serial, started.environment)
        for reach in (device.describe, device.connect, lambda: device.refuses(all_targets()["litert"])):
            with pytest.raises(kind) as caught:
                reach()
            assert re.search(message, str(caught.value)), str(caught.value)
    assert all(phone.commands == [] and phone.settled(0) == NOTHING for phone in phones)


def test_of_several_phones_the_one_that_is_named(tmp_path: Path, fake: Path) -> None:
    phones = [phone_in(tmp_path / name) for name in ("one", "two")]
    phones[1].serial, phones[1].transport = "192.168.1.2:5555", 2
    with serving(*phones) as started:
        connection = AdbDevice("192.168.1.2:5555", started.environment).connect()
        np.testing.assert_array_equal(connection.open(fake, SPEC).run([FEED])[0], 2 * FEED)
        assert phones[0].processes() == [] and phones[1].processes() != []
        connection.close()
        assert phones[0].commands == [] and phones[1].settled() == NOTHING


def test_a_phone_of_long_ago(tmp_path: Path) -> None:
    wanted = "the phone's Android is too old: got P; allowed: 7 and newer"
    with (
        serving(FakePhone("P", tmp_path, features="cmd")) as started,
        pytest.raises(DeviceError, match=wanted),
    ):
        AdbDevice(None, started.environment).describe()


def test_no_server_and_no_command_that_starts_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with serving() as started:
        environment = started.environment
    with pytest.raises(
        DeviceError, match=r"no adb server at 127.0.0.1:\d+: got .*; install Android's platform"
    ):
        AdbDevice(None, environment).describe()


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"OKAYzzzz", b"OK", b"OKAY-001x", b"FAIL0003no!"]
)
def test_a_server_of_something_else(garbage: bytes) -> None:
    wanted = "the adb server does not list phones: got "
    with serving(garbage=garbage) as started, pytest.raises(DeviceError, match=wanted) as caught:
        AdbDevice(None, started.environment).describe()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("rest", ["a b", "$(id)", "a;b", "-s", "a\n", "é", "a,b"])
def test_what_is_no_serial_number(rest: str) -> None:
    if rest == "-s":
        assert open_adb(rest).name == "adb:-s"  # never an argument of a command
        return
    with pytest.raises(UserError, match="allowed: adb, or adb:SERIAL"):
        open_adb(rest)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "5038"}, ("127.0.0.1", 5038)),
        ({"ADB_SERVER_SOCKET": "tcp:build.local:99"}, ("build.local", 99)),
        ({"ADB_SERVER_SOCKET": "tcp:5039"}, ("127.0.0.1", 5039)),
    ],
)
def test_where_the_server_is(environment: dict[str, str], wanted: tuple[str, int]) -> None:
    found = Server.of(environment)
    assert (found.host, found.port) == wanted


@pytest.mark.parametrize(
    "environment",
    [
        {"ANDROID_ADB_SERVER_PORT": "x"},
        {"ANDROID_ADB_SERVER_PORT": "²"},
        {"ADB_SERVER_SOCKET": "localabstract:a"},
    ],
)
def test_where_no_server_can_be(environment: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"adb server|ADB_SERVER_SOCKET"):
        Server.of(environment)


def adb_is_ours() -> bool:
    """Whether the command speaks the version of the protocol that the test server does."""
    command = shutil.which("adb")
    if command is None:
        return False
    return "version 1.0.41" in subprocess.run([command, "version"], capture_output=True, text=True).stdout


@pytest.mark.skipif(not adb_is_ours(), reason="no adb 1.0.41 here (apt-get install adb)")
def test_the_real_command_takes_the_test_server_for_a_real_one(
    server: AdbServer, phone: FakePhone, tmp_path: Path
) -> None:
    def adb(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **server.environment}
        return subprocess.run(
            ["adb", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert f"{phone.serial}         device usb:1-1 product:panther" in adb("devices", "-l").stdout
    done = adb("shell", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1000)
    place = phone.folder / "tmp" / "b"
    assert adb("push", str(tmp_path / "a"), str(place)).returncode == 0
    assert place.read_bytes() == (tmp_path / "a").read_bytes()
    assert adb("pull", str(place), str(tmp_path / "c")).returncode == 0
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()
    place.unlink()
    phone.read_only = True
    refused = adb("push", str(tmp_path / "a"), str(place))
    assert refused.returncode == 1 and not place.exists()
    phone.state = "unauthorized"
    assert "device unauthorized" in adb("shell", "true").stderr
