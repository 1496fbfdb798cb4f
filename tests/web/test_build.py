"""The build: equal bytes from equal sources, its own tests, and what reaches the wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.web.site import need_built

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"


def need_npm() -> None:
    if shutil.which("npm") is None or not (WEB / "node_modules").is_dir():
        pytest.skip("npm's packages are not installed: run make web")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.slow
def test_two_builds_have_equal_bytes(tmp_path: Path) -> None:
    need_npm()
    for name in ("first", "second"):
        command = ["node", "build/build.mjs", "--out", tmp_path / name, "--cache", tmp_path / f"{name}-cache"]
        subprocess.run(command, cwd=WEB, check=True)
    first, second = digests(tmp_path / "first"), digests(tmp_path / "second")
    assert first == second
    assert "assets/pocketpress.js" in first and "types/index.d.ts" in first


@pytest.mark.slow
def test_the_wheel_holds_what_was_built(tmp_path: Path) -> None:
    folder = need_built()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    subprocess.run([*command, "--wheel-dir", tmp_path, copy], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        prefix = "pocketpress/web/static/"
        held = {n.removeprefix(prefix) for n in archive.namelist() if n.startswith(prefix)}
    assert held == set(digests(folder))
    assert {"assets/pocketpress.js", "licences/litert-LICENSE.txt"} <= held
    assert wheel.stat().st_size < 50_000_000


def test_the_lock_file_names_no_registry() -> None:
    text = (WEB / "package-lock.json").read_text()
    assert '"integrity"' in text and '"resolved"' not in text
