"""Phones end to end in real Chromium: what is measured arrives, and what goes wrong is said on both ends."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.phone.browser import chromium, chromium_path, phone
from tests.conftest import Press
from tests.pipeline.bench.phones import QUICK, Bench, status, until

from pocketpress.core.record import Record
from pocketpress.devices.phone.addresses import Addresses
from pocketpress.devices.phone.certificate import server_context
from pocketpress.devices.phone.server import Arrivals, Content, serving
from pocketpress.devices.phone.sessions import Patience, Sessions
from pocketpress.devices.store import Store
from pocketpress.pipeline.bench.phone_tasks import PhoneOptions, prepare_work
from pocketpress.web.assets import STATIC, static_folder

pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium_path() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(not (STATIC / "bench.html").is_file(), reason="the pages are not built: make web"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    """A press for LiteRT and ONNX Runtime, made once."""
    from pocketpress.pipeline.options import PressOptions
    from pocketpress.pipeline.press import press

    out = tmp_path_factory.mktemp("phones") / "pressed"
    press(
        PressOptions(
            source=f"{trained / 'net.py'}:factory",
            weights=trained / "w.safetensors",
            data=str(trained / "calib.npz"),
            evaluation=str(trained / "eval.npz"),
            metric="top1",
            targets="litert,onnxruntime",
            out=out,
            measure=False,
        )
    )
    return out


@pytest.fixture
def pressed(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "pressed"))


def test_two_phones_end_to_end(browser: Any, pressed: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "devices")
    with Bench([pressed], store, wait=2) as bench:
        pages = {name: phone(browser, name).new_page() for name in ("Pixel 7", "iPhone 14")}
        errors: list[str] = []
        for page in pages.values():
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(bench.address)
        for page in pages.values():
            until(lambda p=page: "Done" in status(p) or "ended" in status(p), 90, page)
        found = bench.end()
    assert errors == [] and found.problems == []
    assert {key for key in found.entries} == {
        (name, task) for name in ("pixel-7", "iphone") for task in bench.work.tasks
    }
    for (_, task), entry in found.entries.items():
        assert entry.verdict in ("pass", "fail"), "only a slowdown, which a busy machine makes, may fail it"
        assert entry.parity is not None and entry.latency_s is not None and entry.load_s is not None
        assert (entry.parity.equal, entry.parity.max_lsb, entry.parity.vacuous) == (1.0, 0, False)
        assert entry.latency_s.warmup >= 10 and entry.latency_s.float_median is not None
        subject = bench.work.tasks[task].subject
        assert (entry.runtime or "").startswith(
            "LiteRT.js" if subject.spec.name == "litert" else "onnxruntime-web"
        )
    own = pages["Pixel 7"].locator("#cards").inner_text()
    assert "net.tflite" in own and "net.onnx" in own and "100.00%" in own
    everybody = pages["iPhone 14"].locator("#phones").inner_text()
    assert "pixel-7" in everybody and "iphone" in everybody

    record = Record.read(pressed / "record.json")
    assert all({e.name for e in target.devices} == {"pixel-7", "iphone"} for target in record.targets)
    report = (pressed / "report.html").read_text()
    assert "On devices" in report and "pixel-7" in report and "iphone" in report
    assert store.names() == ("iphone", "pixel-7")
    for target in record.targets:
        assert store.find("pixel-7", target.sha256 or "")[0].latency_s is not None


def test_phones_of_one_model_keep_their_names_over_runs(browser: Any, pressed: Path, tmp_path: Path) -> None:
    """Each run has another port, and so other storage in the browser."""
    store, artifact = Store(tmp_path / "devices"), pressed / "net.onnx"
    first, second = (phone(browser, "Pixel 7") for _ in range(2))
    called = []
    for contexts in ([first], [second], [second, first]):
        with Bench([artifact], store, wait=len(contexts)) as bench:
            for context in contexts:
                page = context.new_page()
                page.goto(bench.address)
                until(lambda p=page: "Done" in status(p) or "ended" in status(p), 90, page)
            assert bench.end().problems == []
            called.append([view.name for view in bench.end().views])
    assert called == [["pixel-7"], ["pixel-7-2"], ["pixel-7-2", "pixel-7"]]
    assert store.names() == ("pixel-7", "pixel-7-2")


def test_no_token_no_page(browser: Any, pressed: Path) -> None:
    with Bench([pressed], timeout_s=8) as bench:
        page = phone(browser, "Pixel 7").new_page()
        answer = page.goto(bench.address.rstrip("/")[:-4] + "abcd/")
        assert answer.status == 403
        assert "This address is not valid" in page.inner_text("body")
        assert "Scan the code in the terminal again" in page.inner_text("body")
        found = bench.end()
    assert found.entries == {} and found.views == ()


def test_a_tampered_artifact(browser: Any, pressed: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "devices")
    with Bench([pressed / "net.tflite"], store, wait=1) as bench:
        content = bytearray((pressed / "net.tflite").read_bytes())
        content[len(content) // 2] ^= 1
        (pressed / "net.tflite").write_bytes(content)
        page = phone(browser, "Pixel 7").new_page()
        page.goto(bench.address)
        until(lambda: "is not the file that was announced" in page.inner_text("#cards"), 30, page)
        found = bench.end()
    (entry,) = found.entries.values()
    assert entry.verdict == "fail" and "is not the file that was announced" in entry.reasons[0]
    assert entry.latency_s is None and store.names() == ()


def test_an_artifact_that_the_phone_cannot_run(browser: Any, pressed: Path) -> None:
    """It has no WebGPU; and no browser runs ExecuTorch's files."""
    (pressed / "net.pte").write_bytes(b"not read")
    paths = [pressed / "net.onnx", pressed / "net.pte"]
    with Bench(paths, wait=1, backends=("webgpu", "wasm")) as bench:
        page = phone(browser, "iPhone 14").new_page()
        page.goto(bench.address)
        until(lambda: "ended" in status(page), 60, page)
        found = bench.end()
    entries = {bench.work.tasks[task].backend: entry for (_, task), entry in found.entries.items()}
    assert entries["webgpu"].verdict == "skipped" and "no WebGPU adapter" in entries["webgpu"].reasons[0]
    assert entries["wasm"].latency_s is not None, "the other one is measured all the same"
    cards = page.inner_text("#cards")
    assert "no WebGPU adapter" in cards and "not measured here" in cards
    assert "no browser runs artifacts of ExecuTorch" in cards
    assert any(row.artifact == "net.pte" and "no browser" in row.remark for row in found.rows)


