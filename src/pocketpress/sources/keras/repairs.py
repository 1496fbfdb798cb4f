"""What versions of Keras wrote into a layer's configuration, brought to what Keras 3 reads.

Each row of `REPAIRS` is one difference.  Keys of Keras 2 that Keras 3 lacks may be left out only with the
value that means what Keras 3 does; with any other value they stay, and Keras refuses the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]
Change = Callable[[Config, str], None]

FLOATS = frozenset({"float16", "bfloat16", "float32", "mixed_float16", "mixed_bfloat16"})
UNSET = {"module": "keras.initializers", "class_name": "Constant", "config": {"value": float("nan")},
         "registered_name": None}  # fmt: skip
"""Initial value of every weight: one that the file does not set is found by it."""


@dataclass(frozen=True)
class Repair:
    """One difference.

    Attributes:
        layers: class names; empty for all.
        key: of the configuration; a leading ``*`` stands for any beginning.
        change: is called with the configuration and the full key.
        why: for the reader.
    """

    layers: frozenset[str]
    key: str
    change: Change
    why: str


def repaired(class_name: str, config: Config) -> Config:
    """A configuration that Keras 3 reads, as a copy."""
    found = dict(config)
    for repair in REPAIRS:
        if repair.layers and class_name not in repair.layers:
            continue
        for key in [key for key in found if _matches(key, repair.key)]:
            repair.change(found, key)
    return found


def _matches(key: str, pattern: str) -> bool:
    return key.endswith(pattern[1:]) if pattern.startswith("*") else key == pattern


def drop(config: Config, key: str) -> None:
    """Leave the key out, whatever it says."""
    del config[key]


def drop_if(*neutral: Any) -> Change:
    """Leave the key out when its value is one of ``neutral``."""

    def change(config: Config, key: str) -> None:
        if any(config[key] == value and type(config[key]) is type(value) for value in neutral):
            del config[key]

    return change


def rename(to: str) -> Change:
    """The same value under another name, unless it is there."""

    def change(config: Config, key: str) -> None:
        config.setdefault(to, config.pop(key))

    return change


def put(value: Any) -> Change:
    """Another value."""

    def change(config: Config, key: str) -> None:
        config[key] = value

    return change


def only_item(config: Config, key: str) -> None:
    """A list of one becomes its item."""
    value = config[key]
    if isinstance(value, list) and len(value) == 1:
        config[key] = value[0]


def without_batch(config: Config, key: str) -> None:
    """``batch_input_shape`` of a layer that is not an input: the shape without the batch."""
    shape = config.pop(key)
    if isinstance(shape, list) and shape:
        config.setdefault("input_shape", shape[1:])


def as_float32(config: Config, key: str) -> None:
    """Types and policies of floating point become float32; integers stay, others are left for Keras."""
    value = config[key]
    if isinstance(value, dict):
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, dict) else None
    if isinstance(value, str) and value in FLOATS:
        config[key] = "float32"


def _rows(*rows: tuple[str, str, Change, str]) -> tuple[Repair, ...]:
    return tuple(Repair(frozenset(layers.split()), key, change, why) for layers, key, change, why in rows)


_SEPARABLE = "SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D"
_FACTORED = f"DepthwiseConv1D DepthwiseConv2D {_SEPARABLE}"
_GROUPED = f"{_FACTORED} Conv1DTranspose Conv2DTranspose Convolution2DTranspose"
_NORMS = "BatchNormalization LayerNormalization"

REPAIRS = _rows(
    ("InputLayer", "batch_input_shape", rename("batch_shape"), "named otherwise by Keras 2"),
    ("InputLayer", "ragged", drop_if(False, None), "not in every Keras 3"),
    ("", "batch_input_shape", without_batch, "Keras 2 wrote it into the first layer of a Sequential"),
    (_GROUPED, "groups", drop_if(1, None), "Keras 2 inherited it from Conv"),
    (_GROUPED, "filters", drop_if(None), "Keras 2 inherited it from Conv"),
    (_FACTORED, "kernel_initializer", drop, "inherited from Conv; these layers have no such weight"),
    (_FACTORED, "kernel_regularizer", drop, "the same"),
    (_FACTORED, "kernel_constraint", drop, "the same"),
    (_NORMS, "axis", only_item, "Keras 2 wrote a list"),
    (_NORMS, "fused", drop, "how it is computed, not what"),
    (_NORMS, "virtual_batch_size", drop, "for training"),
    (_NORMS, "renorm", drop_if(False), "for training"),
    (_NORMS, "renorm_clipping", drop, "for training"),
    (_NORMS, "renorm_momentum", drop, "for training"),
    (_NORMS, "rms_scaling", drop_if(False), "a layer of its own since Keras 3.9"),
    ("LeakyReLU", "alpha", rename("negative_slope"), "named otherwise by Keras 2"),
    ("MultiHeadAttention", "query_shape", drop, "found again when it is built"),
    ("MultiHeadAttention", "key_shape", drop, "the same"),
    ("MultiHeadAttention", "value_shape", drop, "the same"),
    ("", "*_regularizer", put(None), "for training"),
    ("", "*_constraint", put(None), "for training"),
    ("", "*_initializer", put(UNSET), "weights come from the file"),
    ("", "dtype", as_float32, "programs are float32"),
    ("", "autocast", drop, "follows from the type"),
)  # fmt: skip
