"""A runtime that crashes, hangs or eats memory is one line in the parent, and leaves no process."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.devices.fake_runtime import SPEC
from tests.devices.fake_runtime.run import SIGNATURE

from pocketpress.core.errors import ArtifactError, DeviceError, PocketpressError
from pocketpress.core.session import Session
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.frames import Frame
from pocketpress.devices.isolated import Child, IsolatedRunner, Patience, _foreign, open_isolated

X = np.arange(6, dtype=np.float32).reshape(2, 3)
PATIENCE = Patience(load_s=30, run_s=30)


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[[str], Path]:
    def write(doing: str) -> Path:
        path = tmp_path / "net.fake"
        path.write_text(doing)
        return path

    return write


def pid_of(runner: IsolatedRunner) -> int:
    return runner._child._link.pid


def test_it_is_a_runner_in_another_process(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("fine"), spec=SPEC, patience=PATIENCE)
    assert pid_of(runner) != os.getpid()
    doubled, counted = runner.run([X])
    np.testing.assert_array_equal(doubled, X * 2)
    assert counted.dtype == np.int64
    assert runner.load_s > 0
    second = runner.again()
    assert second.number != runner.number and pid_of(second) == pid_of(runner)
    np.testing.assert_array_equal(second.run([X])[0], doubled)
    runner.close()
    assert not Path(f"/proc/{pid_of(runner)}").exists()


def test_a_session_works_on_it(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("fine"), spec=SPEC, patience=PATIENCE)
    with Session(runner) as session, pytest.raises(ArtifactError, match="input x has another shape"):
        session(x=X[:1])


@pytest.mark.parametrize(
    ("doing", "kind", "message"),
    [
        (
            "load:abort",
            ArtifactError,
            r"loading net.fake in Fake: the runtime crashed: got SIGABRT \(check failed: \[31moffset",
        ),
        ("load:exit", ArtifactError, r"the runtime crashed: got exit status 0"),
        ("load:refuse", ArtifactError, r"^no model in the file: got text$"),
        ("load:python", ArtifactError, r"the runtime refuses: got ValueError: bad magic"),
        ("load:lie", ArtifactError, r"the runtime crashed"),
        ("run:abort", DeviceError, r"running net.fake: the runtime crashed: got SIGABRT"),
        ("run:python", DeviceError, r"running net.fake: the runtime refuses: got ValueError: bad magic"),
        ("run:less", DeviceError, r"running net.fake: outputs differ from the embedded signature: got \["),
    ],
)
def test_failures_are_one_line(
    artifact: Callable[[str], Path], doing: str, kind: type[PocketpressError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        open_isolated(artifact(doing), spec=SPEC, patience=PATIENCE).run([X])
    assert type(caught.value) is kind
    assert re.search(message, str(caught.value)), str(caught.value)
    assert str(caught.value).isprintable()


def test_hanging_is_ended(artifact: Callable[[str], Path]) -> None:
    start = time.monotonic()
    with pytest.raises(
        DeviceError, match=r"loading net\.fake in Fake: the runtime hangs: got no answer in 1 s"
    ):
        open_isolated(artifact("load:hang"), spec=SPEC, patience=Patience(load_s=1))
    assert time.monotonic() - start < 60


def test_after_a_crash_the_runner_says_so(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("run:abort"), spec=SPEC, patience=PATIENCE)
    for message in ("the runtime crashed", "the child process has ended"):
        with pytest.raises(DeviceError, match=message):
            runner.run([X])
    assert not Path(f"/proc/{pid_of(runner)}").exists()
    runner.close()


def test_a_child_killed_from_outside_is_a_device_error(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("fine"), spec=SPEC, patience=PATIENCE)
    runner._child._kill()
    with pytest.raises(DeviceError):
        runner.run([X])


def test_an_exception_in_a_run_leaves_the_artifact_usable(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("run:python"), spec=SPEC, patience=PATIENCE)
    for _ in range(2):
        with pytest.raises(DeviceError, match="bad magic"):
            runner.run([X])
    runner.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory limits are Linux only")
def test_a_file_that_eats_memory_is_stopped(artifact: Callable[[str], Path]) -> None:
    with pytest.raises(DeviceError, match="no memory left"):
        open_isolated(artifact("load:eat"), spec=SPEC, patience=PATIENCE, memory_limit_bytes=1 << 30)


def test_what_a_runtime_prints_does_not_disturb(artifact: Callable[[str], Path]) -> None:
    runner = open_isolated(artifact("run:chatter"), spec=SPEC, patience=PATIENCE)
    np.testing.assert_array_equal(runner.run([X])[0], X * 2)
    runner.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="exact peaks are Linux only")
def test_memory_is_the_childs_and_not_the_parents(artifact: Callable[[str], Path]) -> None:
    ours = np.ones(300 << 20, dtype=np.uint8)
    runner = open_isolated(artifact("run:allocate"), spec=SPEC, patience=PATIENCE)
    before = runner.memory()
    runner.run([X])
    after = runner.memory()
    runner.close()
    assert ours.nbytes > before.peak_rss_bytes
    assert 100 << 20 <= after.peak_rss_bytes - before.baseline_rss_bytes < 120 << 20


def test_a_child_times_two_artifacts_against_each_other(tmp_path: Path) -> None:
    with Child(patience=PATIENCE) as child:
        runners = []
        for name in ("a.fake", "b.fake"):
            (tmp_path / name).write_text("fine")
            runners.append(child.open(tmp_path / name, SPEC))
        plan = TimingPlan(warmup=1, block=2, min_rounds=3, max_rounds=3, budget_s=100)
        times = child.time([(runner, [X]) for runner in runners], plan)
        assert times.seconds.shape == (2, 3, 2)
        assert (times.seconds > 0).all()
        runners[0].close()
        with pytest.raises(DeviceError, match="KeyError"):
            runners[0].run([X])
        assert len(runners[1].run([X])) == 2


def test_a_missing_file_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketpress.devices.isolated.Child", None)
    with pytest.raises(ArtifactError, match=r"no such artifact: got /.*absent\.fake"):
        open_isolated(tmp_path / "absent.fake", spec=SPEC)


def test_the_childs_import_path_leaves_out_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: Callable[[str], Path]
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    path = artifact("fine")
    monkeypatch.chdir(tmp_path)
    open_isolated(path, spec=SPEC, patience=PATIENCE).close()


@pytest.mark.parametrize(
    ("op", "answer"),
    [
        ("time", Frame({"warmup": 1, "overhead_s": 0.0})),
        ("time", Frame({"warmup": 1, "overhead_s": 0.0}, (np.zeros((1, 3)),))),
        ("time", Frame({"warmup": 1, "overhead_s": 0.0}, (np.zeros((2, 3, 1)),))),
        ("time", Frame({"warmup": 1, "overhead_s": 0.0}, (np.zeros((1, 3, 1), np.int8),))),
        ("time", Frame({"warmup": None, "overhead_s": 0.0}, (np.zeros((1, 3, 1)),))),
        ("memory", Frame({"peak_rss_bytes": "many", "baseline_rss_bytes": 1})),
        ("memory", Frame({})),
        ("open", Frame({"number": 0, "load_s": 0.1})),
        ("open", Frame({"number": "a", "load_s": 0.1, "signature": SIGNATURE.to_json()})),
    ],
)
def test_answers_that_make_no_sense_are_device_errors(
    op: str, answer: Frame, artifact: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Child(patience=PATIENCE) as child:
        runner = child.open(artifact("fine"), SPEC)
        monkeypatch.setattr(child, "_call", lambda header, *a, **k: answer)
        calls: dict[str, Callable[[], object]] = {
            "time": lambda: child.time([(runner, [X])]),
            "memory": child.memory,
            "open": lambda: child.open(artifact("fine"), SPEC),
        }
        with pytest.raises(DeviceError, match="answers nonsense"):
            calls[op]()


@pytest.mark.parametrize("kind", ["BlockedError", "PocketpressError", "TrustError", "compose", "x"])
def test_a_worker_cannot_choose_any_error(kind: str) -> None:
    """A malicious artifact may have taken it over."""
    found = _foreign({"error": kind, "message": "a\x1bb"}, "loading", ArtifactError)
    assert type(found) is ArtifactError and str(found) == "loading: the runtime refuses: got a b"