def test_a_tab_closed_in_the_middle(browser: Any, pressed: Path) -> None:
    slow = {"warmup": 10, "block": 4, "repeats": 1000, "rounds": 100, "repeat_s": 1.0}
    with Bench([pressed / "net.tflite"], wait=1, patience=Patience(1, 4), plan=slow) as bench:
        page = phone(browser, "Pixel 7").new_page()
        page.goto(bench.address)
        until(lambda: any("measuring" in row.remark for row in bench.rows), 60, page)
        page.close()
        found = bench.end()
    assert found.lost == ("pixel-7",) and found.entries == {}
    assert any("its page was closed" in note for note in bench.notes)
    assert any("nobody waits for it" in note for note in bench.notes)


def test_a_reload_goes_on(browser: Any, pressed: Path) -> None:
    with Bench([pressed], wait=1) as bench:
        page = phone(browser, "Pixel 7").new_page()
        page.goto(bench.address)
        until(lambda: sum(row.state != "pending" for row in bench.rows) == 1, 60, page)
        page.reload()
        until(lambda: "Done" in status(page) or "ended" in status(page), 60, page)
        found = bench.end()
    assert [view.name for view in found.views] == ["pixel-7"], "the same phone, not another one"
    assert len(found.entries) == 2


def test_two_tabs(browser: Any, pressed: Path) -> None:
    slow = {"warmup": 10, "block": 4, "repeats": 1000, "rounds": 100, "repeat_s": 0.5}
    with Bench([pressed / "net.tflite"], wait=1, plan=slow) as bench:
        context = phone(browser, "Pixel 7")
        first, second = context.new_page(), context.new_page()
        first.goto(bench.address)
        until(lambda: any("measuring" in row.remark for row in bench.rows), 60, first)
        bench.work.job["plan"] = {**slow, "repeats": 2, "rounds": 4}
        second.goto(bench.address)
        until(lambda: "Another tab of this phone measures already" in status(second), 30, second)
        second.get_by_role("button", name="Measure in this tab instead").click()
        until(lambda: "Another tab of this phone measures now" in status(first), 30, first)
        until(lambda: "Done" in status(second) or "ended" in status(second), 60, second)
        found = bench.end()
    assert len(found.views) == 1 and len(found.entries) == 1


