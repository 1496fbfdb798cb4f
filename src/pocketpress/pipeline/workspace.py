"""Where a press writes: a temporary folder inside ``out``, moved into place at the end."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pocketpress.core.errors import DeviceError
from pocketpress.pipeline.bench.subjects import FOLDER as BENCH
from pocketpress.pipeline.build import Built
from pocketpress.sources.huggingface.names import is_checkpoint, parse
from pocketpress.sources.load import saved_kind


def stem_of(source: str) -> str:
    """File stem of the artifacts: the function's name, or the file's when that says nothing."""
    where, _, function = source.rpartition(":")
    if is_checkpoint(source):
        return parse(source).name
    if saved_kind(source) is not None:
        return Path(source).stem
    generic = function in ("factory", "model", "network", "net", "build", "main")
    name = Path(where).stem if where.endswith(".py") else where.rpartition(".")[2]
    return re.sub(r"[^\w.-]+", "-", name if generic else function)


@contextlib.contextmanager
def workspace(out: Path) -> Iterator[Path]:
    """A new folder inside ``out``, gone at the end; so is ``out``, if it was made for a press that failed.

    Raises:
        DeviceError: the folder cannot be made.
    """
    created = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".press-", dir=out))
    except OSError as error:
        raise DeviceError(
            f"cannot write into {out}", got=error.strerror, next_step="choose another --out"
        ) from error
    finished = False
    try:
        yield folder
        finished = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not finished and created:
            with contextlib.suppress(OSError):
                out.rmdir()


def publish(folder: Path, out: Path, builds: list[Built]) -> None:
    """Move what a press made from its temporary folder to ``out``, the record last.

    Raises:
        DeviceError: a file cannot be moved.
    """
    names = [b.artifact.name for b in builds] + [BENCH, "report.html", "record.json"]
    try:
        for name in names:
            target = out / name
            if target.is_dir():
                shutil.rmtree(target)
            if (folder / name).exists():
                (folder / name).replace(target)
    except OSError as error:
        raise DeviceError(
            f"cannot write into {out}", got=error.strerror, next_step="check the folder"
        ) from error
