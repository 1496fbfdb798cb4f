"""The ``.mlpackage`` folder: manifest, model and weights.

Apple's tools number the items of the manifest with random identifiers; here they are derived from the
content, so that equal programs give equal folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.signature import Signature
from pocketpress.targets.coreml.protos import parse_model

SIGNATURE_KEY = "pocketpress.signature"
MODEL_PATH = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS_PATH = "Data/com.apple.CoreML/weights/weight.bin"
MANIFEST_PATH = "Manifest.json"
MAX_MODEL_BYTES = 512 << 20
MAX_WEIGHTS_BYTES = 16 << 30
_NAMESPACE = uuid.UUID("6f6d3f0e-3f2c-5a56-9d57-6d8f0f0c9a11")


def write_package(path: Path, model: Any, weights: list[bytes]) -> None:
    """Write the folder under a temporary name, then rename it.

    Raises:
        DeviceError: the disk or the folder refuses; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        content = model.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content)
        (temporary / WEIGHTS_PATH).parent.mkdir(parents=True)
        with (temporary / WEIGHTS_PATH).open("wb") as file:
            for part in weights:
                digest.update(part)
                file.write(part)
        (temporary / MODEL_PATH).write_bytes(content)
        (temporary / MANIFEST_PATH).write_text(_manifest(digest.hexdigest()))
        temporary.chmod(0o755)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)  # noqa: PTH105 - replaces a file as well
        temporary = None
    except OSError as error:
        raise DeviceError(
            f"cannot write {path.name}",
            got=f"{error.strerror} in {path.parent}",
            next_step="check the folder, its permissions and the free space",
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _manifest(digest: str) -> str:
    model, weights = (str(uuid.uuid5(_NAMESPACE, f"{item}:{digest}")) for item in ("model", "weights"))
    entries = {
        model: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel",
        },
        weights: {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": "com.apple.CoreML/weights",
        },
    }
    manifest = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": model}
    return json.dumps(manifest, indent=4, sort_keys=True) + "\n"


def read_model(path: Path) -> Any:
    """Parse the model of an untrusted package.

    Raises:
        ArtifactError: not a package, or its model is damaged.
    """
    try:
        model = parse_model(_read(path / MODEL_PATH, MAX_MODEL_BYTES))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its model is damaged"
        raise ArtifactError(f"{path.name} is not a readable .mlpackage", got=reason) from error
    if model.WhichOneof("Type") != "mlProgram":
        raise ArtifactError(
            f"{path.name} holds no ML program", got=model.WhichOneof("Type"), allowed="mlProgram"
        )
    return model


def read_weights(path: Path) -> bytes:
    """Content of the weight file.

    Raises:
        ArtifactError: missing or too large.
    """
    try:
        return _read(path / WEIGHTS_PATH, MAX_WEIGHTS_BYTES)
    except OSError as error:
        raise ArtifactError(f"{path.name} has no readable weights", got=error.strerror) from error


def read_signature(path: Path) -> Signature:
    """The signature that Pocketpress embedded.

    Raises:
        ArtifactError: not a package, or not one of Pocketpress.
    """
    return signature_of_model(read_model(path), path)


def signature_of_model(model: Any, path: Path) -> Signature:
    """The signature embedded in a parsed model."""
    text = model.description.metadata.userDefined.get(SIGNATURE_KEY)
    if not text:
        raise ArtifactError(
            f"{path.name} carries no Pocketpress signature", next_step="press the network to get an artifact"
        )
    return Signature.from_json(text)


def _read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ArtifactError(f"{path.name} is too large", got=f"over {limit} bytes", allowed=limit)
    return content
