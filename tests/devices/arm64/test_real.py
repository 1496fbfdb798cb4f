"""The real thing: set up from the network with a kill in the middle, then every operator on Arm kernels.

Runs in CI, and elsewhere when POCKETPRESS_ARM64_TESTS is set: to 1, or to a cache folder in which the device
is set up already, which saves a download of 145 MB.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Press

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.targets import all_targets
from pocketpress.devices.arm64.device import open_arm64
from pocketpress.devices.arm64.pieces import MIRROR, MIRROR_VARIABLE
from pocketpress.devices.arm64.setup import Place, disk_bytes, refusal, set_up
from pocketpress.testing import all_cases, check_device, check_target, keeps_promise

WANTED = os.environ.get("POCKETPRESS_ARM64_TESTS", "1" if os.environ.get("CI") else "")
KILLED_AT = "numpy"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WANTED in ("", "0"), reason="POCKETPRESS_ARM64_TESTS is not set"),
    pytest.mark.skipif(refusal() is not None, reason=str(refusal())),
]


def begin_and_kill(cache: Path) -> list[str]:
    """Start a set-up in a process of its own and kill that and its pip in the middle; what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pocketpress", "device", "setup", "arm64"],
        env={**os.environ, "POCKETPRESS_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stderr or ():
        said.append(line.strip())
        if line.startswith(KILLED_AT):
            time.sleep(1.0)
            os.killpg(process.pid, 9)
    process.wait()
    return said


def mirror_answers() -> bool:
    """Whether this machine reaches the place that the device is fetched from."""
    mirror = os.environ.get(MIRROR_VARIABLE, MIRROR)
    try:
        with urllib.request.urlopen(f"{mirror}/dists/stable/Release", timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def arm64_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the device in it; the first process that comes sets it up, the others wait."""
    if WANTED != "1":
        return Path(WANTED)
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "arm64-cache"
    cache.mkdir(exist_ok=True)
    if "POCKETPRESS_ARM64_TESTS" not in os.environ and not mirror_answers():
        pytest.skip("Debian's mirror cannot be reached; POCKETPRESS_ARM64_TESTS=1 insists")
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = Place(cache / "devices" / "arm64")
        if not (cache / "story.json").is_file():
            said = begin_and_kill(cache)
            missing = place.missing()
            whole = sorted(p.name for p in (place.folder / "python").iterdir() if p.name[0] != ".")
            lines: list[str] = []
            seconds = set_up(place, lines.append)
            story = {"said": said, "missing": missing, "whole": whole, "lines": lines, "seconds": seconds}
            (cache / "story.json").write_text(json.dumps(story))
    return cache


@pytest.fixture
def arm64(arm64_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(arm64_cache))
    yield arm64_cache


@pytest.mark.skipif(WANTED not in ("", "0", "1"), reason="it was set up before")
def test_a_killed_set_up_goes_on(arm64: Path) -> None:
    story = json.loads((arm64 / "story.json").read_text())
    place = Place(arm64 / "devices" / "arm64")
    assert story["said"][-1].startswith(KILLED_AT), "it was killed there"
    assert any(name.startswith(KILLED_AT) for name in story["missing"]), "half an install is none"
    assert "qemu" not in story["missing"] and story["whole"], "what was complete counts"
    assert not any(line.startswith("qemu") for line in story["lines"]), "and is not fetched again"
    assert place.missing() == () and list(place.folder.rglob(".new-*")) == []
    assert 100e6 < disk_bytes(place) < 500e6


@pytest.mark.parametrize("target", ["litert", "executorch", "onnxruntime"])
def test_every_operator_keeps_its_promise_on_arm(arm64: Path, target: str) -> None:
    spec = all_targets()[target]
    with open_arm64("").connect() as connection:
        broken = {}
        for case in all_cases():
            result = check_target(spec, case, connection.open)
            if not keeps_promise(spec, case, result):
                broken[case.id] = result
    assert broken == {}


@pytest.mark.parametrize("processor", ["cortex-a53", "cortex-a76", "cortex-a710"])
def test_integers_are_equal_on_every_kind_of_processor(arm64: Path, processor: str) -> None:
    cases = [c for c in all_cases() if c.op in ("conv2d", "depthwise_conv2d", "linear", "add", "matmul")]
    with open_arm64(processor).connect() as connection:
        for target in ("litert", "executorch", "onnxruntime"):
            spec = all_targets()[target]
            for case in cases:
                result = check_target(spec, case, connection.open)
                assert keeps_promise(spec, case, result), (target, case.id, result)


def test_it_is_a_device_like_the_others(arm64: Path) -> None:
    found = check_device(open_arm64(""), "onnxruntime")
    assert found.problems == ()
    assert found.description is not None and found.description.emulated
    assert found.description.kind == "arm64" and "qemu 10" in found.description.words
    assert set(found.description.runtimes) >= {"litert", "executorch", "onnxruntime"}


def test_a_press_on_it(pocketpress: Press, arm64: Path, tmp_path: Path) -> None:
    done = pocketpress(
        "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
        "--target", "litert,executorch,onnxruntime", "--no-measure", "--device", "arm64",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out/record.json").read_text())
    for target in record["targets"]:
        (entry,) = target["devices"]
        assert (entry["name"], entry["kind"], entry["verdict"]) == ("arm64", "arm64", "pass")
        assert entry["parity"]["equal"] == 1.0 and entry["parity"]["elements"] > 0
        assert entry["latency_s"] is None and entry["peak_rss_bytes"] is None, "an emulator's say nothing"


def test_a_damaged_artifact_is_refused_there(arm64: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no onnx" * 100)
    with open_arm64("").connect() as connection, pytest.raises(ArtifactError, match=r"x\.onnx"):
        connection.open(tmp_path / "x.onnx")


def test_a_limit_on_memory(arm64: Path, tmp_path: Path) -> None:
    case = next(c for c in all_cases() if c.op == "conv2d" and c.precision == "w8a8-static")
    spec = all_targets()["executorch"]
    with open_arm64("4GB").connect() as connection:
        assert check_target(spec, case, connection.open).is_equal
    device = open_arm64("1GB")
    device._memory_limit_bytes = 20_000_000
    with pytest.raises(DeviceError):
        device.connect()
