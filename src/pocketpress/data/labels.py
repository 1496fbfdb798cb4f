"""Names of classes from a file: text with one a line, or a JSON list."""

from __future__ import annotations

import json
from pathlib import Path

from pocketpress.core.errors import DataError
from pocketpress.core.labels import MAX_LABEL_BYTES, MAX_LABELS, MAX_LABELS_BYTES, check_label

ALLOWED = "a text file of one name a line, or a .json file of a list of names, in UTF-8"
MAX_FILE_BYTES = 4 << 20


def read_labels(path: Path) -> tuple[str, ...]:
    """Names of classes in the order of the network's outputs.

    Args:
        path: ``.json`` for a list of texts; anything else is text, and spaces around a name are dropped.

    Raises:
        DataError: no such file, not UTF-8, too large, or an entry that is no name.
    """
    text = _text(path)
    if path.suffix.lower() == ".json":
        names, entry = _listed(path, text), "entry"
    else:
        names, entry = [line.strip() for line in text.rstrip().split("\n")], "line"
    if not text.strip() or not names:
        raise DataError(f"{path} holds no names of classes", allowed=ALLOWED)
    if len(names) > MAX_LABELS:
        raise DataError(f"{path} holds too many names", got=len(names), allowed=f"up to {MAX_LABELS}")
    size = 0
    for number, name in enumerate(names, 1):
        try:
            size += check_label(name)
        except ValueError as error:
            raise DataError(
                f"{path}: {entry} {number} {error}",
                allowed=f"printable text of 1 to {MAX_LABEL_BYTES} bytes",
                next_step=None if name else "write - for a class without a name",
            ) from error
    if size > MAX_LABELS_BYTES:
        raise DataError(f"the names in {path} are too long", got=f"{size} bytes", allowed=MAX_LABELS_BYTES)
    return tuple(names)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError("cannot read the names of classes", got=f"{path}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{path} is too large", got=f"over {MAX_FILE_BYTES} bytes", allowed=ALLOWED)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8", got=f"byte {content[error.start]:#04x} at {error.start}", allowed=ALLOWED
        ) from error


def _listed(path: Path, text: str) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON", got=str(error)[:100], allowed=ALLOWED) from error
    if not isinstance(found, list):
        raise DataError(f"{path} is no list", got=type(found).__name__, allowed=ALLOWED)
    for number, item in enumerate(found, 1):
        if not isinstance(item, str):
            raise DataError(f"{path}: entry {number} is no text", got=str(item)[:100], allowed=ALLOWED)
    return found
