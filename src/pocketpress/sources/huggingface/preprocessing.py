"""How images become the input, from a checkpoint's ``preprocessor_config.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pocketpress.core.errors import SourceError
from pocketpress.core.signature import Preprocessing

BILINEAR = 2
"""Of Pillow, and so of ``resample``; what Pocketpress resizes with."""
_LARGEST_SIDE = 16384
_WHOLE_ABOVE = 384
"""ConvNeXt's processor crops below this size and resizes to a square from it on."""


@dataclass(frozen=True)
class ImageRecipe:
    """What a checkpoint says of its images.

    Attributes:
        prep: size and normalisation.
        reversed_channels: the network was trained on BGR.
        notes: what is done otherwise than the checkpoint says.
    """

    prep: Preprocessing
    reversed_channels: bool = False
    notes: tuple[tuple[str, str], ...] = ()


def image_recipe(config: Mapping[str, Any]) -> ImageRecipe:
    """Read an image processor's configuration.

    Raises:
        SourceError: a value that is malformed.
    """
    resize, crop = _sizes(config)
    normalise = config.get("do_normalize", False) is True
    mean = _numbers(config, "image_mean", 0.0) if normalise else (0.0, 0.0, 0.0)
    std = _numbers(config, "image_std", 1.0) if normalise else (1.0, 1.0, 1.0)
    scale = number(config, "rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    if len(mean) != len(std) or min(std) <= 0 or scale <= 0:
        raise _malformed("image_mean and image_std", [mean, std])
    notes: list[tuple[str, str]] = []
    if config.get("do_resize") is True and config.get("resample", BILINEAR) != BILINEAR:
        reason = f"the checkpoint asks for filter {config['resample']}, images are resized bilinearly"
        notes.append(("resize", reason))
    prep = Preprocessing(resize=resize, crop=crop, mean=mean, std=std, scale=scale)
    return ImageRecipe(prep, config.get("do_flip_channel_order") is True, tuple(notes))


def with_size(prep: Preprocessing, height: int, width: int) -> Preprocessing:
    """The same for another input: the margin that is cropped away keeps its share."""
    if prep.resize is None or prep.crop is None:
        return replace(prep, resize=None, crop=(height, width))
    share = prep.resize / min(prep.crop)
    return replace(prep, resize=max(round(min(height, width) * share), height, width), crop=(height, width))


def _sizes(config: Mapping[str, Any]) -> tuple[int | None, tuple[int, int] | None]:
    """Shorter side before the crop, and the crop."""
    size = config.get("size") if config.get("do_resize", True) else None
    crop = config.get("crop_size") if config.get("do_center_crop", False) else None
    window = None if crop is None else _window(crop, "crop_size")
    if size is None:
        return None, window
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    if shortest is None:
        whole = _window(size, "size")
        if window is None:
            return None, whole
        return (min(whole), window) if min(whole) >= max(window) else (None, window)
    side = _side(shortest, "size")
    share = config.get("crop_pct")
    if share is not None and window is None:
        cut = number(config, "crop_pct", 1.0)
        inner = side < _WHOLE_ABOVE and 0 < cut < 1
        return (int(side / cut) if inner else None), (side, side)
    return (side, window) if window is not None else (side, None)


def _window(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, dict):
        if "height" not in value and "shortest_edge" in value:
            value = value["shortest_edge"]
        else:
            return _side(value.get("height"), name), _side(value.get("width"), name)
    side = _side(value, name)
    return side, side


def _side(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_SIDE:
        raise _malformed(name, value)
    return value


def number(config: Mapping[str, Any], name: str, default: float) -> float:
    """A finite number of a configuration.

    Raises:
        SourceError: it is none.
    """
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _malformed(name, value)
    return float(value)


def _numbers(config: Mapping[str, Any], name: str, default: float) -> tuple[float, ...]:
    values = config.get(name, [default] * 3)
    if not isinstance(values, (list, tuple)) or not 1 <= len(values) <= 4:
        raise _malformed(name, values)
    return tuple(number({name: value}, name, default) for value in values)


def _malformed(name: str, value: Any) -> SourceError:
    return SourceError(
        f"{name} of the checkpoint's image processor is malformed",
        got=str(value)[:80],
        next_step="give --preprocess after correcting preprocessor_config.json",
    )
