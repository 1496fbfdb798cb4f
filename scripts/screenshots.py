"""Draw the screenshots of the README: pages of ours at phone size, as a real browser shows them.

python -m scripts.screenshots bench --artifacts pressed --out docs/images

Every page is one function of `PAGES`, from a browser and the command line to pictures by file name.  Times in
the pictures are of this machine's browser, not of a phone.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.phone.browser import chromium, phone
from PIL import Image

PROFILE = "Pixel 7"
COLORS = 256
PATIENCE_MS = 180_000
Pictures = dict[str, bytes]


def bench(browser: Any, given: argparse.Namespace) -> Pictures:
    """The bench page when a phone is done, light and dark."""
    pictures: Pictures = {}
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
            pictures[f"bench-{scheme}.png"] = page.screenshot()
            command.terminate()
            command.communicate(timeout=60)
    return pictures


PAGES: dict[str, Callable[[Any, argparse.Namespace], Pictures]] = {"bench": bench}


def small(picture: bytes) -> bytes:
    """Half the pixels of the phone, and a palette: a picture of a page needs no more."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.quantize(COLORS).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("page", choices=sorted(PAGES))
    parser.add_argument("--artifacts", nargs="*", default=[], help="what the bench page measures")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args(argv)
    with chromium() as browser:
        pictures = PAGES[given.page](browser, given)
    for name, picture in pictures.items():
        (given.out / name).write_bytes(small(picture))
        print(given.out / name)


if __name__ == "__main__":
    main()
