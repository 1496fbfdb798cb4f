"""The command as a process of its own: start-up, interruption, a full disk, a closed pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "pocketpress"]
GOOD = [
    "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--target", "litert",
    "--no-measure", "--no-cache",
]  # fmt: skip
HEAVY = (
    "torch",
    "onnxruntime",
    "onnx",
    "executorch",
    "ai_edge_litert",
    "coremltools",
    "torchmetrics",
    "scipy",
)


def loaded_by(code: str) -> set[str]:
    text = f"{code}\nimport sys\nprint(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_importing_the_package_loads_no_ml_library() -> None:
    assert loaded_by("import pocketpress") & {*HEAVY, "numpy"} == set()


def test_help_loads_no_ml_library() -> None:
    for verb in ([], ["press"], ["inspect"], ["compare"], ["zoo"], ["zoo", "suggest"]):
        code = f"""
from pocketpress.cli.main import run
try:
    run({[*verb, "--help"]})
except SystemExit as error:
    assert not error.code, error.code
"""
        assert loaded_by(code) & {*HEAVY, "numpy"} == set(), verb


def test_target_cards_load_no_ml_library() -> None:
    code = "from pocketpress.core.targets import all_targets; assert len(all_targets()) >= 4"
    assert loaded_by(code) & set(HEAVY) == set()


def test_an_error_is_one_line_in_a_real_process(trained: Path) -> None:
    """Libraries' warnings and the runtimes' own chatter must not bury it."""
    (trained / "old.pt").write_bytes(b"\x80\x04K\x01.")
    argv = ["press", "net.py:factory", "--weights", "old.pt", "--data", "calib.npz", "--out", "x"]
    done = subprocess.run([*COMMAND, *argv], cwd=trained, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("pocketpress: old.pt is not a")
    assert not (trained / "x").exists()


def test_verbose_shows_the_traceback(trained: Path) -> None:
    argv = [*COMMAND, "-v", "press", "none.py:f", "--data", "calib.npz"]
    done = subprocess.run(argv, cwd=trained, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" in done.stderr
    assert done.stderr.strip().split("\n")[-1].startswith("pocketpress: no such file: got none.py")


def test_version_and_usage() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "0.1.0")
    done = subprocess.run([*COMMAND, "pres"], capture_output=True, text=True)
    assert done.returncode == 2 and "see pocketpress --help" in done.stderr and done.stderr.count("\n") == 1


SLOW_TO_CALIBRATE = """
import pathlib, time
import numpy as np

def samples():
    pathlib.Path("calibrating").write_text("")
    for i in range(10_000):
        time.sleep(0.05)
        yield np.random.default_rng(i).standard_normal((3, 16, 16)).astype(np.float32)
"""


@pytest.mark.parametrize("existing", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_interrupted_press_leaves_nothing_half_written(trained: Path, existing: bool) -> None:
    """SIGINT while it calibrates: exit 130, one line, and the folder as it was."""
    out, mark = trained / "interrupted", trained / "calibrating"
    (trained / "slow.py").write_text(SLOW_TO_CALIBRATE)
    mark.unlink(missing_ok=True)
    if existing:
        out.mkdir()
        (out / "record.json").write_text("the previous one")
    argv = [*COMMAND, *GOOD, "--out", str(out)]
    argv[argv.index("calib.npz")] = "slow:samples"
    process = subprocess.Popen(
        [*argv, "--calibration-samples", "10000"], cwd=trained, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(trained)}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (mark.exists() and out.exists() and any(out.glob(".press-*"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, ""), stderr
    assert stderr == "pocketpress: interrupted; no result was written\n"
    if existing:
        assert [p.name for p in out.iterdir()] == ["record.json"]
        assert (out / "record.json").read_text() == "the previous one"
    else:
        assert not out.exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 kB, where the tests may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(argv, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_really_full_disk(trained: Path, tiny_disk: Path) -> None:
    argv = [*COMMAND, *GOOD, "--out", str(tiny_disk / "out")]
    argv[argv.index("litert")] = "litert,onnxruntime,executorch"
    done = subprocess.run(argv, cwd=trained, capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    argv = [*COMMAND, *GOOD, "--out", str(tmp_path / "locked" / "out")]
    done = subprocess.run(argv, cwd=trained, capture_output=True, text=True)
    assert done.returncode == 4 and "cannot write into" in done.stderr
