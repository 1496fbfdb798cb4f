"""What hf: and timm: specifications name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketpress.core.errors import SourceError
from pocketpress.sources.huggingface.names import is_checkpoint, parse
from pocketpress.sources.load import saved_kind


@pytest.mark.parametrize(
    ("spec", "repository", "revision", "name"),
    [
        ("hf:google-bert/bert-base-uncased", "google-bert/bert-base-uncased", "main", "bert-base-uncased"),
        ("hf:gpt2", "gpt2", "main", "gpt2"),
        ("hf:org/net-1.5@v1.0", "org/net-1.5", "v1.0", "net-1.5"),
        ("hf:org/net@refs/pr/3", "org/net", "refs/pr/3", "net"),
        ("timm:resnet18.a1_in1k", "timm/resnet18.a1_in1k", "main", "resnet18.a1_in1k"),
        ("timm:me/net", "me/net", "main", "net"),
    ],
)
def test_repositories(spec: str, repository: str, revision: str, name: str) -> None:
    found = parse(spec)
    assert (found.repository, found.revision, found.name) == (repository, revision, name)
    assert found.folder is None and saved_kind(spec) == "huggingface"


def test_folders(tmp_path: Path) -> None:
    assert parse("hf:./some/net").folder == Path("some/net")
    assert parse(f"hf:{tmp_path}/net.v2").name == "net.v2"
    assert parse("hf:~/net").folder == Path.home() / "net"


@pytest.mark.parametrize(
    "spec", ["hf:", "hf:a/b/c", "hf:a/../b", "hf:-x", "hf:a b", "hf:a--b/c", "hf:a/b@", "hf:a@../x", "timm:"]
)
def test_what_the_hub_could_not_name(spec: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(spec)
    assert str(caught.value) == (
        f"not the name of a checkpoint: got {spec}; allowed: hf:ORG/NAME, hf:ORG/NAME@REVISION, "
        "hf:./folder, timm:NAME"
    )


def test_other_sources_are_none() -> None:
    assert not any(is_checkpoint(spec) for spec in ("net.py:hf", "package:factory", "net.onnx", "hf.py:net"))
