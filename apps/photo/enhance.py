"""The app: levels, thumbnail -> network -> blend of tables -> the whole photo. NumPy only, any runtime.

session = pocketpress.open("encoder.tflite")
better = enhance_with(photo, session)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from apps.photo import lut
from apps.photo.levels import Levels
from apps.photo.thumbnail import thumbnail
from numpy.typing import NDArray

TABLES_FILE = Path(__file__).with_name("weights") / "tables.npz"
"""The shipped tables: key `tables`, float16, shape (K + 1, size, size, size, 3)."""

Network = Callable[[NDArray[np.float32]], "NDArray[np.float32] | Mapping[str, NDArray[np.float32]]"]
"""The network input of a `Look` in, blend weights (1, K) out; a runtime's session returns them by name."""


@cache
def load_tables(path: Path = TABLES_FILE) -> NDArray[np.float32]:
    """Read the tables, shape (K + 1, size, size, size, 3)."""
    with np.load(path, allow_pickle=False) as saved:
        return np.asarray(saved["tables"], dtype=np.float32)


@dataclass(frozen=True)
class Look:
    """The app's view of a photo: its levels, and the network's input (1, 256, 256, 3), stretched."""

    levels: Levels
    network_input: NDArray[np.float32]


def look(photo: NDArray[np.uint8]) -> Look:
    """Shrink a photo, shape (height, width, 3), find its levels, and prepare the network's input."""
    small = thumbnail(photo)
    levels = Levels.of(small)
    stretched = levels.stretch(small[0].transpose(1, 2, 0))
    return Look(levels, np.ascontiguousarray(stretched[None]))


def enhance(
    photo: NDArray[np.uint8], weights: NDArray[np.float32], tables: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Enhance a photo with the blend weights that the network predicted for it.

    Args:
        photo: Shape (height, width, 3), sRGB bytes, any size.
        weights: Shape (K,) or (1, K).
        tables: As `lut.blend` wants them; the shipped ones by default.

    Returns:
        The enhanced photo in the same shape.
    """
    table = lut.blend(load_tables() if tables is None else tables, np.asarray(weights).reshape(-1))
    return lut.apply(table, photo, look(photo).levels)


def predict(photo: NDArray[np.uint8], network: Network) -> NDArray[np.float32]:
    """The blend weights of a photo, shape (K,), from any network or session with one output."""
    answer = network(look(photo).network_input)
    if isinstance(answer, Mapping):
        (answer,) = answer.values()
    return np.asarray(answer, dtype=np.float32).reshape(-1)


def enhance_with(photo: NDArray[np.uint8], network: Network) -> NDArray[np.uint8]:
    """Look at a photo with a network or session, and enhance the photo."""
    return enhance(photo, predict(photo, network))
