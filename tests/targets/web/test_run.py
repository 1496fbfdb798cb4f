"""Web artifacts in a real browser: equal integers, what is refused, and what times itself."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.targets.web.programs import bytes_at_the_border, convolutions

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.program import Program
from pocketpress.core.session import Session
from pocketpress.core.signature import signature_of
from pocketpress.core.target import BlockTimer, Resident, TargetSpec
from pocketpress.core.targets import target_of
from pocketpress.core.timing import TimingPlan
from pocketpress.devices import web
from pocketpress.devices.chromium import Browser
from pocketpress.devices.isolated import Child
from pocketpress.devices.web import close_browser, packed, unpacked
from pocketpress.testing import all_cases, check_target, keeps_promise
from pocketpress.verify.reference import interpret

NAMES = ("litert_web", "onnxruntime_web")
FEW = (
    "conv2d-3x3",
    "linear-vector-w8a8-static",
    "add-equal_scales-w8a8-static",
    "requantize-finer_scale-w8a8-static",
    "softmax",
    "embedding-int64-fp32",
    "argmax-equal_numbers-fp32",
    "whole-vector-fp32",
    "round-halves-fp32",
)


def card(name: str) -> TargetSpec:
    spec: TargetSpec = importlib.import_module(f"pocketpress.targets.{name}.spec").SPEC
    for package in spec.requires:
        pytest.importorskip(package)
    if (obstacle := spec.obstacle()) is not None:
        pytest.skip(obstacle)
    return spec


@pytest.fixture(scope="module", autouse=True)
def browser_of_this_file() -> Iterator[None]:
    yield
    close_browser()


def lowered(spec: TargetSpec, program: Program, folder: Path, precision: str = "w8a8-static") -> Path:
    path = folder / f"net{spec.suffix}"
    spec.lower(program, signature_of(program, precision=precision), path)
    return path


def pictures(program: Program, count: int = 3) -> list[np.ndarray]:
    shape = program.type("x").shape
    return [np.random.default_rng(i).normal(0, 2, shape).astype(np.float32) for i in range(count)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", [c for c in all_cases() if c.id.startswith(FEW)][:16], ids=lambda c: c.id)
def test_operators_keep_the_promise_of_the_card(name: str, case: object) -> None:
    result = check_target(card(name), case)  # type: ignore[arg-type]
    assert keeps_promise(card(name), case, result), result  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_layer_after_layer_the_same_integers(name: str, tmp_path: Path) -> None:
    """512 channels, where both runtimes compute in integers; three layers and three pictures."""
    spec, program = card(name), convolutions(512, layers=3)
    path = lowered(spec, program, tmp_path)
    assert target_of(path).name == spec.name
    with Session(spec.open_runner(path)) as session:
        for x in pictures(program):
            wanted = next(iter(interpret(program, {"x": x}).values()))
            got = next(iter(session(x=x).values()))
            np.testing.assert_array_equal(got, wanted)
            assert len(np.unique(wanted)) > 50


def test_where_integers_are_slower_the_weights_alone_are_integers(tmp_path: Path) -> None:
    from pocketpress.targets.onnxruntime_web.lower import lower_as

    spec, program = card("onnxruntime_web"), convolutions(64, layers=3)
    signature = signature_of(program, precision="w8a8-static")
    integers, floats = tmp_path / "a.web.onnx", tmp_path / "b.web.onnx"
    assert not lower_as(program, signature, integers, integers=True).stored_only
    stored = spec.lower(program, signature, floats)
    assert stored.stored_only and "float32 on the same 8-bit weights" in stored.skipped[-1].reason
    assert floats.stat().st_size < 1.2 * integers.stat().st_size
    x = np.clip(pictures(program, 1)[0], -5, 5)  # floats know no saturation
    results = {}
    for path in (integers, floats):
        with Session(spec.open_runner(path)) as session:
            results[path] = next(iter(session(x=x).values()))
    wanted = next(iter(interpret(program, {"x": x}).values()))
    np.testing.assert_array_equal(results[integers], wanted)
    steps = np.abs(results[floats] - wanted) / np.float32(0.05)
    assert 0 < steps.max() <= 3 and np.mean(steps < 0.5) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_bytes_at_the_border(name: str, tmp_path: Path) -> None:
    spec, program = card(name), bytes_at_the_border()
    with Session(spec.open_runner(lowered(spec, program, tmp_path))) as session:
        got = session(x=np.asarray([[-60.0, 0.0, 1.3, 62.0]], np.float32))["y"]
    np.testing.assert_allclose(got, np.float32(0.3) * np.asarray([[-121, 0, 5, 134]]), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_compressed_and_a_float_artifact_are_timed_in_one_page(name: str, tmp_path: Path) -> None:
    spec, program = card(name), convolutions(64)
    path = lowered(spec, program, tmp_path)
    x = pictures(program, 1)[0]
    plan = TimingPlan(warmup=1, block=3, min_rounds=2, max_rounds=2, budget_s=60)
    with Child() as child:
        pair = [child.open(path, spec), child.open(path, spec)]
        times = child.time([(runner, [x]) for runner in pair], plan)
        use = pair[1].memory()
    assert times.seconds.shape == (2, 2, 3)
    assert (times.seconds > 0).all() and times.seconds.max() < 10
    assert use.peak_rss_bytes > use.baseline_rss_bytes > 1 << 25  # of the browser's page, not of the child


@pytest.mark.parametrize("name", NAMES)
def test_a_runner_times_itself_and_names_its_runtime(name: str, tmp_path: Path) -> None:
    spec, program = card(name), convolutions(16)
    runner = spec.open_runner(lowered(spec, program, tmp_path))
    assert isinstance(runner, BlockTimer) and isinstance(runner, Resident)
    assert len(runner.time_block([pictures(program, 1)[0]], 5)) == 5
    assert runner.runtime.startswith(spec.title) and "(wasm) in Chromium" in runner.runtime  # type: ignore[attr-defined]
    title, _, browser = (spec.runtime() or "").partition(" in ")
    assert runner.runtime.startswith(title) and runner.runtime.endswith(browser)  # type: ignore[attr-defined]
    runner.close()
    runner.close()
    with pytest.raises(DeviceError):
        runner.run([pictures(program, 1)[0]])


@pytest.mark.parametrize("name", NAMES)
def test_threads_give_the_same_integers(name: str, tmp_path: Path) -> None:
    spec, program = card(name), convolutions(512, layers=2)
    path, x = lowered(spec, program, tmp_path), pictures(program, 1)[0]
    runner = spec.open_runner(path, threads=2)
    assert "(wasm-threads)" in runner.runtime  # type: ignore[attr-defined]
    got = runner.run([x])[0]
    np.testing.assert_array_equal(got, next(iter(interpret(program, {"x": x}).values())))
    runner.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_artifact_is_refused_before_the_browser_sees_it(name: str, tmp_path: Path) -> None:
    spec = card(name)
    path = lowered(spec, convolutions(16), tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match=r"damaged|not an ONNX file"):
        spec.open_runner(path)


def test_what_the_runtime_refuses_leaves_a_page_that_works(tmp_path: Path) -> None:
    """A convolution whose weight has other channels: the structure is sound, the runtime says no."""
    spec, program = card("litert_web"), convolutions(16)
    good = lowered(spec, program, tmp_path)
    bad = tmp_path / "bad.web.tflite"
    bad.write_bytes(_with_a_wrong_weight(good))
    with pytest.raises(
        ArtifactError, match=r"^bad.web.tflite: LiteRT.js cannot load the artifact: got "
    ) as caught:
        spec.open_runner(bad)
    assert "\n" not in str(caught.value)
    with Session(spec.open_runner(good)) as session:
        x = pictures(program, 1)[0]
        np.testing.assert_array_equal(
            next(iter(session(x=x).values())), next(iter(interpret(program, {"x": x}).values()))
        )


def test_a_browser_that_is_gone_is_started_again(tmp_path: Path) -> None:
    spec, program = card("litert_web"), convolutions(16)
    path, x = lowered(spec, program, tmp_path), pictures(program, 1)[0]
    expected = next(iter(interpret(program, {"x": x}).values()))
    with Session(spec.open_runner(path)) as session:
        browser = web._places[0].browser
        os.kill(browser.perform(lambda: browser_process(browser)), signal.SIGKILL)
        with pytest.raises(DeviceError):
            session(x=x)
    with Session(spec.open_runner(path)) as session:
        np.testing.assert_array_equal(next(iter(session(x=x).values())), expected)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"dtype": "float32", "data": 5},
        {"dtype": "int8", "data": ""},
        {"dtype": "float32", "data": "?" * 12},
        {"dtype": "float32", "data": "AAAA"},
    ],
)
def test_what_a_page_answers_is_checked(result: dict[str, object]) -> None:
    """A malicious file may have taken its runtime over."""
    with pytest.raises(DeviceError):
        unpacked(result, "float32", (1, 2))


def browser_process(browser: Browser) -> int:
    processes = browser._chromium.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return next(int(process["id"]) for process in processes if process["type"] == "browser")


def _with_a_wrong_weight(path: Path) -> bytes:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import Builder

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if isinstance(operator.builtinOptions, schema.Conv2DOptionsT):
            graph.tensors[operator.inputs[1]].shape = np.asarray([4, 2, 2, 16], np.int32)
    builder = Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_webgpu_on_the_processor_computes_the_float_network(tmp_path: Path) -> None:
    """SwiftShader: right, and of no worth as a measurement."""
    from pocketpress.devices.chromium import SOFTWARE_WEBGPU, Browser
    from pocketpress.devices.web import HARNESS
    from pocketpress.verify.parity import sqnr_db
    from pocketpress.web.assets import static_folder

    spec = card("litert_web")
    case = next(c for c in all_cases() if c.id == "conv2d-3x3-fp32")
    path = lowered(spec, case.program, tmp_path, "fp32")
    wanted = interpret(case.program, case.feeds)[case.program.outputs[0]]
    with Browser(static_folder(), flags=SOFTWARE_WEBGPU) as browser:
        page = browser.open(HARNESS)
        gpu = page.call("window.harness.probe")["webgpu"]
        if gpu is None:
            pytest.skip("this Chromium has no software WebGPU")
        address = browser.publish(path)
        opened = page.call("window.harness.open", address, {"backend": "webgpu"})
        assert opened["runtime"]["backend"] == "webgpu"
        feeds = [case.feeds[name] for name in case.program.inputs]
        result = page.call("window.harness.run", opened["id"], packed(feeds))[0]
    got = unpacked(result, "float32", wanted.shape)
    assert sqnr_db(wanted.astype(np.float64), wanted.astype(np.float64) - got) > 80
