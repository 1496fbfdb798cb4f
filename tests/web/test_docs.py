"""The example of docs/web.md runs, and the page tells the truth about sizes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.web.site import ARTIFACTS, Site, need_built
from tests.web.test_sizes import LIBRARY, code_of

import pocketpress
from pocketpress.core.signature import Preprocessing
from pocketpress.data.preprocessing import apply

PAGE = Path(__file__).parents[2] / "docs" / "web.md"
[EXAMPLE] = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.S)


def test_the_example_prints_what_python_computes(page: Any, site: Site) -> None:
    image = np.random.default_rng(8).integers(0, 256, (24, 30, 3)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    path = ARTIFACTS / "image.tflite"
    site.files |= {
        "/network.tflite": path.read_bytes(),
        "/photo.png": content.getvalue(),
        "/example.html": b'<!doctype html><script type="module">' + EXAMPLE.encode() + b"</script>",
    }
    site.types["/example.html"] = "text/html"
    with pocketpress.open(path) as session:
        assert session.signature.preprocessing == Preprocessing(9, (8, 8), (0.5,) * 3, (0.25,) * 3)
        expected = session(apply(image, session.signature.preprocessing)[None])["scores"]
    with page.expect_console_message(lambda message: message.text.startswith("litert")) as printed:
        page.goto(f"http://127.0.0.1:{site.port}/example.html")
    name, backend, shape, data = (argument.json_value() for argument in printed.value.args)
    assert name == "litert" and backend.startswith("wasm") and tuple(shape) == expected.shape
    np.testing.assert_allclose(data, expected[0], rtol=1e-6)
    assert len([line for line in EXAMPLE.splitlines() if line]) <= 10


def test_the_sizes_are_those_of_the_files() -> None:
    folder = need_built()
    parts = {
        "library and worker": tuple(f"assets/{f.name}" for f in code_of(folder / LIBRARY, folder)),
        "LiteRT.js, one of three builds": ("runtimes/litert-*/litert_wasm_internal.*",),
        "ONNX Runtime Web, WebAssembly": (
            "runtimes/onnxruntime-*/ort.wasm.min.js",
            "runtimes/onnxruntime-*/ort-wasm-simd-threaded.mjs",
            "runtimes/onnxruntime-*/ort-wasm-simd-threaded.wasm",
        ),
        "ONNX Runtime Web, WebGPU": (
            "runtimes/onnxruntime-*/ort.webgpu.min.js",
            "runtimes/onnxruntime-*/ort-wasm-simd-threaded.asyncify.*",
        ),
    }
    text = PAGE.read_text()
    for name, patterns in parts.items():
        told = re.search(rf"^\| {re.escape(name)} \| ([\d.]+) (kB|MB) \| ([\d.]+) (kB|MB) \|$", text, re.M)
        assert told is not None, name
        for suffix, number, unit in ((".br", told[1], told[2]), (".gz", told[3], told[4])):
            files = {f for p in patterns for f in folder.glob(f"{p.removesuffix('.*')}*{suffix}")}
            size = sum(f.stat().st_size for f in files) / (1e3 if unit == "kB" else 1e6)
            assert abs(size / float(number) - 1) < 0.1, f"{name}{suffix}: {size:.2f} {unit}"
