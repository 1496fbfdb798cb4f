"""The stand-alone runner: what is in it, what it needs, and what it says where that is missing."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.devices.fake_runtime import SPEC

import pocketpress
from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.targets import all_targets
from pocketpress.devices import runner
from pocketpress.devices.frames import Frame, FrameError, read_frame, write_frame
from pocketpress.devices.isolated import Child, Patience
from pocketpress.devices.link import ProcessLink
from pocketpress.devices.python_device import PythonDevice
from pocketpress.devices.runner import check_greeting, module_files, runner_bytes
from pocketpress.devices.worker import Service

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_it_is_small_and_the_same_bytes_every_time() -> None:
    first = runner_bytes()
    runner._built.cache_clear()
    assert runner_bytes() == first
    assert len(first) < 200_000
    names = zipfile.ZipFile(io.BytesIO(first)).namelist()
    assert "__main__.py" in names and "pocketpress/devices/worker.py" in names
    assert "pocketpress/targets/litert/run.py" in names and "pocketpress/targets/onnxruntime/wire.py" in names
    heavy = ("lower.py", "pipeline", "cli", "report", "sources", "record.py", "isolated.py")
    assert not [name for name in names if any(part in name for part in heavy)]


def test_it_needs_numpy_and_a_runtime_and_nothing_else(tmp_path: Path) -> None:
    """Everything at the top of every file that no device must bring."""

    allowed = set(sys.stdlib_module_names) | {"pocketpress", "numpy"}
    runtimes = {"flatbuffers", "torch", "ai_edge_litert", "executorch", "onnxruntime", "coremltools"}
    found: dict[str, set[str]] = {}
    for name, source in module_files([runner.WORKER]).items():
        found[name] = {m.partition(".")[0] for m in runner._imported(ast.parse(source))} - allowed
    assert not {name: others for name, others in found.items() if others}
    every = zipfile.ZipFile(io.BytesIO(runner_bytes()))
    for name in every.namelist():
        others = {m.partition(".")[0] for m in runner._imported(ast.parse(every.read(name)))} - allowed
        assert others <= runtimes, name


def test_a_plug_in_that_cannot_be_sent_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with a compiled module of its own, and one that does not even load."""
    for name, text in (
        ("compiled_plug", "import compiled_plug.fast\n"),
        ("broken_plug", "raise ImportError\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError\n" if "broken" in name else "")
        (tmp_path / name / "run.py").write_text(text)
    (tmp_path / "compiled_plug" / "fast.so").write_bytes(b"\x7fELF")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugs = {n: replace(SPEC, name=n, package=n) for n in ("compiled_plug", "broken_plug")}
    monkeypatch.setattr(runner, "all_targets", lambda: {"fake": SPEC, **plugs})
    names = zipfile.ZipFile(io.BytesIO(runner_bytes())).namelist()
    assert "compiled_plug/run.py" in names and "tests/devices/fake_runtime/run.py" in names
    assert not [name for name in names if "broken" in name or name.endswith(".so")]


def started(path: Path, content: bytes, *options: str) -> Child:
    path.write_bytes(content)
    command = [sys.executable, "-I", str(path), *options]
    return Child(patience=Patience(60, 60, 60), link=ProcessLink(command, environment={}, shares_files=False))


def test_it_runs_where_pocketpress_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a plug-in's target, whose folder is a package without __init__.py."""
    monkeypatch.setattr(runner, "all_targets", lambda: {"fake": SPEC})
    monkeypatch.chdir(tmp_path)
    source = Path(pocketpress.__file__).parents[1]
    artifact = tmp_path / "net.fake"
    artifact.write_text("fine")
    with started(tmp_path / "runner.pyz", runner_bytes()) as child:
        there = child.open(artifact, SPEC)
        np.testing.assert_array_equal(there.run([X])[0], X * 2)
        assert child.describe(["numpy", "no_such"])["packages"] == {"numpy": np.__version__}
        maps = Path(f"/proc/{child._link.pid}/maps")  # type: ignore[attr-defined]
        assert not maps.exists() or str(source) not in maps.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-net.fake", "net.fake", "runner.pyz"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            runner._MAIN.format(least=(99, 1)),
            r"the device's Python is too old: got 3\.\d+\.\d+; allowed: 3.10 and newer; install a newer one",
        ),
        (
            runner._MAIN.format(least=(3, 0)).replace("import numpy", "import numpy_that_is_not_there"),
            r"NumPy is missing on the device: got Python 3\.\d+\.\d+ without it; type there: python3 -m venv",
        ),
        ("raise SystemExit('no luck')", "starting the process: it did not start: got no luck"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it did not start: got SIGSEGV"),
        ("print('x' * 100_000)", "it did not start: got no frame, but other text"),
    ],
)
def test_what_is_missing_is_said(code: str, message: str, tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("__main__.py", code)
    with pytest.raises(DeviceError, match=message):
        started(tmp_path / "runner.pyz", content.getvalue())


def test_the_first_lines_are_read_by_any_python() -> None:
    """Nothing newer than Python 2.7 in what must say that the Python is too old."""
    source = runner._MAIN.format(least=(3, 10))
    for newer in ('f"', "f'", "->", ":=", "nonlocal", "print("):
        assert newer not in source
    old = [Path(p) for p in sorted(Path.home().glob(".pyenv/versions/*/bin/python"))]
    ours = {**os.environ, "PYTHONPATH": str(Path(pocketpress.__file__).parents[1])}
    for python in old[:3]:
        command = [str(python), "-c", source]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=ours)
        assert done.stdout[:4] == b"PPF1", done.stderr


