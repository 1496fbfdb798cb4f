"""Small data on disk for the tests of sources."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketpress.core.signature import Signature, TensorSpec


def signature(
    *shapes: tuple[int, ...], dtype: str = "float32", outputs: tuple[int, ...] = (1, 10)
) -> Signature:
    """A network with inputs x, or x0, x1, …"""
    names = ["x"] if len(shapes) == 1 else [f"x{i}" for i in range(len(shapes))]
    specs = tuple(TensorSpec(n, s, dtype) for n, s in zip(names, shapes, strict=True))
    return Signature(specs, (TensorSpec("y", outputs, "float32"),))


def picture(seed: int, height: int = 8, width: int = 8) -> Image.Image:
    """A random colour image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def png(seed: int, height: int = 8, width: int = 8) -> bytes:
    """The same, encoded."""
    stream = io.BytesIO()
    picture(seed, height, width).save(stream, format="PNG")
    return stream.getvalue()


def class_folders(root: Path, names: tuple[str, ...] = ("cat", "dog"), each: int = 3) -> Path:
    """``each`` PNG images per class folder."""
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(each):
            (root / name / f"{index}.png").write_bytes(png(100 * number + index))
    return root


def npz(path: Path, compressed: bool = False, **arrays: Any) -> Path:
    """Save arrays."""
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path
