"""Artifacts on devices: the entry of the record in every case, and the two commands that make it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Press
from tests.devices import sshd
from tests.devices.adb_server import serving
from tests.devices.test_adb import phone_in, program_of
from tests.devices.test_runtimes import X, card, lowered, program, run_here

from pocketpress.cli.devices import benched
from pocketpress.core import errors
from pocketpress.core.device import Description
from pocketpress.core.errors import DeviceError
from pocketpress.core.record import Limits, Record
from pocketpress.core.target import TargetSpec
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.adb.device import AdbDevice
from pocketpress.devices.adb.tools import TOOLS
from pocketpress.devices.isolated import Child, IsolatedRunner
from pocketpress.devices.store import Store
from pocketpress.pipeline.bench import devices, localised
from pocketpress.pipeline.bench.devices import bench_devices
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.on_devices import Plan, Trial, try_on
from pocketpress.pipeline.events import Events

QUICK = TimingPlan(warmup=1, block=2, min_rounds=6, max_rounds=6)


class Here:
    """This machine, as a device that can be told to behave."""

    def __init__(self, *, emulated: bool = False, refusal: str | None = None, dies: bool = False) -> None:
        self.emulated, self.refusal, self.dies, self.children = emulated, refusal, dies, list[Child]()

    def describe(self) -> Description:
        return Description("board", "ssh", "a board", self.emulated, {"litert": "litert 1"})

    def refuses(self, spec: TargetSpec) -> str | None:
        return self.refusal

    def connect(self) -> Child:
        child = Child()
        self.children.append(child)
        if self.dies:
            child._kill()
        return child

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder, spec = tmp_path_factory.mktemp("trial"), card("litert")
    path, floats = (lowered(spec, folder, quantized=q) for q in (True, False))
    feeds = [{"x": np.asarray(X * scale, np.float32)} for scale in (1.0, -0.5)]
    name = spec.read_signature(path).outputs[0].name
    outputs = [{name: run_here(spec, path)[0]}]
    runner = spec.open_runner(path)
    outputs.append({name: runner.run([feeds[1]["x"]])[0]})
    runner.close()
    return Trial(path, spec, Golden(tuple(feeds), tuple(outputs), None, "here"), floats)


def tried(device: Here, trial: Trial, **plan: object) -> object:
    entry = try_on(device, device.describe(), trial, Plan(timing=QUICK, created="now", **plan), Events())  # type: ignore[arg-type]
    assert all(child._link.ended(5.0) is not None for child in device.children)
    return entry


def test_everything_is_measured(trial: Trial) -> None:
    entry = tried(Here(), trial, sustained_s=0.05, limits=Limits(allow_slower=True))
    assert (entry.name, entry.kind, entry.runtime, entry.backend) == ("board", "ssh", "litert 1", "cpu")
    assert entry.verdict == "pass" and entry.created == "now" and entry.steady in (True, False)
    assert entry.parity.equal == 1 and entry.parity.samples == 2
    assert entry.latency_s.runs == 12 and entry.latency_s.speedup > 0
    assert entry.sustained_s.runs >= 1 and entry.load_s > 0
    assert 10 << 20 < entry.peak_rss_bytes < 1 << 30


def test_an_emulated_device_gives_parity_and_no_time(trial: Trial) -> None:
    entry = tried(Here(emulated=True), trial, limits=Limits(max_latency_s=1e-9))
    assert entry.verdict == "pass" and entry.parity.equal == 1
    assert entry.latency_s is None and entry.load_s is None and entry.peak_rss_bytes is None


def test_other_numbers_fail(trial: Trial) -> None:
    golden = trial.golden
    assert golden is not None
    wrong = tuple({k: v[::-1, :, ::-1] for k, v in o.items()} for o in golden.outputs)
    other = Trial(trial.path, trial.spec, Golden(golden.inputs, wrong, None, "elsewhere"))
    entry = tried(Here(), other, measure=False)
    assert entry.verdict == "fail" and "of the outputs equal the reference" in entry.reasons[0]


class Off(Here):
    """One step more in every output."""

    def connect(self) -> Child:
        child = super().connect()
        opened = child.open

        def open_off(path: Path, spec: TargetSpec | None = None, threads: int = 1) -> IsolatedRunner:
            runner = opened(path, spec, threads)
            computed = runner.run
            runner.run = lambda feeds: [value + np.float32(0.05) for value in computed(feeds)]  # type: ignore[method-assign]
            return runner

        child.open = open_off  # type: ignore[method-assign]
        return child


def test_the_operator_that_differs_there_is_named(trial: Trial) -> None:
    known = replace(trial, program=lambda: program(quantized=True))
    entry = tried(Off(), known, measure=False)
    assert entry.verdict == "fail" and entry.parity.equal < 0.2 and entry.parity.max_lsb == 1
    assert entry.parity.first_difference.op == "quantize" and entry.parity.first_difference.max_lsb >= 1
    assert "; first at quantize " in entry.reasons[0]
    assert tried(Here(), known, measure=False).parity.first_difference is None


def test_where_it_cannot_be_located_the_comparison_counts(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DeviceError("the board is gone")

    monkeypatch.setattr(localised, "first_difference", fail)
    entry = tried(Off(), replace(trial, program=lambda: program(quantized=True)), measure=False)
    assert entry.verdict == "fail" and entry.parity.equal < 0.2
    assert entry.parity.first_difference.note == "the board is gone"


def test_a_device_that_refuses_or_dies_is_skipped_with_the_reason(trial: Trial) -> None:
    entry = tried(Here(refusal="no runtime there"), trial)
    assert (entry.verdict, entry.reasons) == ("skipped", ("no runtime there",))
    entry = tried(Here(dies=True), trial)
    assert entry.verdict == "skipped" and "loading int8.tflite" in entry.reasons[0]


def test_an_artifact_that_the_runtime_there_refuses_fails(trial: Trial, tmp_path: Path) -> None:
    damaged = tmp_path / "net.tflite"
    damaged.write_bytes(trial.path.read_bytes()[:1000])
    entry = tried(Here(), Trial(damaged, trial.spec, trial.golden))
    assert entry.verdict == "fail" and "net.tflite is damaged" in entry.reasons[0]


def test_samples_of_another_network_are_said_to_be_so(trial: Trial) -> None:
    golden = Golden(({"x": X[:, :4]},), trial.golden.outputs[:1], None, "elsewhere")  # type: ignore[union-attr]
    entry = tried(Here(), Trial(trial.path, trial.spec, golden))
    assert entry.verdict == "fail" and "the golden samples do not fit" in entry.reasons[0]


def test_without_golden_samples_it_is_timed_on_random_ones(trial: Trial) -> None:
    entry = tried(Here(), Trial(trial.path, trial.spec, None, notes=("not compared",)))
    assert entry.parity is None and entry.latency_s is not None
    assert entry.notes == ("not compared",)


def test_errors_that_are_neither_are_not_swallowed(trial: Trial) -> None:
    class Broken(Here):
        def connect(self) -> Child:
            raise KeyError("a bug")

    with pytest.raises(KeyError):
        tried(Broken(), trial)


@pytest.mark.parametrize("target", ["litert", "onnxruntime"])
def test_a_phone_with_a_runtimes_own_program(target: str, trial: Trial, tmp_path: Path) -> None:
    """Numbers are compared where the program gives them; where it does not, the entry says so."""
    phone, spec, tool = phone_in(tmp_path / "phone"), card(target), TOOLS[target]
    paths = [lowered(spec, tmp_path, quantized=q) for q in (True, False)]
    known = Trial(paths[0], spec, trial.golden, paths[1])
    with serving(phone) as started:
        environment = {**started.environment, tool.variable: str(program_of(target, phone, tmp_path))}
        device = AdbDevice(None, {**environment, "POCKETPRESS_DEVICE_PYTHON": "/nowhere/python"})
        plan = Plan(timing=TimingPlan(min_rounds=2, max_rounds=2), limits=Limits(allow_slower=True))
        entry = try_on(device, device.describe(), known, plan, Events())
        assert phone.settled() == ([], [])
    assert entry.verdict == "pass", entry.reasons
    assert (entry.name, entry.runtime) == ("adb", tool.program)
    assert entry.latency_s is not None and entry.latency_s.speedup is not None
    assert entry.peak_rss_bytes is None and entry.notes == (tool.about,)
    if tool.gives_outputs:
        assert entry.parity is not None and entry.parity.equal == 1 and entry.parity.samples == 2
    else:
        assert entry.parity is None and "agreement with the reference was not measured" in entry.reasons


PRESS = (
    "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
    "--metric", "top1", "--target", "litert,onnxruntime", "--json",
)  # fmt: skip


class Interrupted(Here):
    """Ctrl-C when the second artifact comes."""

    def connect(self) -> Child:
        if self.children:
            raise KeyboardInterrupt
        return super().connect()


def test_what_was_measured_before_ctrl_c_is_kept(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / name for name in ("a.tflite", "b.tflite")]
    paths[0].write_bytes(trial.path.read_bytes())
    paths[1].write_bytes(trial.float_path.read_bytes())  # type: ignore[union-attr]
    monkeypatch.setattr(devices, "reachable_devices", lambda texts, store: (Interrupted(),))
    store = Store(tmp_path / "kept")
    found = bench_devices(paths, "board", store=store)
    assert [name for name, _ in found.rows] == ["a.tflite"] and found.wanted == 2
    assert store.names() == ("board",)
    with pytest.raises(errors.Interrupted, match=r"^interrupted; 1 of 2 measurements were made and kept$"):
        benched(found, as_json=True)
    (row,) = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"no JSON: {name}"))
    assert row["artifact"] == "a.tflite" and row["parity"]["sqnr_reference_db"] == "Infinity"
    assert errors.Interrupted.exit_code == 130

    device = Interrupted()
    device.children.append(None)  # type: ignore[arg-type]
    monkeypatch.setattr(devices, "reachable_devices", lambda texts, store: (device,))
    with pytest.raises(KeyboardInterrupt):
        bench_devices(paths, "board", store=store)


def test_nothing_is_measured_where_an_artifact_is_damaged(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, device = tmp_path / "b.tflite", Here()
    damaged.write_bytes(trial.path.read_bytes()[:1000])
    monkeypatch.setattr(devices, "reachable_devices", lambda texts, store: (device,))
    with pytest.raises(errors.ArtifactError, match=r"b\.tflite is damaged"):
        bench_devices([trial.path, damaged], "board", store=Store(tmp_path / "kept"))
    assert device.children == []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshd.Server]:
    if sshd.SERVER is None or sshd.CLIENT is None:
        pytest.skip(sshd.MISSING)
    (tmp_path / "sshd").mkdir()
    with sshd.serving(tmp_path / "sshd") as started:
        started.has_python(sys.executable, without=("onnx", "torch"))
        monkeypatch.setenv("POCKETPRESS_SSH", started.environment["POCKETPRESS_SSH"])
        monkeypatch.setenv("POCKETPRESS_DEVICES", str(tmp_path / "kept"))
        yield started
        assert started.settled() == ([], []) and started.deserted()


@pytest.mark.slow
def test_a_bench_names_the_operator_that_differs_too(
    pocketpress: Press, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, store = trained / "localised", Store(tmp_path / "kept")
    assert pocketpress(*PRESS[:-3], "--target", "litert", "--no-measure", "--out", out).code == 0
    monkeypatch.setattr(devices, "reachable_devices", lambda texts, store: (Off(),))
    ((name, entry),) = bench_devices([out], "board", store=store).rows
    assert name == "net.tflite" and entry.verdict == "fail"
    assert entry.parity is not None and entry.parity.first_difference is not None
    assert entry.parity.first_difference.op == "quantize"
    assert any("; first at quantize " in reason for reason in entry.reasons), entry.reasons
    assert Record.read(out / "record.json").targets[0].devices == (entry,)

    kept = out / "bench" / "program.bin"
    kept.write_bytes(kept.read_bytes()[:1000])
    ((_, entry),) = bench_devices([out], "board", store=store).rows
    assert entry.parity is not None and entry.parity.first_difference is not None
    assert entry.parity.first_difference.note == "not a saved program: got ValueError"
    kept.unlink()
    ((_, entry),) = bench_devices([out], "board", store=store).rows
    assert entry.parity is not None and entry.parity.first_difference is None


@pytest.mark.slow
def test_a_press_and_a_bench_name_every_device(
    pocketpress: Press, trained: Path, server: sshd.Server, tmp_path: Path
) -> None:
    out, board = trained / "boards", f"ssh:{server.rest}"
    done = pocketpress(*PRESS, "--device", f"host,{board}", "--no-measure", "--out", out)
    assert done.code == 0, done.err
    data = json.loads(done.out)
    for target in data["targets"]:
        assert [d["name"] for d in target["devices"]] == ["host", board]
        for device in target["devices"]:
            assert device["verdict"] == "pass" and device["parity"]["equal"] == 1, device
            assert device["latency_s"] is None and device["runtime"] == target["runtime"]
            assert device["parity"]["samples"] == 8
    assert Record.read(out / "record.json").targets[0].devices[1].name == board
    before = (out / "record.json").read_bytes()

    done = pocketpress("bench", out / "net.onnx", "--device", board)
    assert done.code in (0, 3), done.err  # so small a network may be slower than float
    assert board in done.out and "100.00%" in done.out and "onnxruntime 1." in done.out
    record = Record.read(out / "record.json")
    entries = {t.name: {d.name: d for d in t.devices} for t in record.targets}
    assert entries["onnxruntime"][board].latency_s is not None
    assert entries["litert"] == {d.name: d for d in Record.from_json(before).targets[0].devices}
    (kept,) = (tmp_path / "kept").iterdir()
    assert board in kept.read_text()


def test_a_device_that_cannot_be_reached_stops_a_press_before_any_work(
    pocketpress: Press, trained: Path
) -> None:
    out = trained / "unreachable"
    port = sshd.free_port()
    done = pocketpress(*PRESS, "--device", f"ssh:127.0.0.1:{port}", "--out", out)
    assert done.code == 4 and done.out == ""
    assert f"cannot log in at 127.0.0.1:{port}: nothing listens there" in done.err
    assert not out.exists()
    assert "read network" not in done.err
    for name, said in (
        ("toaster", "unknown device: got toaster; allowed: "),
        ("ssh:", "not a place to log in"),
    ):
        for more in ((), ("--dry-run",)):
            done = pocketpress(*PRESS, "--data", "absent.npz", "--device", name, "--out", out, *more)
            assert done.code == 2 and done.line.startswith(said), done.err
    assert not out.exists()
