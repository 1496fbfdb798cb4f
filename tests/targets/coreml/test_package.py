from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.targets.coreml.programs import NEEDS_COREMLTOOLS, float_conv, int8_conv, signed

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.targets.coreml import package
from pocketpress.targets.coreml.lower import lower
from pocketpress.targets.coreml.package import MODEL_PATH, read_model, read_signature

pytestmark = NEEDS_COREMLTOOLS


def written(tmp_path: Path) -> Path:
    path = tmp_path / "net.mlpackage"
    lower(float_conv(), signed(float_conv()), path)
    return path


def test_the_manifest_names_both_items_and_its_numbers_follow_the_content(tmp_path: Path) -> None:
    manifest = json.loads((written(tmp_path) / "Manifest.json").read_text())
    entries = manifest["itemInfoEntries"]
    assert manifest["fileFormatVersion"] == "1.0.0"
    assert {e["path"] for e in entries.values()} == {
        "com.apple.CoreML/model.mlmodel",
        "com.apple.CoreML/weights",
    }
    assert entries[manifest["rootModelIdentifier"]]["name"] == "model.mlmodel"
    lower(int8_conv(), signed(int8_conv()), tmp_path / "net.mlpackage")
    other = json.loads((tmp_path / "net.mlpackage" / "Manifest.json").read_text())
    assert other["rootModelIdentifier"] != manifest["rootModelIdentifier"]


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["net.mlpackage"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package.os, "replace", full)
    with pytest.raises(DeviceError, match=r"cannot write net\.mlpackage: got No space left on device"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DeviceError, match="cannot write"):
        written(tmp_path)


def test_what_is_no_package_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not a readable \.mlpackage: got No such file"):
        read_signature(tmp_path / "gone.mlpackage")
    path = written(tmp_path)
    (path / MODEL_PATH).write_bytes(b"\xff" * 100)
    with pytest.raises(ArtifactError, match="its model is damaged"):
        read_signature(path)
    (path / MODEL_PATH).write_bytes(b"")
    with pytest.raises(ArtifactError, match="holds no ML program"):
        read_signature(path)


def test_truncated_models_never_crash(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = (path / MODEL_PATH).read_bytes()
    for length in range(0, len(content), 37):
        (path / MODEL_PATH).write_bytes(content[:length])
        with pytest.raises(ArtifactError) as caught:
            read_signature(path)
        assert "\n" not in str(caught.value)


def test_packages_of_others_have_no_signature(tmp_path: Path) -> None:
    path = written(tmp_path)
    model = read_model(path)
    model.description.metadata.userDefined.clear()
    (path / MODEL_PATH).write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match="carries no Pocketpress signature"):
        read_signature(path)
