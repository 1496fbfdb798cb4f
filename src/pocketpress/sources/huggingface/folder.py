"""The folder of a checkpoint, and what may be read from it: bounded JSON and safetensors, nothing else."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketpress.core.errors import MissingExtraError, SourceError
from pocketpress.sources.huggingface.names import Checkpoint
from pocketpress.sources.safe_load import MAX_BYTES

MAX_JSON_BYTES = 16 << 20
MAX_SHARDS = 256
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")


@dataclass(frozen=True)
class Opened:
    """A checkpoint's folder whose files were checked.

    Attributes:
        path: the folder.
        root: files may be links to places below it (the hub's cache keeps contents apart from names).
        config: of ``config.json``.
        weights: the safetensors files.
    """

    path: Path
    root: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]

    def json(self, name: str) -> dict[str, Any] | None:
        """Another JSON file of the folder, None where there is none."""
        return read_json(self.path / name, self.root) if (self.path / name).is_file() else None

    def sha256(self) -> str:
        """Of the weights."""
        digest = hashlib.sha256()
        for path in self.weights:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def require_package(name: str) -> None:
    """Raise MissingExtraError, naming the command to type, when a package is absent."""
    if importlib.util.find_spec(name) is None:
        command = "pip install timm" if name == "timm" else "pip install 'pocketpress[huggingface]'"
        raise MissingExtraError(
            "this checkpoint needs a package that is not installed",
            got=f"missing {name}",
            next_step=f"run: {command}",
        )


def open_checkpoint(checkpoint: Checkpoint) -> Opened:
    """Find the folder and check what it holds; nothing is downloaded.

    Raises:
        SourceError: not in the cache, no such folder, no safetensors, or files that lie elsewhere.
    """
    path, root = _local(checkpoint) if checkpoint.folder is not None else _cached(checkpoint)
    config = read_json(path / "config.json", root)
    if (path / "adapter_config.json").exists():
        raise SourceError(
            f"{checkpoint.spec} is an adapter, not a network",
            next_step="merge it into its base network and save that",
        )
    return Opened(path, root, config, _weights(path, root, checkpoint))


def _local(checkpoint: Checkpoint) -> tuple[Path, Path]:
    assert checkpoint.folder is not None
    if not checkpoint.folder.is_dir():
        raise SourceError(
            "no such folder", got=checkpoint.folder, next_step="give a folder made by save_pretrained"
        )
    return checkpoint.folder, checkpoint.folder.resolve()


def _cached(checkpoint: Checkpoint) -> tuple[Path, Path]:
    """Snapshot and repository folder in the hub's cache (``HF_HOME``, ``HF_HUB_CACHE``)."""
    require_package("huggingface_hub")
    from huggingface_hub import try_to_load_from_cache

    assert checkpoint.repository is not None
    found = try_to_load_from_cache(checkpoint.repository, "config.json", revision=checkpoint.revision)
    if not isinstance(found, (str, Path)):
        revision = "" if checkpoint.revision == "main" else f" --revision {checkpoint.revision}"
        raise SourceError(
            f"{checkpoint.spec} is not in the local Hugging Face cache, and nothing is downloaded here",
            next_step=f"run: hf download {checkpoint.repository}{revision}",
        )
    snapshot = Path(found).parent
    return snapshot, snapshot.parents[1].resolve()


def _inside(path: Path, root: Path) -> Path:
    if not path.resolve().is_relative_to(root):
        raise SourceError(f"{path} leads out of the checkpoint's folder", got=path.resolve(), allowed=root)
    return path


def read_json(path: Path, root: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        SourceError: missing, outside ``root``, too large, or no JSON object.
    """
    try:
        if _inside(path, root).stat().st_size > MAX_JSON_BYTES:
            raise SourceError(f"{path} is too large", allowed=f"{MAX_JSON_BYTES} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError("cannot read a file of the checkpoint", got=f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON", got=type(error).__name__) from error
    if not isinstance(data, dict):
        raise SourceError(f"{path} is not a JSON object", got=type(data).__name__)
    return data


def _weights(path: Path, root: Path, checkpoint: Checkpoint) -> tuple[Path, ...]:
    if (path / INDEX).is_file():
        shards = read_json(path / INDEX, root).get("weight_map")
        names = sorted(set(shards.values()), key=str) if isinstance(shards, dict) else []
        plain = all(isinstance(n, str) and Path(n).name == n and n.endswith(".safetensors") for n in names)
        if not names or not plain or len(names) > MAX_SHARDS:
            raise SourceError(f"{path / INDEX} is malformed", allowed="names of safetensors files beside it")
    elif (path / WEIGHTS).is_file():
        names = [WEIGHTS]
    else:
        raise _no_safetensors(path, checkpoint)
    files = tuple(_inside(path / name, root) for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise SourceError(f"{checkpoint.spec} is incomplete", got=f"missing {missing[0]}")
    if sum(file.stat().st_size for file in files) > MAX_BYTES:
        raise SourceError(f"{checkpoint.spec} is too large", allowed=f"{MAX_BYTES} bytes")
    return files


def _no_safetensors(path: Path, checkpoint: Checkpoint) -> SourceError:
    pickles = sorted(file.name for pattern in PICKLES for file in path.glob(pattern))
    if not pickles:
        return SourceError(f"{checkpoint.spec} holds no weights", allowed=WEIGHTS)
    return SourceError(
        f"{checkpoint.spec} holds weights only in a format that may execute code",
        got=pickles[0],
        allowed="safetensors",
        next_step="save it again with save_pretrained, where you trust it",
    )
