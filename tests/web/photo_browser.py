"""The photo page in a real Chromium, as a person has it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketpress.devices import chromium
from pocketpress.web.assets import static_folder
from pocketpress.web.photo_server import PhotoServer

LONG_MS = 60_000
"""The machine may be busy; nothing here depends on how fast it is."""

NO_3D = "--disable-3d-apis"
"""Chromium without WebGL, as on a phone whose driver is on the browser's list of bad ones."""


def why_not() -> str | None:
    """What this machine lacks to open the page; None where it can."""
    if (lacking := chromium.obstacle()) is not None:
        return lacking
    try:
        folder = static_folder()
    except Exception as error:
        return str(error)
    return None if (folder / "photo.html").is_file() else "the photo page is not built; run: make web"


needs_browser = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


class Served:
    """The server in a thread of this process."""

    def __init__(self, folder: Path | None = None, port: int = 0) -> None:
        self._server = PhotoServer("127.0.0.1", port, folder=folder)
        self.address = self._server.address
        self.requests: list[str] = []
        self._count()
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        """Write down what is asked for: paths, whoever in the browser asks."""
        requests, real = self.requests, self._server._server.RequestHandlerClass

        class Counting(real):  # type: ignore[misc, valid-type]
            def _answer(self, *, with_body: bool) -> None:
                requests.append(self.path)
                super()._answer(with_body=with_body)

        self._server._server.RequestHandlerClass = Counting

    def stop(self) -> None:
        """Nothing listens there afterwards."""
        self._server.close()
        self._thread.join()


@contextmanager
def served(folder: Path | None = None) -> Iterator[Served]:
    """The page at an address, for a while."""
    server = Served(folder)
    try:
        yield server
    finally:
        if server._thread.is_alive():
            server.stop()


class Browsers:
    """Starts browsers; Playwright allows one of these at a time in a thread."""

    def __init__(self, playwright: Any) -> None:
        self._playwright = playwright

    @contextmanager
    def __call__(self, *flags: str, device: str = "Pixel 7", **given: Any) -> Iterator[Any]:
        """A context of a fresh Chromium that looks like a phone."""
        started = self._playwright.chromium.launch(
            executable_path=str(chromium.find()),
            args=[*chromium.QUIET, "--disable-gpu", *flags],
            chromium_sandbox=os.geteuid() != 0,
        )
        try:
            profile = dict(self._playwright.devices[device])
            profile.pop("default_browser_type", None)
            context = started.new_context(**{**profile, "accept_downloads": True, **given})
            context.set_default_timeout(LONG_MS)
            yield context
        finally:
            started.close()


class PhotoPage:
    """What a person does on the page, and sees."""

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        # Playwright asks for file choosers when someone first listens and does not wait for the answer:
        # on a busy machine a key pressed right afterwards opens Chromium's own dialog, which nobody hears of.
        self.page.on("filechooser", lambda _: None)
        self.page.goto(address)

    def wait_until_kept(self) -> None:
        """The page says that it works offline."""
        self.expect("#offline").to_have_text("Works offline", timeout=LONG_MS)

    def choose(self, photo: Path) -> None:
        """Choose a photo and wait for the enhanced one."""
        self._put(photo)
        self.expect("body[data-view=shown]").to_be_visible(timeout=LONG_MS)

    def choose_in_vain(self, photo: Path) -> str:
        """Choose a photo that cannot be taken; returns what the page says."""
        self._put(photo)
        self.expect("#problem").to_be_visible(timeout=LONG_MS)
        return str(self.page.inner_text("#problem"))

    def save(self, to: Path) -> NDArray[np.uint8]:
        """Press Save; returns the pixels of the file."""
        with self.page.expect_download() as waiting:
            self.page.click("#save")
        path = to / waiting.value.suggested_filename
        waiting.value.save_as(path)
        self.expect("body[data-view=shown]").to_be_visible(timeout=LONG_MS)
        return pixels_of(path)

    @property
    def status(self) -> str:
        """The line under the photo."""
        return str(self.page.inner_text("#status"))

    def _put(self, photo: Path) -> None:
        shown = self.page.locator("#stage").is_visible()
        self.page.set_input_files("#another" if shown else "#choose", photo)

    def expect(self, selector: str) -> Any:
        """Playwright's expectations about an element, which wait."""
        from playwright.sync_api import expect

        return expect(self.page.locator(selector))


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """Height, width, 3 bytes of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def hide_static(monkeypatch: pytest.MonkeyPatch, to: Path) -> None:
    """As on a machine where nothing was built."""
    monkeypatch.setattr("pocketpress.web.assets.STATIC", to / "nothing")


def copy_of_static(to: Path) -> Path:
    """A copy of the built files that a test may change."""
    return Path(shutil.copytree(static_folder(), to / "static"))
