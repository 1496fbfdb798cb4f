"""Workers at the other end of a real SSH server: what they compute, what goes wrong, and what is left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.devices import sshd
from tests.devices.fake_runtime import SPEC
from tests.devices.sshd import Server
from tests.devices.test_runtimes import LIGHT, TARGETS, X, card, lowered, run_here

from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError, UserError
from pocketpress.core.targets import all_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices import boot, python_device, runner
from pocketpress.devices.isolated import Patience
from pocketpress.devices.ssh import SshDevice, open_ssh, parse_destination

pytestmark = pytest.mark.skipif(sshd.SERVER is None or sshd.CLIENT is None, reason=sshd.MISSING)
FEED = np.arange(6, dtype=np.float32).reshape(2, 3)
NOTHING: tuple[list[str], list[int]] = ([], [])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd.serving(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture(autouse=True)
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own on this machine, with a path that is not too long for a socket."""
    folder = tempfile.mkdtemp(prefix="s", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("TMPDIR", folder)
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def board(server: Server) -> Iterator[SshDevice]:
    """A machine whose Python is this one; what it leaves is looked at after every test."""
    server.has_python(sys.executable)
    device = SshDevice(f"ssh:{server.rest}", parse_destination(server.rest), server.environment)
    yield device
    device.close()
    assert server.settled() == NOTHING
    assert control_folders() == []


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An artifact of the fake runtime, which is made one of the installed targets."""
    for module in (runner, python_device):
        monkeypatch.setattr(module, "all_targets", lambda: {"fake": SPEC})
    path = tmp_path / "net.fake"
    path.write_text("fine")
    return path


def control_folders() -> list[str]:
    return [path.name for path in Path(tempfile.gettempdir()).glob("pp-*")]


def patient(device: SshDevice, **seconds: float) -> SshDevice:
    device._patience = Patience(**seconds)
    return device


def test_it_says_what_it_is_and_which_runtimes_it_has(board: SshDevice, server: Server) -> None:
    server.has_python(sys.executable, without=("ai_edge_litert", "onnx"))
    described = board.describe()
    assert described.kind == "ssh" and described.name == f"ssh:{server.rest}" and not described.emulated
    assert f"Python {sys.version.split()[0]}" in described.words
    assert "litert" not in described.runtimes
    assert described.runtimes["onnxruntime"].startswith("onnxruntime ")  # the onnx package is not needed
    targets = all_targets()
    assert board.refuses(targets["onnxruntime"]) is None
    assert board.refuses(targets["litert"]) == (
        f"ai_edge_litert missing on the device; run: ssh -p {server.port} {server.rest.partition(':')[0]} "
        "'python3 -m venv ~/.pocketpress && ~/.pocketpress/bin/pip install numpy ai-edge-litert'"
    )
    assert "does not execute on linux" in (board.refuses(targets["coreml"]) or "")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in LIGHT else pytest.mark.slow) for n in TARGETS]
)
def test_a_board_computes_the_same_bits_and_times_them(
    name: str, board: SshDevice, server: Server, tmp_path: Path
) -> None:
    server.has_python(sys.executable, without=("onnx",))
    spec = card(name)
    path = lowered(spec, tmp_path, quantized=True)
    with board.connect() as child:
        there = child.open(path, spec)
        assert there.signature == spec.open_runner(path).signature
        for got, wanted in zip(there.run([X]), run_here(spec, path), strict=True):
            np.testing.assert_array_equal(got, wanted)
        times = child.time([(there, [X])], TimingPlan(1, 2, 3, 3, 60))
        assert times.seconds.shape == (1, 3, 2) and (times.seconds > 0).all()
        assert there.memory().peak_rss_bytes > 1 << 20


def test_large_files_arrive_whole_under_odd_names_and_nothing_is_executed(
    board: SshDevice, server: Server, fake: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a'; cd; touch pwned; `touch x` $(id) -rf ü.fake"
    odd.write_text("fine" + "\n" * 2_500_000)
    with board.connect() as child:
        there = child.open(odd, SPEC)
        np.testing.assert_array_equal(there.run([FEED])[0], 2 * FEED)
        (folder,) = (server.folder / "tmp").iterdir()
        (sent,) = folder.glob("1-*.fake")
        assert sent.read_bytes() == odd.read_bytes()
        assert re.fullmatch(r"[A-Za-z0-9._-]+", sent.name)
        assert folder.stat().st_mode & 0o077 == 0
        assert there.again().run([FEED])[0].shape == (2, 3)
    assert list((server.folder / "home").iterdir()) == []


@pytest.mark.parametrize("name", ["d" * 80, "a b", "50%h"])
def test_a_long_or_odd_temporary_folder_is_no_place_for_a_socket(
    name: str, board: SshDevice, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Path(tempfile.gettempdir()) / name
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with board.connect() as child:
        np.testing.assert_array_equal(child.open(fake, SPEC).run([FEED])[0], 2 * FEED)
        assert board._master is not None and str(board._master.control).startswith("/tmp/pp-")
    board.close()
    assert list(deep.iterdir()) == []


def test_one_login_serves_several_workers(board: SshDevice, server: Server, fake: Path) -> None:
    with board.connect() as first, board.connect() as second:
        accepted = (server.folder / "log").read_text().count("Accepted publickey")
        for child in (first, second):
            np.testing.assert_array_equal(child.open(fake, SPEC).run([FEED])[0], 2 * FEED)
        assert (server.folder / "log").read_text().count("Accepted publickey") == accepted
    board.describe()
    assert (server.folder / "log").read_text().count("Accepted publickey") == accepted


def test_a_login_shell_that_talks_does_not_disturb(board: SshDevice, server: Server, fake: Path) -> None:
    greeting = server.folder / "home" / ".bashrc"
    greeting.write_text("echo Welcome to the board; echo 'PPF no frame'\n")
    try:
        with board.connect() as child:
            np.testing.assert_array_equal(child.open(fake, SPEC).run([FEED])[0], 2 * FEED)
    finally:
        greeting.unlink()


@pytest.mark.parametrize(
    ("doing", "kind", "message"),
    [
        ("load:abort", ArtifactError, r"loading net.fake in Fake: the runtime crashed: got SIGABRT"),
        ("load:refuse", ArtifactError, r"^no model in the file: got text$"),
        ("load:exit", ArtifactError, r"the runtime crashed: got exit status 0"),
        ("run:abort", DeviceError, r"running net.fake: the runtime crashed: got SIGABRT"),
        ("run:python", DeviceError, r"running net.fake: the runtime refuses: got ValueError: bad magic"),
        ("load:hang", DeviceError, r"loading net.fake in Fake: the runtime hangs: got no answer in 2 s"),
        ("run:hang", DeviceError, r"running net.fake: the runtime hangs: got no answer in 2 s"),
    ],
)
def test_what_fails_there_is_one_line_here_and_leaves_nothing_there(
    board: SshDevice,
    server: Server,
    fake: Path,
    doing: str,
    kind: type[PocketpressError],
    message: str,
) -> None:
    fake.write_text(doing)
    hangs = doing.endswith("hang")
    child = patient(board, start_s=60, load_s=2 if hangs else 60, run_s=2 if hangs else 60).connect()
    with pytest.raises(kind) as caught, child:
        child.open(fake, SPEC).run([FEED])
    assert type(caught.value) is kind
    assert re.search(message, str(caught.value)), str(caught.value)
    board.close()
    assert server.settled() == NOTHING


def test_a_lost_connection_is_said_and_cleans_up_and_the_next_one_works(
    board: SshDevice, server: Server, fake: Path
) -> None:
    child = board.connect()
    there = child.open(fake, SPEC)
    server.cut()
    with pytest.raises(DeviceError, match=r"running net.fake: the connection to .* is lost: got "):
        there.run([FEED])
    assert server.settled() == NOTHING
    child.close()
    with board.connect() as other:
        np.testing.assert_array_equal(other.open(fake, SPEC).run([FEED])[0], 2 * FEED)


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from tests.devices.fake_runtime import SPEC
from pocketpress.devices import runner
from pocketpress.devices.isolated import Patience
from pocketpress.devices.ssh import SshDevice, parse_destination
runner.all_targets = lambda: {"fake": SPEC}
device = SshDevice("ssh:" + sys.argv[1], parse_destination(sys.argv[1]), {"POCKETPRESS_SSH": sys.argv[2]})
device._patience = Patience(60, 60, 3)
try:
    with device.connect() as child:
        there = child.open(Path(sys.argv[3]), SPEC)
        print("running", flush=True)
        there.run([np.zeros((2, 3), np.float32)])
finally:
    device.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_interrupted_leaves_nothing(
    how: signal.Signals, server: Server, tmp_path: Path
) -> None:
    """After SIGKILL the worker there notices by itself: at the end of its input, or of its time."""
    server.has_python(sys.executable)
    path = tmp_path / "net.fake"
    path.write_text("run:hang")
    command = [sys.executable, "-c", SCRIPT, server.rest, server.environment["POCKETPRESS_SSH"], str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        assert server.left and server.processes()
        process.send_signal(how)
        process.wait(timeout=60)
    assert server.settled(30) == NOTHING


def refused(server: Server, rest: str, environment: dict[str, str] | None = None) -> str:
    device = SshDevice(f"ssh:{rest}", parse_destination(rest), environment or server.environment)
    with pytest.raises(DeviceError) as caught:
        device.describe()
    device.close()
    assert control_folders() == []
    assert server.settled() == NOTHING and server.deserted()
    assert str(caught.value).isprintable()
    return str(caught.value)


def configured(server: Server, tmp_path: Path, *lines: str) -> dict[str, str]:
    """The server's client configuration with some lines before it, which win."""
    (tmp_path / "config").write_text("\n".join([*lines, (server.folder / "config").read_text()]))
    return {"POCKETPRESS_SSH": f"ssh -F {tmp_path / 'config'}"}


def test_an_unknown_and_a_changed_host_key_are_refused(server: Server, tmp_path: Path) -> None:
    unknown = configured(server, tmp_path, f"UserKnownHostsFile {tmp_path / 'known'}")
    said = refused(server, server.rest, unknown)
    assert "the host key is not known: got Host key verification failed." in said
    assert "log in once by hand, and check the key (ssh -p" in said
    other = Path(f"{sshd.key(tmp_path / 'other')}.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {other}")
    said = refused(server, server.rest, unknown)
    assert "the host key is another than before" in said and "ssh-keygen -R" in said


def test_a_login_without_the_right_key_is_refused(server: Server, tmp_path: Path) -> None:
    stranger = configured(server, tmp_path, f"IdentityFile {sshd.key(tmp_path / 'stranger')}")
    text = Path(tmp_path / "config").read_text().replace(f"  IdentityFile {server.folder / 'my_key'}\n", "")
    (tmp_path / "config").write_text(text)
    said = refused(server, server.rest, stranger)
    assert "the login was refused: got " in said and "ssh-copy-id" in said


def test_nobody_there(server: Server) -> None:
    said = refused(server, f"127.0.0.1:{sshd.free_port()}")
    assert "nothing listens there: got " in said and "Connection refused" in said


def test_no_client(server: Server) -> None:
    said = refused(server, server.rest, {"POCKETPRESS_SSH": "no-such-client"})
    assert said == "cannot execute the SSH client: got no-such-client: No such file or directory"


def test_a_client_that_is_no_command(server: Server) -> None:
    device = SshDevice("ssh:x", parse_destination("x"), {"POCKETPRESS_SSH": "ssh -F 'my config"})
    with pytest.raises(
        UserError, match=r"POCKETPRESS_SSH is no command: got ssh -F 'my config; allowed: as ssh"
    ):
        device.describe()
    assert control_folders() == []


def test_no_python_there(server: Server) -> None:
    said = refused(server, server.rest, {**server.environment, boot.PYTHON: "/nowhere/python"})
    assert "no Python on " in said and "install Python 3.10 or newer there" in said


def test_an_interpreter_of_the_boards_own_environment_comes_first(server: Server, fake: Path) -> None:
    server.has_python("false")
    place = server.folder / "home" / ".pocketpress" / "bin"
    place.mkdir(parents=True)
    (place / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "python").chmod(0o755)
    device = SshDevice("ssh:x", parse_destination(server.rest), server.environment)
    try:
        assert device.describe().runtimes == {"fake": "fake"}
    finally:
        device.close()
        (place / "python").unlink()
        place.rmdir()
        place.parent.rmdir()
    assert server.settled() == NOTHING


def test_no_numpy_there(server: Server) -> None:
    server.has_python(sys.executable, without=("numpy",))
    said = refused(server, server.rest)
    assert "NumPy is missing on the device: got Python 3." in said
    assert "type there: python3 -m venv ~/.pocketpress && ~/.pocketpress/bin/pip install numpy" in said


def test_no_room_there(server: Server, fake: Path, tmp_path: Path) -> None:
    """A shell that limits files to 512 KB stands for a full disk."""
    (server.folder / "bin" / "python3").write_text(f'#!/bin/sh\nulimit -f 512; exec {sys.executable} "$@"\n')
    fake.write_text("fine" + " " * (3 << 20))
    device = SshDevice("ssh:x", parse_destination(server.rest), server.environment)
    wanted = "the device cannot store the artifact: got File too large"
    with pytest.raises(DeviceError, match=wanted), device.connect() as child:
        child.open(fake, SPEC)
    device.close()
    assert server.settled() == NOTHING


@pytest.mark.parametrize(
    "rest",
    [
        "", "-oProxyCommand=touch pwned", "a b", "$(id)", "a;b", "user@-host", "@host", "host:", "host:0",
        "host:65536", "host:22:22", "a@b@c", "host\n", "`id`", "[::1", "[::1%25 x]", "é",
    ],
)  # fmt: skip
def test_what_is_no_destination(rest: str) -> None:
    with pytest.raises(UserError, match=r"allowed: ssh:\[user@\]host\[:port\]"):
        open_ssh(rest)


@pytest.mark.parametrize(
    ("rest", "arguments"),
    [
        ("pi", ["--", "pi"]),
        ("pi@board.local:2222", ["-l", "pi", "-p", "2222", "--", "board.local"]),
        ("[fe80::1%eth0]:22", ["-p", "22", "--", "fe80::1%eth0"]),
    ],
)
def test_destinations(rest: str, arguments: list[str]) -> None:
    assert parse_destination(rest).arguments == arguments


def test_the_command_line_survives_other_shells() -> None:
    """No line ends, and nothing in the quoted script that csh or fish read otherwise."""
    assert "'" not in boot._SCRIPT and "\\" not in boot._SCRIPT and "!" not in boot._SCRIPT
    command = boot.boot_command({boot.PYTHON: "/opt/it's mine/python"})
    assert "\n" not in command and command.startswith("exec sh -c ")
    with pytest.raises(UserError, match="is not a path"):
        boot.boot_command({boot.PYTHON: "a\nb"})


def test_the_boot_line_alone_cleans_up_when_nothing_is_sent(tmp_path: Path) -> None:
    place = tmp_path / "a folder; with $HOME"
    place.mkdir()
    environment = {"TMPDIR": str(place), "PATH": os.environ["PATH"], boot.PYTHON: sys.executable}
    command = boot.boot_command(environment)
    done = subprocess.run(["sh", "-c", command], env=environment, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == boot.CUT_SHORT
    assert list(place.iterdir()) == [] and list(tmp_path.iterdir()) == [place]


def test_a_worker_that_hears_nothing_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    command = [sys.executable, "-m", "pocketpress.devices.worker", "--idle-limit=0.5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == -signal.SIGALRM
    assert time.monotonic() - began < 60
