"""Real Chromium with the size, touch and user agent of phones."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium_path() -> str | None:
    """A Chromium on this machine."""
    given = os.environ.get("POCKETPRESS_CHROMIUM")
    return given or shutil.which("chromium") or shutil.which("google-chrome")


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A browser; ``profiles`` are the devices that Playwright knows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=chromium_path(), args=[*FLAGS, *flags])
        browser.profiles = playwright.devices
        try:
            yield browser
        finally:
            browser.close()


def phone(browser: Any, profile: str, **options: Any) -> Any:
    """A context that looks like a phone: a page of it shares storage with its others only."""
    settings = {k: v for k, v in browser.profiles[profile].items() if k != "default_browser_type"}
    return browser.new_context(**{**settings, "ignore_https_errors": True, **options})
