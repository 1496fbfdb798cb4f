"""Draw the pictures of our pages in docs/images, as a real browser of a phone's size shows them.

    python -m scripts.screenshots bench pressed     the bench page when a phone is done
    python -m scripts.screenshots photo             the photo page: first view, and a photo before and after

In light and in dark.  Needs `make web`, Playwright and a Chromium.  Times in the pictures are of this
machine's browser, not of a phone.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from apps.photo.dataset import shipped_pairs
from benchmarks.phone.browser import chromium, phone
from PIL import Image

from pocketpress.web.photo_server import PhotoServer

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
PROFILE = "Pixel 7"
PIXELS_WIDE = 540
"""Of each picture: half the pixels of the phone."""
COLORS = 256
WEBP_QUALITY = 82
PATIENCE_MS = 180_000

PHOTOS = {"light": "astronaut", "dark": "coffee"}
SEED = 7

Pictures = Iterator[tuple[str, bytes]]
"""File names, whose endings are formats, and screenshots (PNG)."""


def bench(browser: Any, given: argparse.Namespace) -> Pictures:
    """The bench page when a phone is done."""
    for scheme in ("light", "dark"):
        with tempfile.TemporaryDirectory() as devices:
            command = subprocess.Popen(
                [sys.executable, "-m", "pocketpress", "bench", *given.artifacts, "--phone", "--wait", "1"],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "POCKETPRESS_DEVICES": devices},
            )
            assert command.stderr is not None
            address = command.stderr.readline().decode().partition("open on a phone: ")[2].strip()
            page = phone(browser, PROFILE, color_scheme=scheme).new_page()
            page.goto(address)
            page.get_by_text(re.compile("Done|The command has ended")).wait_for(timeout=PATIENCE_MS)
            yield f"bench-{scheme}.png", page.screenshot()
            command.terminate()
            command.communicate(timeout=60)


def photo(browser: Any, given: argparse.Namespace) -> Pictures:
    """The photo page's first view, and a photo with the slider in the middle."""
    server = PhotoServer("127.0.0.1", 0)
    threading.Thread(target=server.serve, daemon=True).start()
    damaged_by_name = {name: damaged for name, _, damaged in shipped_pairs(SEED)}
    try:
        for scheme, name in PHOTOS.items():
            page = phone(browser, PROFILE, color_scheme=scheme).new_page()
            page.goto(server.address)
            page.get_by_text("Works offline").wait_for(timeout=PATIENCE_MS)
            yield f"photo-page-start-{scheme}.webp", page.screenshot()
            page.set_input_files("#choose", as_file(name, damaged_by_name[name]))
            page.wait_for_selector("body[data-view=shown]", timeout=PATIENCE_MS)
            yield f"photo-page-{scheme}.webp", page.screenshot()
    finally:
        server.close()


PAGES: dict[str, Callable[[Any, argparse.Namespace], Pictures]] = {"bench": bench, "photo": photo}


def as_file(name: str, pixels: Any) -> dict[str, Any]:
    """A photo as a browser's user chooses it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()}


def write(screenshot: bytes, path: Path) -> None:
    """Small enough for a page of text: fewer pixels, and in a PNG a palette."""
    with Image.open(io.BytesIO(screenshot)) as shot:
        size = (PIXELS_WIDE, round(shot.height * PIXELS_WIDE / shot.width))
        image = shot.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if path.suffix == ".png":
        image.quantize(COLORS).save(path, optimize=True)
    else:
        image.save(path, quality=WEBP_QUALITY, method=6)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    pages = parser.add_subparsers(dest="page", required=True)
    commands = {
        name: pages.add_parser(name, help=draw.__doc__, description=draw.__doc__)
        for name, draw in PAGES.items()
    }
    commands["bench"].add_argument("artifacts", nargs="+", help="what the page measures")
    for command in commands.values():
        command.add_argument("--out", type=Path, default=IMAGES, help="folder to write into")
    given = parser.parse_args(argv)
    with chromium() as browser:
        for name, screenshot in PAGES[given.page](browser, given):
            write(screenshot, given.out / name)


if __name__ == "__main__":
    main()
