"""Shared fixtures: a tiny trained residual network on disk, and the command line as a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

Press = Callable[..., "Finished"]


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr that an error must be."""
        lines = self.err.strip().split("\n")
        assert len(lines) == 1, self.err
        assert lines[0].startswith("pocketpress: ")
        return lines[0].removeprefix("pocketpress: ")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.py, w.safetensors, calib.npz and eval.npz; trained once, in a few seconds."""
    from tests.pipeline.stripes import write_project

    folder = tmp_path_factory.mktemp("trained")
    write_project(folder)
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all command-line tests, so that they do not calibrate the same network again."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def pocketpress(
    trained: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Press:
    """Run a command in this process, in the folder of the trained network."""
    from pocketpress.cli import main

    monkeypatch.chdir(trained)
    monkeypatch.setenv("POCKETPRESS_CACHE", str(shared_cache))
    monkeypatch.setattr(main, "_verbose", False)

    def call(*argv: str | Path) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main.run([str(a) for a in argv])
        captured = capsys.readouterr()
        return Finished(int(caught.value.code or 0), captured.out, captured.err)

    return call
