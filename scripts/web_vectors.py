"""Write what Python computes and the browser must compute too: web/test/vectors/ and web/test/artifacts/.

python scripts/web_vectors.py            write the files
python scripts/web_vectors.py --check    exit 1 when a file on disk differs

The numbers come from the code that Pocketpress itself runs: conversions at the border, preprocessing, and the
signatures in its artifacts.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pocketpress.core.errors import ArtifactError
from pocketpress.core.labels import largest
from pocketpress.core.program import Program, ProgramBuilder, State, TensorType, with_states
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec, signature_of
from pocketpress.core.target import file_to_real, real_to_file
from pocketpress.core.targets import all_targets
from pocketpress.data.images import MODES
from pocketpress.data.preprocessing import apply, place

FOLDER = Path(__file__).resolve().parent.parent / "web" / "test"
VECTORS, ARTIFACTS = FOLDER / "vectors", FOLDER / "artifacts"
SUFFIXES = {"litert": "tflite", "onnxruntime": "onnx"}
SEED = 17

BORDERS = (
    ("int8", 0.023529412, -128),
    ("int8", 1 / 3, 5),
    ("uint8", 1.0, 0),
    ("uint8", 0.007843138, 127),
    ("int16", 3.0517578e-05, 0),
    ("int8", 1e-9, 0),
    ("int8", 0.1, 127),
)

PREPROCESSING = {
    "as it is": (Preprocessing(), (5, 7)),
    "imagenet": (
        Preprocessing(28, (24, 24), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        (37, 50),
    ),
    "portrait": (Preprocessing(16, (15, 12), (0.5,) * 3, (0.5,) * 3), (41, 29)),
    "odd rests": (Preprocessing(20, (17, 15)), (20, 26)),
    "straight to the crop": (Preprocessing(crop=(13, 19)), (31, 17)),
    "enlarged": (Preprocessing(crop=(23, 31)), (9, 11)),
    "one axis only": (Preprocessing(crop=(9, 20)), (9, 33)),
    "far smaller": (Preprocessing(crop=(2, 3)), (97, 61)),
    "channels last": (Preprocessing(12, (12, 12), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), "nhwc"), (18, 24)),
    "pixels of 0 to 255": (Preprocessing(crop=(8, 8), mean=(99.5,) * 3, std=(9.5,) * 3, scale=1.0), (8, 9)),
    "tall, rows first": (Preprocessing(16, (16, 16)), (60, 24)),
    "rows and columns alike": (Preprocessing(crop=(11, 12)), (31, 22)),
    "grey": (Preprocessing(14, (12, 12), (0.1307,), (0.3081,)), (21, 30)),
    "translucent": (Preprocessing(14, (12, 12), (0.0,) * 4, (1.0,) * 4), (21, 30)),
}


LABELS: tuple[tuple[list[int] | None, Any, list[int], str], ...] = (
    (None, ["cat", "dog"], [1, 2], "outputs"),
    (None, ["cat", "dog"], [1, 2], "inputs"),
    (None, ["cat", "cat"], [2], "outputs"),
    (None, ["Zürich", "東京", "🐕", " "], [1, 4, 3, 3], "outputs"),
    (None, ["a", "b", "c"], [1, 4, 3, 3], "outputs"),
    (None, ["a", "b"], [1, 3], "outputs"),
    (None, ["a"], [1, 3], "outputs"),
    (None, ["a"], [], "outputs"),
    (None, ["a", "b"], [2, 5], "outputs"),
    (None, [], [1, 0], "outputs"),
    (None, None, [1, 2], "outputs"),
    (None, None, [1, 2], "inputs"),
    (None, "ab", [1, 2], "outputs"),
    (None, {"0": "a", "1": "b"}, [1, 2], "outputs"),
    (None, ["a", 1], [1, 2], "outputs"),
    (None, ["a", None], [1, 2], "outputs"),
    (None, [["a"], ["b"]], [1, 2], "outputs"),
    (None, ["a", ""], [1, 2], "outputs"),
    (None, ["a", "b\n"], [1, 2], "outputs"),
    (None, ["a", "\x1b[31m"], [1, 2], "outputs"),
    (None, ["a", "\x85"], [1, 2], "outputs"),
    (None, ["a", "\u2028"], [1, 2], "outputs"),
    (None, ["a", "\ud800"], [1, 2], "outputs"),
    (None, ["a", "\udc00\ud800"], [1, 2], "outputs"),
    (None, ["a", "\x00"], [1, 2], "outputs"),
    (None, ["x" * 256, "é" * 128], [1, 2], "outputs"),
    (None, ["a", "x" * 257], [1, 2], "outputs"),
    (None, ["a", "é" * 129], [1, 2], "outputs"),
    (None, ["a", "🐕" * 65], [1, 2], "outputs"),
    ([65536], ["x"], [1, 65536], "outputs"),
    ([65537], ["x"], [1, 65537], "outputs"),
    ([2048], ["x" * 256], [1, 2048], "outputs"),
    ([2048, 1], ["x" * 256, "x"], [1, 2049], "outputs"),
)
"""Repetitions of each value, the value, the shape of the tensor, and whose it is."""


def border_vectors() -> list[dict[str, Any]]:
    """Reals, what the file holds for them, and the reals it stands for; ties and range ends included."""
    random = np.random.default_rng(SEED)
    found = []
    for dtype, scale, zero_point in BORDERS:
        steps = np.concatenate([np.arange(-6, 7) / 2, [-1e6, 1e6, 127.5, -128.5], random.normal(0, 90, 200)])
        reals = (steps * scale).astype(np.float32)
        held = real_to_file(reals, dtype, scale, zero_point)
        back = file_to_real(held, scale, zero_point)
        found.append(
            {
                "dtype": dtype,
                "scale": scale,
                "zero_point": zero_point,
                "reals": _base64(reals),
                "held": held.tolist(),
                "back": _base64(back),
            }
        )
    return found


def preprocessing_vectors() -> list[dict[str, Any]]:
    """RGBA images, the placed pixels and the digest of the normalised input."""
    random = np.random.default_rng(SEED)
    found = []
    for name, (prep, (height, width)) in PREPROCESSING.items():
        rgba = _picture(height, width, random)
        image = np.asarray(Image.fromarray(rgba).convert(MODES[len(prep.mean)]))
        image = image.reshape(height, width, len(prep.mean))
        found.append(
            {
                "name": name,
                "signature": _image_signature(prep, apply(image, prep).shape),
                "width": width,
                "height": height,
                "rgba": _base64(rgba),
                "placed": _base64(place(image, prep)),
                "applied_sha256": hashlib.sha256(apply(image, prep).tobytes()).hexdigest(),
            }
        )
    return found


def _picture(height: int, width: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Half smooth, half noise, with every alpha."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256, (x * 7 + y * 13) % 256], axis=-1)
    noise = random.integers(0, 256, (height, width, 4))
    return np.where((x < width // 2)[..., None], smooth, noise).astype(np.uint8)


def _image_signature(prep: Preprocessing, shape: tuple[int, ...]) -> dict[str, Any]:
    spec = TensorSpec("x", (1, *shape), "float32")
    result: dict[str, Any] = json.loads(Signature((spec,), (spec,), prep).to_json())
    return result


def label_vectors() -> list[dict[str, Any]]:
    """What an output's labels may be; ``runs`` says how often each value of the list is repeated."""
    return [
        {"runs": runs, "labels": value, "shape": shape, "of": of, "taken": _is_taken(runs, value, shape, of)}
        for runs, value, shape, of in LABELS
    ]


