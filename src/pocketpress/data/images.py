"""Decode untrusted image bytes within limits."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from pocketpress.core.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 256 << 20
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def decode(content: bytes | Path, channels: int, where: str) -> npt.NDArray[np.uint8]:
    """Decode one image.

    Args:
        content: encoded bytes, or the path of a file.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); the image is converted.
        where: file or row, for messages.

    Returns:
        uint8 (H, W, channels).  The orientation tag is not applied, as in the usual training pipelines.

    Raises:
        DataError: missing, too large, not an image, or damaged.
    """
    try:
        size_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size_bytes > MAX_FILE_BYTES:
            raise DataError(
                f"{where}: image file too large", got=size_bytes, allowed=f"{MAX_FILE_BYTES} bytes"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = io.BytesIO(content) if isinstance(content, bytes) else content
            with Image.open(opened, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(
                        f"{where}: image too large",
                        got=f"{image.width}x{image.height}",
                        allowed=f"{MAX_PIXELS} pixels",
                    )
                pixels = np.asarray(image.convert(MODES[channels]))
    except UnidentifiedImageError:
        raise DataError(
            f"{where}: not an image", allowed=", ".join(FORMATS), next_step="remove or replace it"
        ) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{where}: image too large", got=error, allowed=f"{MAX_PIXELS} pixels") from None
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, IndexError) as error:
        raise DataError(
            f"{where}: corrupt or unreadable image",
            got=error or type(error).__name__,
            next_step="remove or replace it",
        ) from error
    return pixels.reshape(*pixels.shape[:2], channels)
