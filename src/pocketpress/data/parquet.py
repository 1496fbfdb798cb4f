"""A ``.parquet`` of encoded images and labels, read row group by row group."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pyarrow.types

from pocketpress.core.errors import DataError
from pocketpress.data.dataset import RawSample
from pocketpress.data.images import decode

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "pixels", "bytes")
LABEL_NAMES = ("label", "labels", "class", "target", "y", "category")
BATCH_ROWS = 64
HUGGING_FACE = b"huggingface"
"""Key of the schema's metadata under which that library describes the columns."""


@dataclass(frozen=True)
class ParquetReader:
    """Rows of one file.

    Attributes:
        path: of the file.
        image: column of encoded images, binary or a struct with a binary field ``bytes``.
        label: column of whole numbers, or None.
        size: number of rows.
        channels: of the decoded images.
        skipped: columns left alone.
        classes: names by label, where the label column says them as the data sets of Hugging Face do.
    """

    path: Path
    image: str
    label: str | None
    size: int
    channels: int
    skipped: tuple[tuple[str, str], ...]
    classes: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """Whether there is a label column."""
        return self.label is not None

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Decode rows one by one; only row groups that hold a wanted row are read."""
        wanted = range(self.size) if indices is None else indices
        columns = [self.image] if self.label is None else [self.image, self.label]
        position = 0
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                start = 0
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    end = position
                    while end < len(wanted) and wanted[end] < start + rows:
                        end += 1
                    if end > position:
                        inside = wanted[position:end]
                        yield from self._group(file, group, start, inside, columns)
                    position, start = end, start + rows
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is damaged", got=error) from error

    def _group(
        self, file: Any, group: int, start: int, wanted: Sequence[int], columns: list[str]
    ) -> Iterator[RawSample]:
        row, position = start, 0
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=columns):
            while position < len(wanted) and wanted[position] < row + batch.num_rows:
                yield self._row(batch, wanted[position] - row, wanted[position])
                position += 1
            row += batch.num_rows
            if position == len(wanted):
                return

    def _row(self, batch: Any, offset: int, index: int) -> RawSample:
        where = f"{self.path.name} row {index}"
        content = batch.column(self.image)[offset].as_py()
        if isinstance(content, dict):
            content = content.get("bytes")
        if not isinstance(content, bytes):
            raise DataError(f"{where}: no image", got=type(content).__name__, allowed="encoded image bytes")
        target = None
        if self.label is not None:
            label = batch.column(self.label)[offset].as_py()
            if label is None:
                raise DataError(f"{where}: no label", got="null", allowed="a number")
            target = np.asarray(label, dtype=np.float32 if isinstance(label, float) else np.int64)
        return RawSample(where, decode(content, self.channels, where), target, is_image=True)


def open_parquet(path: Path, channels: int, columns: dict[str, str]) -> ParquetReader:
    """Find the image and the label column by name, else by type.

    Args:
        path: of the file.
        channels: of the decoded images.
        columns: "image" and "label" to column name, where the user says so.

    Raises:
        DataError: not a parquet file, no or several candidates for a column, or no rows.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, size = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError:
        raise DataError("no such file", got=path) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a parquet file", got=error) from error
    fields = {field.name: field.type for field in schema}
    unknown = [name for name in columns.values() if name not in fields]
    if unknown:
        raise DataError(f"{path} has no column {unknown[0]}", allowed=", ".join(fields))
    image = columns.get("image") or _find(path, "image", fields, IMAGE_NAMES, _is_image)
    if image is None:
        raise DataError(
            f"{path} has no image column",
            got=", ".join(f"{n} ({t})" for n, t in fields.items()),
            allowed="a column of encoded image bytes",
        )
    label = columns.get("label") or _find(path, "label", fields, LABEL_NAMES, _is_label)
    if not _is_image(fields[image]):
        raise DataError(f"{path}: {image} holds no image bytes", got=fields[image], allowed="binary")
    if label is not None and not _is_label(fields[label]):
        raise DataError(f"{path}: {label} holds no labels", got=fields[label], allowed="numbers")
    if size == 0:
        raise DataError(f"{path} has no rows", allowed="at least 1")
    skipped = tuple((n, "neither image nor label column") for n in fields if n not in (image, label))
    classes = _classes(schema.metadata or {}, label)
    return ParquetReader(path, image, label, size, channels, skipped, classes)


def _classes(metadata: dict[bytes, bytes], label: str | None) -> tuple[str, ...]:
    """Names of classes in the schema's metadata: a feature of the kind ``ClassLabel`` has ``names``."""
    try:
        features = json.loads(metadata.get(HUGGING_FACE, b"{}"))["info"]["features"]
        names = features[label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if texts else ()


def _find(path: Path, role: str, fields: dict[str, Any], names: tuple[str, ...], fits: Any) -> str | None:
    typed = [name for name, type_ in fields.items() if fits(type_)]
    named = [name for name in names if name in typed]
    if named:
        return named[0]
    if len(typed) > 1:
        raise DataError(
            f"{path}: several columns could be the {role}",
            got=", ".join(typed),
            next_step=f"name it: {path}?{role}={typed[0]}",
        )
    return typed[0] if typed else None


def _is_image(type_: Any) -> bool:
    if pyarrow.types.is_struct(type_):
        return any(field.name == "bytes" and _is_image(field.type) for field in type_)
    return bool(pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_))


def _is_label(type_: Any) -> bool:
    return bool(pyarrow.types.is_integer(type_) or pyarrow.types.is_floating(type_))
