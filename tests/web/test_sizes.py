"""What a visitor downloads: the page's code, and the one runtime that is used."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from tests.web.site import need_built

from pocketpress.web import assets

MAX_CODE_BYTES = 150_000
MAX_LITERT_BYTES = 3_000_000
FLAVOURS = ("litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_threaded_internal")
KINDS = ("LICENSE", "ThirdPartyNotices")
LIBRARY = "assets/pocketpress.js"


def code_of(start: Path, folder: Path) -> set[Path]:
    """A page or script, and the scripts and styles under ``assets/`` that it and they name."""
    known = {path.name: path for path in (folder / "assets").iterdir() if path.suffix in (".js", ".css")}
    found, queue = {start}, [start]
    while queue:
        text = queue.pop().read_text()
        named = {known[n] for n in re.findall(r"[\w.-]+\.(?:js|css)", text) if n in known} - found
        found |= named
        queue += named
    return found


def starts() -> list[str]:
    folder = assets.STATIC
    return [LIBRARY, *sorted(path.name for path in folder.glob("*.html"))] if folder.is_dir() else [LIBRARY]


@pytest.mark.parametrize("start", starts())
def test_code_without_runtimes_is_small(start: str) -> None:
    folder = need_built()
    files = code_of(folder / start, folder)
    assert any(path.name.startswith("worker-") for path in files), "the worker is not counted"
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= MAX_CODE_BYTES


@pytest.mark.parametrize("accepted", ["gzip", "br"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_litert_is_small_in_the_form_that_is_sent(flavour: str, accepted: str) -> None:
    """Browsers take brotli on https and localhost only, so gzip has to keep the bar too."""
    [folder] = need_built().glob("runtimes/litert-*")
    sizes = []
    for suffix in (".js", ".wasm"):
        asset = assets.find(f"/runtimes/{folder.name}/{flavour}{suffix}", accepted)
        assert asset is not None and dict(asset.headers)["Content-Encoding"] == accepted
        sizes.append(len(asset.read()))
    assert sum(sizes) <= MAX_LITERT_BYTES


def test_the_licences_are_there() -> None:
    folder = need_built() / "licences"
    wanted = {f"{name}-{kind}.txt" for name in ("litert", "onnxruntime") for kind in KINDS}
    assert wanted <= {path.name for path in folder.iterdir()}
