"""An address as a QR code for the terminal."""

from __future__ import annotations

import io

from pocketpress.core.errors import MissingExtraError


def terminal_code(address: str) -> str:
    """Lines of block characters, two modules a character, with the quiet zone that scanners want."""
    try:
        import segno
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the code needs the package segno", next_step="run: pip install 'pocketpress[phone]'"
        ) from error
    text = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(text, border=2, compact=True)
    return text.getvalue()