def test_a_page_that_comes_back_measures_once(browser: Any, pressed: Path) -> None:
    """Browsers keep a page that is left and show it again with its work still going on."""
    plan = {"warmup": 10, "block": 2, "repeats": 3, "rounds": 1000, "repeat_s": 1.5}
    with Bench([pressed / "net.tflite"], wait=1, plan=plan) as bench:
        page = phone(browser, "Pixel 7").new_page()
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
        page.goto(bench.address)
        until(lambda: "measuring" in page.inner_text("#cards"), 60, page)
        for _ in range(2):
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        until(lambda: "Done" in status(page) or "ended" in status(page), 180, page)
        assert page.locator("#trouble").is_hidden()
        page.wait_for_timeout(3000)
        found = bench.end()
    assert len(found.entries) == 1 and sent.count("result") == 1


def test_a_lost_network(browser: Any, pressed: Path) -> None:
    """What was measured meanwhile is kept on the phone, and sent when the network is back."""
    plan = {"warmup": 10, "block": 2, "repeats": 4, "rounds": 1000, "repeat_s": 1.5}
    with Bench([pressed / "net.tflite"], wait=1, plan=plan) as bench:
        context = phone(browser, "Pixel 7")
        page = context.new_page()
        page.goto(bench.address)
        until(lambda: "measuring" in page.inner_text("#cards"), 180, page)
        context.set_offline(True)
        until(lambda: "No connection" in str(page.text_content("#trouble")), 180, page)
        until(lambda: "sending" in page.inner_text("#cards"), 180, page)
        assert bench.found is None and bench.rows[0].state == "pending"
        context.set_offline(False)
        until(lambda: bench.found is not None, 180, page)
        found = bench.end()
    (entry,) = found.entries.values()
    assert entry.latency_s is not None


HIDE = """
let hidden = false;
Object.defineProperty(document, 'hidden', { get: () => hidden });
window.hide = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')); };
"""


def test_what_was_measured_on_a_hidden_page_is_measured_again(browser: Any, pressed: Path) -> None:
    plan = {"warmup": 10, "block": 2, "repeats": 3, "rounds": 1000, "repeat_s": 4}
    with Bench([pressed / "net.tflite"], wait=1, plan=plan) as bench:
        page = phone(browser, "Pixel 7").new_page()
        page.add_init_script(HIDE)
        page.goto(bench.address)
        until(lambda: "measuring" in page.inner_text("#cards"), 60, page)
        page.wait_for_timeout(1500)  # past the warm-up, which shows a number too, into the rounds
        page.evaluate("hide(true)")
        page.wait_for_timeout(2500)
        page.evaluate("hide(false)")
        until(lambda: bench.found is not None, 180, page)
        found = bench.end()
    (entry,) = found.entries.values()
    assert "1 measurements discarded: the page was hidden meanwhile" in entry.notes


def test_without_the_browsers_cryptography(browser: Any, pressed: Path) -> None:
    """As on a page over plain http: the hash is computed by the page itself."""
    with Bench([pressed / "net.tflite"], wait=1) as bench:
        page = phone(browser, "Pixel 7").new_page()
        page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined });")
        page.goto(bench.address)
        assert page.evaluate("crypto.subtle === undefined")
        until(lambda: bench.found is not None, 60, page)
        found = bench.end()
    (entry,) = found.entries.values()
    assert entry.parity is not None and entry.parity.equal == 1.0


