"""Finding a browser, and driving a real one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketpress.core.errors import DeviceError
from pocketpress.devices import chromium
from pocketpress.devices.chromium import VARIABLE, Browser, PageError

PAGE = """<!doctype html><title>page</title><script type="module">
window.page = {
  add: (a, b) => a + b,
  later: async (text) => { await new Promise(r => setTimeout(r, 1)); return {text: text + "!"}; },
  fails: () => { const e = new RangeError("too far"); e.nextStep = "come back"; throw e; },
  isolated: () => [crossOriginIsolated, typeof SharedArrayBuffer],
  nothing: () => undefined,
};
</script>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if (lacking := chromium.obstacle()) is not None:
        pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("static")
    (folder / "page.html").write_text(PAGE)
    with Browser(folder) as browser:
        yield browser


def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    assert chromium.find() == program


def test_the_first_name_that_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(chromium, "APPLICATIONS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.find() is None
    for name in ("google-chrome", "chromium-browser"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert chromium.find() == tmp_path / "chromium-browser"


def test_no_browser_is_said_with_the_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    monkeypatch.setenv(VARIABLE, "/no/such/program")
    text = f"${VARIABLE} names no program (/no/such/program); install one, or set {VARIABLE} to its path"
    assert chromium.obstacle() == text
    with pytest.raises(DeviceError, match=r"no browser to open a page in: got \$POCKETPRESS_CHROMIUM"):
        Browser(tmp_path)


def test_a_browser_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("playwright")
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    before = threading.active_count()
    with pytest.raises(DeviceError, match="the browser does not start"):
        Browser(tmp_path)
    assert threading.active_count() <= before


def test_functions_of_the_page_are_called_with_values(browser: Browser) -> None:
    page = browser.open("page.html")
    assert page.call("window.page.add", 2, 3) == 5
    assert page.call("window.page.later", "wait") == {"text": "wait!"}
    assert page.call("window.page.nothing") is None
    assert page.call("window.page.isolated") == [True, "function"]
    page.close()


def test_what_a_function_throws(browser: Browser) -> None:
    page = browser.open("page.html")
    with pytest.raises(PageError, match="RangeError: too far") as caught:
        page.call("window.page.fails")
    assert caught.value.next_step == "come back"
    assert page.call("window.page.add", 1, 1) == 2
    page.close()


def test_calls_from_several_threads_take_turns(browser: Browser) -> None:
    page, sums = browser.open("page.html"), []
    threads = [
        threading.Thread(target=lambda i=i: sums.append(page.call("window.page.add", i, i))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sums) == [0, 2, 4, 6, 8, 10, 12, 14]
    page.close()


def test_a_page_that_is_not_there(browser: Browser) -> None:
    with pytest.raises(DeviceError, match="the page does not open: got 404"):
        browser.open("other.html")


def test_a_page_that_crashes_leaves_the_browser_usable(browser: Browser) -> None:
    page = browser.open("page.html")
    for process in browser.perform(lambda: browser._processes("renderer")):
        os.kill(process, signal.SIGKILL)
    with pytest.raises(DeviceError, match="the page has crashed"):
        page.call("window.page.add", 1, 1)
    page.close()
    other = browser.open("page.html")
    assert other.call("window.page.add", 20, 3) == 23
    other.close()


def test_a_browser_that_hangs_is_started_anew(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    page, (process,) = browser.open("page.html"), browser.perform(lambda: browser._processes("browser"))
    monkeypatch.setattr(chromium, "OPEN_S", 15.0)
    os.kill(process, signal.SIGSTOP)
    other = browser.open("page.html")
    assert other.call("window.page.add", 20, 3) == 23
    (found,) = browser.perform(lambda: browser._processes("browser"))
    assert found != process
    with pytest.raises(DeviceError, match="the page has crashed"):
        page.call("window.page.add", 1, 1)
    other.close()


def test_memory_of_the_pages_is_told(browser: Browser) -> None:
    page = browser.open("page.html")
    peak, now = browser.resident_bytes()
    assert peak >= now > 1 << 20
    page.close()


def test_a_closed_browser_refuses(tmp_path: Path) -> None:
    if (lacking := chromium.obstacle()) is not None:
        pytest.skip(lacking)
    (tmp_path / "page.html").write_text(PAGE)
    browser = Browser(tmp_path)
    page = browser.open("page.html")
    browser.close()
    browser.close()
    with pytest.raises(DeviceError, match="the browser was closed"):
        page.call("window.page.add", 1, 1)
