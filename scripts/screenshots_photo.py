"""Take the pictures of the photo page in docs/images: a phone in light and in dark, with a shipped photo.

python -m scripts.screenshots_photo      needs `make web`, Playwright and a Chromium
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from apps.photo.dataset import shipped_pairs
from PIL import Image

from pocketpress.devices import chromium
from pocketpress.web.photo_server import PhotoServer

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PHONE = "Pixel 7"
PIXELS_WIDE = 540
"""Of each picture; a phone's own 1,082 are more than a page of text needs."""

SEED = 7
WAIT_MS = 120_000


def degraded(name: str, folder: Path) -> Path:
    """A shipped photo with a synthetic error, as a file."""
    photo = {found: damaged for found, _, damaged in shipped_pairs(SEED)}[name]
    path = folder / f"{name}.jpg"
    Image.fromarray(photo).save(path, quality=95)
    return path


def save(page: Any, name: str) -> None:
    """The page as it is, into docs/images."""
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        small = shot.convert("RGB").resize(
            (PIXELS_WIDE, round(shot.height * PIXELS_WIDE / shot.width)), Image.Resampling.LANCZOS
        )
    path = IMAGES / f"{name}.webp"
    small.save(path, quality=82, method=6)
    print(f"{path}: {path.stat().st_size:,} bytes")


def take(context: Any, address: str, photo: Path, name: str) -> None:
    """The first view, and a photo with the slider in the middle."""
    from playwright.sync_api import expect

    page = context.new_page()
    page.goto(address)
    expect(page.locator("#offline")).to_have_text("Works offline", timeout=WAIT_MS)
    save(page, f"photo-page-start-{name}")
    page.set_input_files("#choose", photo)
    expect(page.locator("body[data-view=shown]")).to_be_visible(timeout=WAIT_MS)
    save(page, f"photo-page-{name}")


def main() -> None:
    """Serve the page and take all pictures."""
    from playwright.sync_api import sync_playwright

    server = PhotoServer("127.0.0.1", 0)
    threading.Thread(target=server.serve, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium.find()),
            args=[*chromium.QUIET, "--disable-gpu"],
            chromium_sandbox=os.geteuid() != 0,
        )
        phone = dict(playwright.devices[PHONE])
        phone.pop("default_browser_type", None)
        for scheme, photo in (("light", "astronaut"), ("dark", "coffee")):
            with browser.new_context(**phone, color_scheme=scheme) as context:
                take(context, server.address, degraded(photo, Path(folder)), scheme)
        browser.close()
    server.close()


if __name__ == "__main__":
    main()
