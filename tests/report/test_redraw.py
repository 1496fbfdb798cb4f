"""A page drawn again keeps what a demo has put into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report import sample

from pocketpress.core.errors import ArtifactError
from pocketpress.report import redraw as module
from pocketpress.report.redraw import redraw
from pocketpress.report.render import Picture, render

ROWS = [
    [Picture('a "quoted" <b>&amp;</b> caption', b"\x89PNG\x00", "image/png"), Picture("after", b"\xff\xd8")],
    [Picture("", b"RIFF", "image/webp"), Picture("", b"")],
]


def test_pictures_and_title_stay(tmp_path: Path) -> None:
    page, old, new = tmp_path / "report.html", sample.record(), sample.record()
    new = new.model_copy(update={"created": "2031-01-01"})
    page.write_text(render(old, pictures=ROWS, title="Photos & <more>"), encoding="utf-8")
    for _ in range(2):
        redraw(page, new)
        assert page.read_text(encoding="utf-8") == render(new, pictures=ROWS, title="Photos & <more>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_page_without_pictures_has_none(tmp_path: Path) -> None:
    page, record = tmp_path / "report.html", sample.record()
    page.write_text(render(record), encoding="utf-8")
    redraw(page, record)
    assert page.read_text(encoding="utf-8") == render(record)


@pytest.mark.parametrize(
    "address",
    ["https://example.org/x.png", "data:image/svg+xml;base64,PHN2Zy8+", "data:image/png;base64,%%%"],
)
def test_nothing_else_gets_into_the_page(tmp_path: Path, address: str) -> None:
    page, record = tmp_path / "report.html", sample.record()
    page.write_text(f'<h1></h1><div class="pictures"><img src="{address}" alt="x"><script>1</script></div>')
    redraw(page, record)
    assert page.read_text(encoding="utf-8") == render(record)


def test_what_cannot_be_read_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "report.html"
    with pytest.raises(ArtifactError, match=r"cannot read .*report\.html: got No such file"):
        redraw(page, sample.record())
    monkeypatch.setattr(module, "MAX_PAGE_BYTES", 100)
    page.write_text("x" * 101)
    with pytest.raises(ArtifactError, match=r"report\.html is too large"):
        redraw(page, sample.record())
    assert page.read_text() == "x" * 101
