"""A headless Chromium of this machine, driven through Playwright: the browser that runs web artifacts here.

The pages come from a server of this process on 127.0.0.1 with the headers that make a page cross-origin
isolated (``COOP``, ``COEP``), without which a browser gives no threads and rounds its clock to 100 us.
Nothing else is reachable from there: one folder, and the files that were published by a token.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, TypeVar

from pocketpress.core.errors import DeviceError, MissingExtraError
from pocketpress.devices.page_server import PageServer

VARIABLE = "POCKETPRESS_CHROMIUM"
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
)
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
QUIET = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""No request leaves the machine on the browser's own account."""
SOFTWARE_WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
"""WebGPU computed on the processor: right, and of no worth as a measurement."""
START_S = 60.0
OPEN_S = 90.0
"""For a page to open: `START_S` for what it loads, and the tab itself."""

Value = TypeVar("Value")
_Work = queue.Queue[tuple[Callable[[], Any], Future[Any]] | None]


def find() -> Path | None:
    """The browser: what ``$POCKETPRESS_CHROMIUM`` names, or the first one that is installed."""
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        return None if found is None else Path(found)
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    return next((Path(name) for name in APPLICATIONS if Path(name).is_file()), None)


def obstacle() -> str | None:
    """What this machine lacks to open a page in a browser, with the next step; None where it can."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright drives the browser and is not installed; run: pip install 'pocketpress[web]'"
    if find() is None:
        named = os.environ.get(VARIABLE)
        where = f"${VARIABLE} names no program ({named})" if named else "no Chromium or Chrome was found"
        return f"{where}; install one, or set {VARIABLE} to its path"
    return None


@functools.cache
def version() -> str:
    """The browser's name and version, as it says itself; "Chromium" where it does not say."""
    executable = find()
    if executable is None or sys.platform == "win32":  # there the program opens a window instead
        return "Chromium"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=START_S)
        words = said.stdout.split()
        number = next((word for word in words if word[:1].isdigit()), "")
        return f"Chromium {number}".strip()
    return "Chromium"


class Page:
    """A page of a `Browser`."""

    def __init__(self, browser: Browser, handle: Any) -> None:
        self._browser, self._handle = browser, handle
        self.crashed = False
        self.messages: list[str] = []

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function, which may return a promise, with JSON values.

        Args:
            function: an expression, ``window.harness.run``.
            arguments: what it is given.

        Raises:
            DeviceError: the page or the browser has crashed.
            PageError: the function throws.
        """
        # Answers come as text: Playwright's own serialisation walks every element.
        script = (
            f"(a) => Promise.resolve(a).then(text => ({function})(...JSON.parse(text)))"
            ".then(value => JSON.stringify({value}), error => JSON.stringify({error: {"
            "name: String(error && error.name), text: String((error && error.message) || error), "
            "next: String((error && error.nextStep) || '')}}))"
        )
        text = self._browser.perform(lambda: self._evaluated(script, json.dumps(arguments)))
        answer = json.loads(text)
        if "error" in answer:
            found = answer["error"]
            raise PageError(found["name"][:100], found["text"][:1000], found["next"][:300])
        return answer.get("value")

    def _evaluated(self, script: str, arguments: str) -> str:
        try:
            return str(self._handle.evaluate(script, arguments))
        except Exception as error:
            if self.crashed or self._handle.is_closed():  # closed without a crash: the whole browser is gone
                self.crashed = True
                raise DeviceError("the page has crashed", next_step="is there enough memory?") from error
            raise DeviceError("the browser does not answer", got=_first_line(error)) from error

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page (PNG)."""
        self._browser.perform(lambda: self._handle.screenshot(path=str(path)))

    def close(self) -> None:
        """Close the page; safe to call twice."""
        with contextlib.suppress(DeviceError):
            self._browser.perform(self._handle.close)


class PageError(Exception):
    """A JavaScript function threw.

    Attributes:
        name: of the error's class.
        text: its message.
        next_step: what it advises, or "".
    """

    def __init__(self, name: str, text: str, next_step: str = "") -> None:
        self.name, self.text, self.next_step = name, text, next_step
        super().__init__(f"{name}: {text}")


class NoAnswerError(DeviceError):
    """The browser did not answer in time."""


