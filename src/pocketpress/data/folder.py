"""A folder of class folders of images, or a folder of images without labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketpress.core.errors import DataError
from pocketpress.data.dataset import RawSample
from pocketpress.data.images import SUFFIXES, decode

CLASSES_FILE = "classes.txt"
MAX_CLASSES = 100_000


@dataclass(frozen=True)
class FolderReader:
    """Images by path, with the number of their class.

    Attributes:
        files: (path, label) in the order of classes, then names; label -1 without classes.
        channels: of the decoded images.
        classes: names of the classes by label: of ``classes.txt``, or of the class folders; none where the
            folders' names are the labels.
        labelled: whether there are class folders.
        skipped: files that are no images.
    """

    files: tuple[tuple[Path, int], ...]
    channels: int
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    labelled: bool = True

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.files)

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Decode images one by one."""
        for index in range(len(self.files)) if indices is None else indices:
            path, label = self.files[index]
            target = np.asarray(label, dtype=np.int64) if self.labelled else None
            yield RawSample(str(path), decode(path, self.channels, str(path)), target, is_image=True)


def open_folder(folder: Path, channels: int) -> FolderReader:
    """List the images of a folder.

    Class folders are numbered by name; by ``classes.txt`` (one name a line, in label order) where there is
    one; and by their own names where all of these are whole numbers.

    Raises:
        DataError: no images, images beside class folders, or class folders that ``classes.txt`` lacks.
    """
    skipped: list[tuple[str, str]] = []
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = _images(folder, skipped, deep=False)
    by_class = {p.name: _images(p, skipped, deep=True) for p in folders}
    skipped += [(name, "no images in this folder") for name, found in by_class.items() if not found]
    by_class = {name: found for name, found in by_class.items() if found}
    if not loose and not by_class:
        raise DataError(
            f"{folder} has no images",
            allowed=", ".join(SUFFIXES),
            next_step="give a folder of images or of class folders of images",
        )
    if loose and by_class:
        raise DataError(
            f"{folder} holds images beside class folders",
            got=f"{loose[0].name} beside {next(iter(by_class))}/",
            next_step="move every image into a class folder",
        )
    if loose:
        files = tuple((path, -1) for path in loose)
        return FolderReader(files, channels, (), tuple(skipped), labelled=False)
    labels, names = _labels(folder, tuple(by_class))
    files = tuple((path, labels[name]) for name, found in by_class.items() for path in found)
    return FolderReader(files, channels, names, tuple(skipped))


def _images(folder: Path, skipped: list[tuple[str, str]], *, deep: bool) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.rglob("*") if deep else folder.glob("*")):
        if not path.is_file() or path.name.startswith(".") or path.name == CLASSES_FILE:
            continue
        if path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            skipped.append((str(path), "not an image by its suffix"))
    return found


def _labels(folder: Path, names: tuple[str, ...]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Labels by the class folder's name, and all classes by label."""
    listing = folder / CLASSES_FILE
    if listing.is_file():
        text = listing.read_text(encoding="utf-8", errors="replace")
        listed = [line.strip() for line in text.splitlines() if line.strip()]
        missing = sorted(set(names) - set(listed))
        if missing:
            raise DataError(
                f"{listing} lacks a class folder", got=missing[0], next_step="add it in label order"
            )
        return {name: listed.index(name) for name in names}, tuple(listed)
    if all(name.isascii() and name.isdigit() and int(name) < MAX_CLASSES for name in names):
        return {name: int(name) for name in names}, ()
    ordered = tuple(sorted(names))
    return {name: number for number, name in enumerate(ordered)}, ordered