def test_https_gives_threads(browser: Any, pressed: Path) -> None:
    """The certificate is not trusted, and the page is a secure context all the same."""
    work = prepare_work(PhoneOptions((pressed / "net.tflite",)))
    work.job["plan"] = QUICK
    arrivals = Arrivals(Sessions(tuple(work.tasks)))
    content = Content(static_folder(), "bench.html", work.job, work.artifacts, work.golden)
    at = Addresses("127.0.0.1", ("127.0.0.1",), False)
    tls = server_context(at.names, datetime.datetime.now(datetime.timezone.utc))
    with serving(content, arrivals, at, tls=tls) as server:
        assert server.address.startswith("https://")
        page = phone(browser, "Pixel 7").new_page()
        page.goto(server.address)
        assert page.evaluate("[isSecureContext, crossOriginIsolated]") == [True, True]
        until(lambda: not arrivals.inbox.empty(), 60, page)
    result = arrivals.inbox.get_nowait()
    assert result.outcome == "measured" and (result.backend == "wasm-threads" or result.threads == 1)


def test_interrupted_what_arrived_is_kept(browser: Any, pressed: Path, tmp_path: Path) -> None:
    """The real command, and Ctrl-C after the first of two artifacts."""
    devices = tmp_path / "devices"
    command = subprocess.Popen(
        [sys.executable, "-m", "pocketpress", "bench", str(pressed), "--phone", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "POCKETPRESS_DEVICES": str(devices)},
        # background jobs of a shell ignore it, and so do their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert command.stderr is not None
        first = command.stderr.readline().decode()
        address = first.partition("open on a phone: ")[2].strip()
        page = phone(browser, "Pixel 7").new_page()
        page.goto(address)
        until(lambda: (devices / "pixel-7.json").is_file(), 90, page)
        command.send_signal(signal.SIGINT)
        until(lambda: "The command has ended" in status(page) or command.poll() is not None, 30, page)
        out, said = command.communicate(timeout=60)
    finally:
        command.kill()
    printed = json.loads(out)
    assert command.returncode in (0, 3), said  # 3 where a busy machine made it slower than float
    assert printed["interrupted"] is True and len(printed["measurements"]) >= 1
    assert printed["measurements"][0]["entry"]["parity"]["equal"] == 1.0
    assert Store(devices).find("pixel-7", printed["measurements"][0]["sha256"])


def test_usable_by_keyboard_and_at_360_pixels(browser: Any, pressed: Path) -> None:
    with Bench([pressed], wait=1) as bench:
        page = phone(browser, "Pixel 7").new_page()
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(bench.address)
        until(lambda: bench.found is not None, 90, page)
        bench.end()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"scroll", "name"} <= set(reached)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, progress, [tabindex]')].filter(e => !(e.hidden || "
        "e.textContent.trim() || e.labels?.length || e.ariaLabel || e.matches('[aria-labelledby]'))).length"
    )
    assert unnamed == 0


def test_kept_measurements_are_what_a_press_judges_by(
    pressed: Path, trained: Path, tmp_path: Path, pocketpress: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pocketpress.core.record import DeviceEntry, Latency

    monkeypatch.setenv("POCKETPRESS_DEVICES", str(tmp_path / "devices"))
    argv = (
        "press", "net.py:factory", "--weights", "w.safetensors", "--data", "calib.npz", "--eval", "eval.npz",
        "--metric", "top1", "--no-measure", "--target", "litert", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    unknown = pocketpress(*argv, "--device", "pixel-7")
    assert unknown.code == 2 and "pocketpress bench ARTIFACT --phone" in unknown.line
    sha = next(t.sha256 for t in Record.read(pressed / "record.json").targets if t.name == "litert") or ""
    latency = Latency(median=0.015, p90=0.02, threads=4, runs=100)
    entry = DeviceEntry(
        name="pixel-7", kind="browser", runtime="LiteRT.js", backend="wasm", latency_s=latency, verdict="pass"
    )
    store = Store(tmp_path / "devices")
    store.keep("other.tflite", "litert", "0" * 64, entry)
    missing = json.loads(pocketpress(*argv, "--device", "pixel-7", "--max-latency", "20ms").out)["targets"][0]
    assert missing["verdict"] == "fail"
    assert "on pixel-7: this artifact was not measured there; run: pocketpress bench" in missing["reasons"][0]
    store.keep("net.tflite", "litert", sha, entry)
    slow = pocketpress(*argv, "--device", "Pixel 7", "--max-latency", "10ms")
    assert slow.code == 3
    reasons = json.loads(slow.out)["targets"][0]["reasons"]
    assert "on pixel-7: median latency 15 ms is over the limit of 10 ms" in reasons
