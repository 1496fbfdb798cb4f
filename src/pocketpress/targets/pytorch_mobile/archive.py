"""Look into a ``.ptl`` file with Python's zip reader before libtorch does: sizes, checksums, signature."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import MAX_JSON_BYTES, Signature

SIGNATURE_RECORD = "extra/pocketpress.json"
MAX_FILE_BYTES = 2**31 - 1
MAX_RECORDS = 100_000
_REQUIRED = ("bytecode.pkl", "data.pkl")


def read_signature(path: Path) -> Signature:
    """Check the archive as a whole and return the embedded signature.

    Raises:
        ArtifactError: missing, damaged, too large, or not written by this target.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path.name, archive)
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            if SIGNATURE_RECORD not in names or any(name not in names for name in _REQUIRED):
                raise ArtifactError(
                    f"{path.name} carries no Pocketpress signature",
                    next_step="press the network to make an artifact",
                )
            damaged = archive.testzip()
            if damaged is not None:
                raise ArtifactError(f"{path.name} is damaged", got=f"a wrong checksum of {damaged}")
            if archive.getinfo(names[SIGNATURE_RECORD]).file_size > MAX_JSON_BYTES:
                raise ArtifactError(f"{path.name}: embedded signature too long", allowed=MAX_JSON_BYTES)
            text = archive.read(names[SIGNATURE_RECORD]).decode("utf-8")
    except OSError as error:
        raise ArtifactError(f"cannot read {path.name}", got=error.strerror) from error
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ArtifactError(f"{path.name} is not a TorchScript archive, or it is damaged") from error
    return Signature.from_json(text)


def _check_sizes(name: str, archive: zipfile.ZipFile) -> None:
    records = archive.infolist()
    total = sum(record.file_size for record in records)
    if len(records) > MAX_RECORDS or total > MAX_FILE_BYTES:
        raise ArtifactError(
            f"{name} is too large", got=f"{total} bytes in {len(records)} records", allowed=MAX_FILE_BYTES
        )
