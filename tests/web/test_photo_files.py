"""The photo page's committed files are what their scripts make, and the page says what its server says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from apps.photo.enhance import TABLES_FILE
from apps.photo.page_files import ENCODER, PAGE_FOLDER, TABLES, press_encoder, save_tables
from PIL import Image
from tests.web.photo_browser import needs_browser

from pocketpress.targets.litert.inspection import read_signature
from pocketpress.web.assets import static_folder
from pocketpress.web.photo_server import POLICY

ROOT = Path(__file__).resolve().parents[2]


def test_the_tables_are_the_shipped_ones(tmp_path: Path) -> None:
    save_tables(tmp_path / TABLES)
    assert (tmp_path / TABLES).read_bytes() == (PAGE_FOLDER / TABLES).read_bytes()
    with np.load(TABLES_FILE) as shipped:
        np.testing.assert_array_equal(np.load(PAGE_FOLDER / TABLES), shipped["tables"])


def test_the_network_has_borders_that_litert_js_takes() -> None:
    signature = read_signature(PAGE_FOLDER / ENCODER)
    assert signature.precision == "w8a8-static"
    assert [(s.shape, s.dtype) for s in signature.inputs] == [((1, 256, 256, 3), "float32")]
    assert [(s.shape, s.dtype) for s in signature.outputs] == [((1, 20), "float32")]


@pytest.mark.slow
@needs_browser
def test_the_network_is_what_its_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETPRESS_CACHE", str(tmp_path / "cache"))
    press_encoder(tmp_path / ENCODER)
    assert (tmp_path / ENCODER).read_bytes() == (PAGE_FOLDER / ENCODER).read_bytes()


def test_the_icons_are_what_their_script_draws() -> None:
    command = [sys.executable, "-m", "scripts.photo_icons", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_manifest_names_icons_of_the_sizes_they_have() -> None:
    manifest = json.loads((PAGE_FOLDER / "manifest.webmanifest").read_text())
    assert {"name", "short_name", "start_url", "scope", "display", "icons"} <= set(manifest)
    for icon in manifest["icons"]:
        if icon["type"] == "image/png":
            with Image.open(PAGE_FOLDER / icon["src"]) as image:
                assert "x".join(map(str, image.size)) == icon["sizes"]
    assert any(icon.get("purpose") == "maskable" for icon in manifest["icons"])


def test_the_page_has_the_policy_of_its_server() -> None:
    page = (ROOT / "web" / "photo.html").read_text()
    (said,) = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', page)
    assert f"{said}; frame-ancestors 'none'" == POLICY, "a page's own head may not say frame-ancestors"


@needs_browser
def test_the_kept_files_are_all_there_and_belong_to_the_page() -> None:
    folder = static_folder()
    text = (folder / "photo-sw.js").read_text()
    files = json.loads(text[text.index("[") : text.index("];") + 1])
    names = [file["url"] for file in files]
    assert len(names) == len(set(names)) and "photo.html" in names and "photo/encoder.web.tflite" in names
    for name in names:
        assert (folder / name).is_file() or (folder / f"{name}.br").is_file(), name
    assert not [name for name in names if "onnxruntime" in name or "harness" in name or "bench" in name]
    assert [name for name in names if name.startswith("runtimes/") and name.endswith(".wasm")] != []
