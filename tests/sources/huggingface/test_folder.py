"""What may be read: bounded JSON and safetensors of one folder, found without a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pocketpress.core.errors import MissingExtraError, SourceError
from pocketpress.sources.huggingface.folder import MAX_JSON_BYTES, Opened, open_checkpoint, require_package
from pocketpress.sources.huggingface.names import parse


def folder(path: Path, *, config: str = "{}", weights: bool = True) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(config)
    if weights:
        save_file({"w": torch.ones(2)}, path / "model.safetensors")
    return path


def opened(path: Path) -> Opened:
    return open_checkpoint(parse(f"hf:{path}"))


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder(tmp_path: Path) -> None:
    found = opened(folder(tmp_path / "net", config='{"a": 1}'))
    assert found.config == {"a": 1} and [w.name for w in found.weights] == ["model.safetensors"]
    assert found.json("preprocessor_config.json") is None and len(found.sha256()) == 64


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "net") == (
        f"no such folder: got {tmp_path}/net; give a folder made by save_pretrained"
    )


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = folder(tmp_path / "net", weights=False)
    assert refusal(path) == f"hf:{path} holds no weights; allowed: model.safetensors"
    (path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert refusal(path) == (
        f"hf:{path} holds weights only in a format that may execute code: got pytorch_model.bin; "
        "allowed: safetensors; save it again with save_pretrained, where you trust it"
    )


def test_adapters_are_no_networks(tmp_path: Path) -> None:
    path = folder(tmp_path / "net")
    (path / "adapter_config.json").write_text("{}")
    assert "is an adapter, not a network; merge it" in refusal(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON: got JSONDecodeError"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object: got list"),
        ("[" * 100_000, "is not JSON: got RecursionError"),
        (" " * (MAX_JSON_BYTES + 1), "is too large"),
        ("\udcff", "is not JSON"),
    ],
    ids=["empty", "truncated", "list", "deep", "large", "encoding"],
)
def test_configurations_that_are_no_json(tmp_path: Path, text: str, message: str) -> None:
    path = folder(tmp_path / "net")
    (path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert message in refusal(path)


def test_a_missing_configuration(tmp_path: Path) -> None:
    path = folder(tmp_path / "net")
    (path / "config.json").unlink()
    assert refusal(path).startswith("cannot read a file of the checkpoint: got ")


def sharded(path: Path, weight_map: object) -> Path:
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return path


def test_shards(tmp_path: Path) -> None:
    path = folder(tmp_path / "net", weights=False)
    for name in ("model-1.safetensors", "model-2.safetensors"):
        save_file({name: torch.ones(2)}, path / name)
    sharded(path, {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-1.safetensors"})
    assert [w.name for w in opened(path).weights] == ["model-1.safetensors", "model-2.safetensors"]
    assert "is incomplete: got missing gone.safetensors" in refusal(sharded(path, {"a": "gone.safetensors"}))


@pytest.mark.parametrize(
    "weight_map", [None, {}, [], {"a": 3}, {"a": "../x.safetensors"}, {"a": "/x.safetensors"}, {"a": "x.bin"}]
)
def test_shards_elsewhere(tmp_path: Path, weight_map: object) -> None:
    path = sharded(folder(tmp_path / "net"), weight_map)
    assert "model.safetensors.index.json is malformed; allowed: names of safetensors files" in refusal(path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_out_of_the_folder(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path / "net")
    (path / name).rename(tmp_path / name)
    (path / name).symlink_to(tmp_path / name)
    assert f"{name} leads out of the checkpoint's folder" in refusal(path)


def cached(hub: Path, repository: str, commit: str) -> Path:
    """A snapshot in the layout of the hub's cache: names link to contents."""
    base = hub / f"models--{repository.replace('/', '--')}"
    made = folder(base / "snapshots" / commit)
    (base / "refs").mkdir(exist_ok=True)
    (base / "refs" / "main").write_text(commit)
    (base / "blobs").mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        blob = base / "blobs" / f"{commit}-{name}"
        (made / name).rename(blob)
        (made / name).symlink_to(Path("../../blobs") / blob.name)
    return made


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached(tmp_path, "org/net", "a" * 40)
    newest = cached(tmp_path, "org/net", "b" * 40)
    assert open_checkpoint(parse("hf:org/net")).path == newest
    assert open_checkpoint(parse(f"hf:org/net@{'a' * 40}")).path.name == "a" * 40
    outside = tmp_path / "elsewhere.json"
    outside.write_text("{}")
    (newest / "config.json").unlink()
    (newest / "config.json").symlink_to(outside)
    with pytest.raises(SourceError, match="leads out of the checkpoint's folder"):
        open_checkpoint(parse("hf:org/net"))


def test_what_is_not_in_the_cache_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr("socket.socket.connect", no_network)
    with pytest.raises(SourceError) as caught:
        open_checkpoint(parse("hf:org/net@v2"))
    assert str(caught.value) == (
        "hf:org/net@v2 is not in the local Hugging Face cache, and nothing is downloaded here; "
        "run: hf download org/net --revision v2"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [("transformers", "pip install 'pocketpress[huggingface]'"), ("timm", "pip install timm")],
)
def test_missing_packages(name: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingExtraError) as caught:
        require_package(name)
    assert str(caught.value) == (
        f"this checkpoint needs a package that is not installed: got missing {name}; run: {command}"
    )
