"""Draw a page again that somebody has put pictures and a title of their own into."""

from __future__ import annotations

import base64
import binascii
from html.parser import HTMLParser
from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.files import write_atomically
from pocketpress.core.record import Record
from pocketpress.report.render import MEDIA_TYPES, Picture, render

MAX_PAGE_BYTES = 64 << 20


def redraw(path: Path, record: Record) -> None:
    """Write the page of a changed record over that of the same press; its pictures and its title stay.

    Args:
        path: of the page.
        record: what to show from now on.

    Raises:
        ArtifactError: the old page cannot be read; it is left alone.
        DeviceError: the disk refuses.
    """
    try:
        if path.stat().st_size > MAX_PAGE_BYTES:
            raise ArtifactError(f"{path.name} is too large", got=path, allowed=f"{MAX_PAGE_BYTES} bytes")
        old = _Page(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}", got=error.strerror) from error
    page = render(record, pictures=[row for row in old.pictures if row], title=old.title.strip() or None)
    write_atomically(path, page.encode())


class _Page(HTMLParser):
    """Title and pictures of a page that `render` drew; whatever else is in it is passed over."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = ""
        self.pictures: list[list[Picture]] = []
        self._in_title = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Rows of pictures, pictures, and the title."""
        facts = {name: value or "" for name, value in attrs}
        if tag == "h1":
            self._in_title = True
        elif tag == "div" and facts.get("class") == "pictures":
            self.pictures.append([])
        elif tag == "img" and self.pictures:
            picture = _picture(facts.get("src", ""), facts.get("alt", ""))
            if picture is not None:
                self.pictures[-1].append(picture)

    def handle_endtag(self, tag: str) -> None:
        """The end of the title."""
        if tag == "h1":
            self._in_title = False

    def handle_data(self, data: str) -> None:
        """The title's text."""
        if self._in_title:
            self.title += data


def _picture(address: str, caption: str) -> Picture | None:
    """A picture from its ``data:`` address; None for another kind of address."""
    media_type, comma, text = address.removeprefix("data:").partition(";base64,")
    if not address.startswith("data:") or not comma or media_type not in MEDIA_TYPES:
        return None
    try:
        return Picture(caption, base64.b64decode(text, validate=True), media_type)
    except binascii.Error:
        return None
