from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.builders import picture, png

from pocketpress.core.errors import DataError
from pocketpress.data import images


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_converted_to_the_networks_channels(channels: int) -> None:
    assert images.decode(png(0, 5, 7), channels, "a").shape == (5, 7, channels)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_decode_exactly(form: str) -> None:
    stream = io.BytesIO()
    picture(3).save(stream, format=form)
    np.testing.assert_array_equal(images.decode(stream.getvalue(), 3, "a"), np.asarray(picture(3)))


def test_palette_and_grey_images_become_rgb() -> None:
    for mode in ("P", "L", "1", "LA"):
        stream = io.BytesIO()
        picture(3).convert(mode).save(stream, format="PNG")
        assert images.decode(stream.getvalue(), 3, "a").shape == (8, 8, 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(9000, 9000), (60_000, 60_000)])
def test_a_huge_image_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"a\.png: image too large"):
        images.decode(bomb(*size), 3, "a.png")


def test_a_large_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 10)
    with pytest.raises(DataError, match="image file too large"):
        images.decode(png(0), 3, "a.png")


@pytest.mark.parametrize("length", range(0, 200, 13))
def test_truncated_images_are_errors_not_crashes(length: int) -> None:
    content = png(1)
    assert length < len(content)
    with pytest.raises(DataError) as caught:
        images.decode(content[:length], 3, "row 7")
    assert str(caught.value).startswith("row 7") and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png"):
        images.decode(tmp_path / "gone.png", 3, "gone.png")


def test_formats_that_run_programs_are_not_decoded() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, format="EPS")
    with pytest.raises(DataError, match="not an image"):
        images.decode(stream.getvalue(), 3, "a.png")