def _is_taken(runs: list[int] | None, value: Any, shape: list[int], of: str) -> bool:
    """Whether Python reads a signature with these labels."""
    listed = value if runs is None else [v for v, n in zip(value, runs, strict=True) for _ in range(n)]
    tensor = {"name": "x", "shape": shape, "dtype": "float32"}
    sides = {side: [{**tensor, "labels": listed} if side == of else tensor] for side in ("inputs", "outputs")}
    try:
        Signature.from_json(json.dumps({"format": 1, **sides}))
    except ArtifactError:
        return False
    return True


def top_vectors() -> list[dict[str, Any]]:
    """Scores and the classes of the largest ones; equal scores, infinities and NaN included."""
    random = np.random.default_rng(SEED)
    found = []
    for size, k in ((1, 5), (4, 4), (7, 2), (40, 5)):
        scores = np.round(random.normal(0, 1, size), 1).astype(np.float32)
        if size > 4:
            scores[[0, 1, 2, 3, 5]] = [np.nan, -np.inf, np.inf, np.nan, -0.0]
        labels = tuple(f"class {i}" for i in range(size))
        best = largest(scores, labels, k)
        found.append(
            {
                "scores": _base64(scores),
                "labels": labels,
                "k": k,
                "best": [label for label, _ in best],
                "best_scores": _base64(np.asarray([score for _, score in best], np.float32)),
            }
        )
    return found


