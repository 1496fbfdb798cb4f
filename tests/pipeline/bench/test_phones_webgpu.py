"""The bench page on WebGPU, in real Chromium with an adapter in software: what happens when the GPU fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.bench.phones import Bench, until
from tests.web.site import launch, need_browser
from tests.web.test_webgpu import DISGUISE

from pocketpress.devices.chromium import SOFTWARE_WEBGPU
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

pytestmark = pytest.mark.slow
PLAN = {"warmup": 10, "block": 2, "repeats": 3, "rounds": 1000, "repeat_s": 3}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, launch(driver.chromium, *SOFTWARE_WEBGPU, gpu=True) as started:
        yield started


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Path:
    out = tmp_path_factory.mktemp("webgpu")
    press(
        PressOptions(
            source=f"{trained / 'net.py'}:factory",
            weights=trained / "w.safetensors",
            evaluation=str(trained / "eval.npz"),
            metric="top1",
            targets="litert",
            precision="fp32",
            out=out,
            measure=False,
        )
    )
    return out / "net.tflite"


def page_of(browser: Any, bench: Bench, *, disguised: bool) -> Any:
    page = browser.new_page()
    if disguised:
        page.add_init_script(DISGUISE)
    page.goto(bench.address)
    if page.evaluate("navigator.gpu === undefined"):
        pytest.skip("this Chromium has no software WebGPU")
    return page


def test_a_gpu_that_fails_in_the_middle_costs_no_answer(browser: Any, artifact: Path) -> None:
    with Bench([artifact], wait=1, plan=PLAN) as bench:
        page = page_of(browser, bench, disguised=True)
        until(lambda: "measuring" in page.inner_text("#cards"), 90, page)
        browser.new_browser_cdp_session().send("Browser.crashGpuProcess")
        until(lambda: bench.found is not None, 90, page)
        found = bench.end()
        page.close()
    (entry,) = found.entries.values()
    (note,) = [note for note in entry.notes if "WebGPU" in note]
    assert note.startswith("measured in WebAssembly; WebGPU failed: the runtime failed to run the artifact: ")
    assert (entry.backend or "").startswith("wasm")
    assert entry.latency_s is not None and entry.parity is not None and entry.verdict in ("pass", "fail")


@pytest.mark.parametrize(("disguised", "backend"), [(True, "webgpu"), (False, "wasm")])
def test_a_gpu_that_holds_is_measured_and_one_in_software_is_not(
    browser: Any, artifact: Path, disguised: bool, backend: str
) -> None:
    with Bench([artifact], wait=1, plan={**PLAN, "repeats": 1, "repeat_s": 0.2}) as bench:
        page = page_of(browser, bench, disguised=disguised)
        until(lambda: bench.found is not None, 90, page)
        found = bench.end()
        page.close()
    (entry,) = found.entries.values()
    assert (entry.backend or "").partition("-")[0] == backend
    assert not [note for note in entry.notes if "WebGPU failed" in note]
    assert entry.parity is not None and entry.latency_s is not None and entry.verdict in ("pass", "fail")