class Browser:
    """A headless Chromium and the server of its pages.  Calls may come from any thread, one at a time."""

    def __init__(self, folder: Path, *, flags: Sequence[str] = (), profile: str | None = None) -> None:
        """Start both.

        Args:
            folder: served at ``/``.
            flags: command-line switches besides our own.
            profile: a device profile of Playwright (``Pixel 7``): screen, touch and user agent.

        Raises:
            MissingExtraError: Playwright is not installed.
            DeviceError: there is no browser, or it does not start.
        """
        if importlib.util.find_spec("playwright") is None:
            raise MissingExtraError(
                "a browser is driven by Playwright",
                got="missing playwright",
                next_step="run: pip install 'pocketpress[web]'",
            )
        if (lacking := obstacle()) is not None:
            raise DeviceError("no browser to open a page in", got=lacking)
        self._flags = (*QUIET, *(() if any("webgpu" in f for f in flags) else ("--disable-gpu",)), *flags)
        self._profile = profile
        self.server = PageServer(folder)
        self._closed = False
        self._new_thread()
        try:
            self.perform(self._start)
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    def open(self, path: str) -> Page:
        """Open a page of the folder and wait until it has loaded.

        A browser that opens no more pages, as sometimes after a crash, is started anew.

        Raises:
            DeviceError: there is no such page.
        """

        def opened() -> Page:
            return self._opened(f"{self.server.address}/{path}")

        try:
            return self.perform(opened, within_s=OPEN_S)
        except NoAnswerError:
            self._start_anew()
            return self.perform(opened, within_s=OPEN_S)

    def publish(self, path: Path) -> str:
        """Serve one more file; returns its address, which nobody can guess."""
        return self.server.publish(path, secrets.token_urlsafe(16))

    def perform(self, action: Callable[[], Value], *, within_s: float | None = None) -> Value:
        """Do something with Playwright's objects, in the one thread that may touch them.

        Raises:
            NoAnswerError: it took longer than ``within_s``, and may never end.
            DeviceError: the browser was closed.
        """
        if self._closed or not self._thread.is_alive():
            raise DeviceError("the browser was closed")
        done: Future[Value] = Future()
        self._work.put((action, done))
        try:
            return done.result(within_s)
        except FutureTimeoutError:
            if done.done():
                raise
            got = f"nothing in {within_s:g} s"
            raise NoAnswerError("the browser does not answer", got=got, next_step="try again") from None

    def close(self) -> None:
        """End browser and server; safe to call twice."""
        if self._closed:
            return
        with contextlib.suppress(Exception):
            self.perform(self._stop)
        self._closed = True
        self._work.put(None)
        self._thread.join(timeout=START_S)
        self.server.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_thread(self) -> None:
        self._work: _Work = queue.Queue()
        self._thread = threading.Thread(target=self._serve, args=(self._work,), name="browser", daemon=True)
        self._thread.start()

    def _start_anew(self) -> None:
        """Leave a thread that hangs in Playwright, which even the end of the browser may not free."""
        with contextlib.suppress(OSError):
            os.kill(self._process, getattr(signal, "SIGKILL", signal.SIGTERM))
        self._work.put((self._driver.stop, Future()))
        self._work.put(None)
        self._new_thread()
        self.perform(self._start)

    @staticmethod
    def _serve(work: _Work) -> None:
        """Playwright's synchronous objects belong to one thread, and leave an event loop running in it."""
        while (item := work.get()) is not None:
            action, done = item
            try:
                done.set_result(action())
            except BaseException as error:
                done.set_exception(error)

    def _start(self) -> None:
        from playwright.sync_api import Error, sync_playwright

        self._driver = sync_playwright().start()
        try:
            self._chromium = self._driver.chromium.launch(
                executable_path=str(find()),
                headless=True,
                chromium_sandbox=not _is_root(),
                args=list(self._flags),
                timeout=START_S * 1000,
            )
        except Error as error:
            self._driver.stop()
            raise DeviceError(
                "the browser does not start", got=_first_line(error), next_step=f"set {VARIABLE} to another"
            ) from error
        described = dict(self._driver.devices[self._profile]) if self._profile else {}
        described.pop("default_browser_type", None)
        self._context = self._chromium.new_context(**described)
        self._context.set_default_timeout(0)
        (self._process,) = self._processes("browser")
        self.version = f"Chromium {self._chromium.version}"

    def _opened(self, address: str) -> Page:
        handle = self._context.new_page()
        page = Page(self, handle)
        handle.on("crash", lambda _: setattr(page, "crashed", True))
        handle.on("console", lambda message: page.messages.append(message.text[:500]))
        handle.on("pageerror", lambda error: page.messages.append(str(error)[:500]))
        answer = handle.goto(address, timeout=START_S * 1000)
        if answer is None or not answer.ok:
            handle.close()
            raise DeviceError("the page does not open", got=None if answer is None else answer.status)
        return page

    def _stop(self) -> None:
        with contextlib.suppress(Exception):
            self._chromium.close()
        self._driver.stop()

    def resident_bytes(self) -> tuple[int, int]:
        """(peak, now) resident memory of the browser's page processes together; Linux only, else zeros."""
        pids = self.perform(lambda: self._processes("renderer"))
        now = sum(_status(pid, "VmRSS") for pid in pids)
        return sum(_status(pid, "VmHWM") for pid in pids), now

    def _processes(self, kind: str) -> list[int]:
        session = self._chromium.new_browser_cdp_session()
        try:
            found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        finally:
            session.detach()
        return [int(process["id"]) for process in found if process["type"] == kind]


def _status(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


def _is_root() -> bool:
    """Chromium's sandbox refuses to start for root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