def image_network() -> Program:
    """A convolution with trained-looking weights, a clamp and an average: image in, two numbers out."""
    random = np.random.default_rng(SEED)
    builder = ProgramBuilder()
    image = builder.input("image", TensorType((1, 3, 8, 8)))
    weight = builder.constant("weight", random.normal(0, 0.3, (2, 3, 3, 3)).astype(np.float32))
    bias = builder.constant("bias", np.asarray([0.1, -0.2], np.float32))
    kernel: dict[str, Any] = {
        "stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "clamp": (0.0, 6.0)
    }  # fmt: skip
    conv = builder.node("conv2d", [image, weight, bias], TensorType((1, 2, 8, 8)), name="conv", **kernel)
    mean = builder.node("mean", [conv], TensorType((1, 2)), name="scores", axes=(2, 3), keepdims=False)
    return builder.build([mean])


def running_sum() -> Program:
    """A network with state: ``shown = after = before + x``."""
    builder = ProgramBuilder()
    type_ = TensorType((1, 2))
    x, before = builder.input("x", type_), builder.input("before", type_)
    after = builder.node("add", [before, x], type_, name="after", clamp=None)
    shown = builder.node("clamp", [after], type_, name="shown", low=None, high=None)
    return with_states(builder.build([shown, after]), [State("before", "after", (0.5, -1.0))])


NETWORKS = {
    "image": (
        image_network(), Preprocessing(9, (8, 8), (0.5,) * 3, (0.25,) * 3), {"scores": ("cat", 'Hündin "🐕"')}
    ),
    "sum": (running_sum(), None, {}),
}  # fmt: skip


def artifacts(folder: Path) -> dict[str, dict[str, Any]]:
    """Lower the networks; the signature in each file, by the file's name."""
    specs = all_targets()
    found = {}
    for name, (program, prep, labels) in NETWORKS.items():
        signature = signature_of(program, precision="fp32", preprocessing=prep, labels=labels)
        for target, suffix in SUFFIXES.items():
            path = folder / f"{name}.{suffix}"
            specs[target].lower(program, signature, path)
            found[path.name] = asdict(signature)
    return found


def files(folder: Path) -> dict[Path, bytes]:
    """Everything to write, by path under ``web/test``."""
    described = artifacts(folder)
    tables = {
        "border": border_vectors(),
        "preprocessing": preprocessing_vectors(),
        "labels": label_vectors(),
        "top": top_vectors(),
        "artifacts": described,
    }
    found = {Path("vectors") / f"{name}.json": _json(table) for name, table in tables.items()}
    return found | {Path("artifacts") / name: (folder / name).read_bytes() for name in described}


def _base64(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _json(table: object) -> bytes:
    return (json.dumps(table, indent=1, sort_keys=True) + "\n").encode()


def main(argv: list[str] | None = None) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    check = parser.parse_args(argv).check
    with tempfile.TemporaryDirectory() as folder:
        wanted = files(Path(folder))
    stale = [p for p, content in wanted.items() if not _holds(FOLDER / p, content)]
    for path in stale:
        print(f"{'differs' if check else 'written'}: web/test/{path}")
        if not check:
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_bytes(wanted[path])
    return 1 if check and stale else 0


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main())
