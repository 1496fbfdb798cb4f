"""The program that a press keeps: written, read, and what is not it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.targets.executorch.networks import mobile_network

from pocketpress.core.errors import ArtifactError
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.signature import signature_of
from pocketpress.pipeline.bench import program as module
from pocketpress.pipeline.bench.program import read_program, write_program

SIGNATURE = signature_of(mobile_network(), precision="w8a8-static")


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "program.bin"
    write_program(mobile_network(), path)
    assert program_hash(read_program(path, SIGNATURE)) == program_hash(mobile_network())
    assert [p.name for p in tmp_path.iterdir()] == ["program.bin"]


def test_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "program.bin"
    write_program(mobile_network(), path)
    other = replace(SIGNATURE, inputs=(replace(SIGNATURE.inputs[0], shape=(1, 3, 64, 64)),))
    with pytest.raises(ArtifactError, match=r"of another network: .*; press the network again"):
        read_program(path, other)


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_damaged(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "program.bin"
    write_program(mobile_network(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="not a saved program"):
        read_program(path, SIGNATURE)


def test_too_large_is_neither_written_nor_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "program.bin", tmp_path / "other.bin"
    write_program(mobile_network(), path)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    write_program(mobile_network(), other)
    assert not other.exists()
    with pytest.raises(ArtifactError, match=r"program\.bin is too large"):
        read_program(path, SIGNATURE)
    with pytest.raises(ArtifactError, match=r"cannot read .*other\.bin: got No such file"):
        read_program(other, SIGNATURE)