def test_in_termux_packages_come_from_elsewhere() -> None:
    with pytest.raises(DeviceError, match=r"without it; type there: pkg install python-numpy$"):
        check_greeting({"lacks": "numpy", "python": "3.12.1", "platform": "android"})
    assert runner.termux_install(["onnxruntime"]) == "type there: pkg install python-onnxruntime"
    assert "proot-distro" in runner.termux_install(["ai_edge_litert"])
    device = PythonDevice("ssh:phone", "ssh", link=lambda: pytest.fail("no worker"))
    device._facts = {"platform": "android", "packages": {"numpy": "2"}}
    reason = device.refuses(all_targets()["onnxruntime"])
    assert reason == "onnxruntime missing on the device; type there: pkg install python-onnxruntime"


def test_a_greeting_that_is_none() -> None:
    check_greeting({"ready": True})
    with pytest.raises(DeviceError, match="too old: got ; allowed"):
        check_greeting({"lacks": "python", "python": "\x1b\n"})


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/tmp/x"])
def test_files_stay_below_the_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    request = Frame({"op": "put", "path": path, "first": True}, (np.zeros(3, np.uint8),))
    answer = Service().answer(request)
    assert answer.header["error"] == "DeviceError" and "not a path below" in answer.header["message"]
    assert list((tmp_path / "in").iterdir()) == [] and len(list(tmp_path.iterdir())) == 1


def test_a_folder_arrives_as_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core ML's artifacts are folders."""
    monkeypatch.setattr(runner, "all_targets", lambda: {"fake": SPEC})
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "net.fake"
    (package / "Data" / "empty").mkdir(parents=True)
    (package / "Manifest.json").write_text("{}")
    (package / "Data" / "weights.bin").write_bytes(bytes(3_000_000))
    (package / "Data" / "none").write_bytes(b"")
    with (
        started(tmp_path / "runner.pyz", runner_bytes()) as child,
        pytest.raises(ArtifactError, match="IsADirectoryError"),
    ):
        child.open(package, SPEC)
    sent = tmp_path / "1-net.fake"
    assert (sent / "Manifest.json").read_text() == "{}" and (sent / "Data" / "none").read_bytes() == b""
    assert (sent / "Data" / "weights.bin").stat().st_size == 3_000_000


def test_text_before_the_first_frame() -> None:
    stream = io.BytesIO()
    write_frame(stream, Frame({"a": 1}))
    for noise in (b"", b"Welcome\n", b"PPF", b"PPFPPF", b"P" * 99):
        assert read_frame(io.BytesIO(noise + stream.getvalue()), 100) == Frame({"a": 1})
    with pytest.raises(FrameError, match="not a frame"):
        read_frame(io.BytesIO(b"Welcome\n" + stream.getvalue()))
    with pytest.raises(FrameError, match="no frame, but other text"):
        read_frame(io.BytesIO(b"P" * 101 + stream.getvalue()), 100)
    assert read_frame(io.BytesIO(b"only noise"), 100) is None
