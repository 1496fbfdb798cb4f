"""From an image to the network's input: resize, centre crop, normalise, lay out.

The order and the rounding are those of the usual training pipelines: shorter side by antialiased bilinear
resize (the longer side truncated to whole pixels), centre crop, then ``(pixel * scale - mean) / std``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec

Pixels = npt.NDArray[np.uint8]

CHANNELS = (1, 3, 4)
MAX_SIDE = 16384
KEYS = ("resize", "crop", "mean", "std", "layout", "scale")
IMAGENET_RESIZE = 256 / 224
"""Shorter side over crop of the usual ImageNet evaluation."""

PRESETS = {
    "imagenet": Preprocessing(
        resize=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "unit": Preprocessing(),
    "minus1to1": Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
}


def parse_preprocessing(text: str, signature: Signature | None = None) -> Preprocessing:
    """Parse a preset, ``key=value`` pairs, or a preset followed by changes: ``imagenet,crop=192``.

    Presets are ``imagenet``, ``unit`` (pixels in [0, 1]) and ``minus1to1``; pairs look like
    ``resize=256,crop=224,mean=0.485:0.456:0.406,std=0.229:0.224:0.225,layout=nchw,scale=1/255``.  With a
    signature, what is left open (size, channels, layout) is taken from the network's input.

    Raises:
        DataError: an unknown key or preset, a value that is no number, or contradicting values.
    """
    items = [part.strip() for part in text.split(",") if part.strip()]
    prep = Preprocessing()
    if items and "=" not in items[0]:
        prep = _preset(items.pop(0), signature)
    changes: dict[str, Any] = {}
    for item in items:
        key, _, value = item.partition("=")
        if key not in KEYS or not value:
            raise _unknown(item)
        changes[key] = _value(key, value)
    for key, other in (("mean", "std"), ("std", "mean")):
        if key in changes and other not in changes:
            changes[other] = _spread(getattr(prep, other), len(changes[key]))
    try:
        prep = replace(prep, **changes)
    except ValueError as error:
        raise DataError("preprocessing is contradictory", got=text, next_step=str(error)) from None
    _check_sizes(prep)
    if signature is None or not signature.inputs:
        return prep
    return complete(prep, signature.inputs[0], fixed_layout="layout" in changes)


def _unknown(got: str) -> DataError:
    return DataError("unknown preprocessing", got=got, allowed=[*PRESETS, *(f"{key}=…" for key in KEYS)])


def _preset(name: str, signature: Signature | None) -> Preprocessing:
    if name not in PRESETS:
        raise _unknown(name)
    prep = PRESETS[name]
    if name == "imagenet" and signature is not None and signature.inputs:
        spec = signature.inputs[0]
        size = image_size(spec, guess_layout(spec))
        if size is not None:
            return replace(prep, crop=size[:2], resize=round(min(size[:2]) * IMAGENET_RESIZE))
    return prep


def _value(key: str, text: str) -> Any:
    try:
        if key == "layout":
            return text.lower()
        if key == "resize":
            return int(text)
        if key == "crop":
            height, _, width = text.partition("x")
            return int(height), int(width or height)
        if key == "scale":
            numerator, _, denominator = text.partition("/")
            return _finite(float(numerator) / float(denominator or 1))
        return tuple(_finite(float(v)) for v in text.split(":"))
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(
            f"preprocessing {key} is malformed", got=f"{key}={text}", next_step=str(error)
        ) from None


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """``values`` for another number of channels; unchanged when they differ from each other."""
    return values[:1] * channels if len(set(values)) == 1 else values


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


def _check_sizes(prep: Preprocessing) -> None:
    sides = [s for s in (prep.resize, *(prep.crop or ())) if s is not None]
    if any(not 1 <= side <= MAX_SIDE for side in sides):
        raise DataError("preprocessing size is out of range", got=sides, allowed=f"1 to {MAX_SIDE} pixels")
    if prep.resize is not None and prep.crop is not None and prep.resize < max(prep.crop):
        raise DataError(
            "resize is smaller than crop",
            got=f"resize={prep.resize}, crop={prep.crop}",
            next_step=f"give resize={max(prep.crop)} or more",
        )


def guess_layout(spec: TensorSpec) -> str:
    """The layout of an image input: "nhwc" when only the last axis can be channels."""
    shape = spec.shape
    return "nhwc" if len(shape) == 4 and shape[1] not in CHANNELS and shape[3] in CHANNELS else "nchw"


def image_size(spec: TensorSpec, layout: str) -> tuple[int, int, int] | None:
    """(height, width, channels) of an image input of batch 1, or None when it is no image."""
    if len(spec.shape) != 4 or spec.shape[0] != 1:
        return None
    _, a, b, c = spec.shape
    height, width, channels = (b, c, a) if layout == "nchw" else (a, b, c)
    return (height, width, channels) if channels in CHANNELS else None


def complete(prep: Preprocessing | None, spec: TensorSpec, *, fixed_layout: bool = True) -> Preprocessing:
    """Fill in size, channels and layout from the network's input; None means pixels in [0, 1].

    Raises:
        DataError: the input is no image, or the preprocessing contradicts it.
    """
    if prep is None or not fixed_layout:
        prep = replace(prep or Preprocessing(), layout=guess_layout(spec))
    size = image_size(spec, prep.layout)
    if size is None:
        raise DataError(
            f"input {spec.name} is not an image in {prep.layout}",
            got=spec.shape,
            allowed="(1, C, H, W) or, with layout=nhwc, (1, H, W, C) with 1, 3 or 4 channels",
            next_step="give finished inputs as .npz",
        )
    height, width, channels = size
    if prep.crop is not None and prep.crop != (height, width):
        raise DataError(
            "crop differs from the network's input",
            got=f"{prep.crop[0]}x{prep.crop[1]}",
            allowed=f"{height}x{width}",
        )
    mean, std = _spread(prep.mean, channels), _spread(prep.std, channels)
    if len(mean) != channels or len(std) != channels:
        raise DataError("mean and std differ from the network's channels", got=len(mean), allowed=channels)
    prep = replace(prep, crop=(height, width), mean=mean, std=std)
    _check_sizes(prep)
    return prep


def resize_and_crop(image: Pixels, prep: Preprocessing) -> Pixels:
    """Resize and centre-crop uint8 pixels (H, W, C)."""
    height, width = image.shape[:2]
    if prep.resize is not None:
        short, long = sorted((height, width))
        longer = max(prep.resize, int(prep.resize * long / short))
        image = _resized(image, *((prep.resize, longer) if height <= width else (longer, prep.resize)))
        return _centre(image, prep.crop) if prep.crop is not None else image
    return image if prep.crop is None else _resized(image, *prep.crop)


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    if image.shape[:2] == (height, width):
        return image
    single = image.shape[2] == 1
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if single else image))
    result = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return result[:, :, None] if single else result


def _centre(image: Pixels, crop: tuple[int, int]) -> Pixels:
    top = round((image.shape[0] - crop[0]) / 2)
    left = round((image.shape[1] - crop[1]) / 2)
    return image[top : top + crop[0], left : left + crop[1]]


def place(image: Pixels, prep: Preprocessing) -> Pixels:
    """Resized and cropped pixels, uint8, in the network's layout and without a batch axis."""
    pixels = resize_and_crop(image, prep)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if prep.layout == "nchw" else pixels)


def apply(image: Pixels, prep: Preprocessing, *, where: str = "image") -> npt.NDArray[np.float32]:
    """Turn one image into the network's input.

    Args:
        image: uint8, (H, W, C).
        prep: with as many channels in ``mean`` as the image has.
        where: name of the image, for messages.

    Returns:
        float32 (C, H, W), or (H, W, C) for the layout "nhwc".

    Raises:
        DataError: not uint8 of rank 3, or another number of channels.
    """
    if image.dtype != np.uint8 or image.ndim != 3:
        raise DataError(
            f"{where}: not an image", got=f"{image.dtype} {image.shape}", allowed="uint8 (H, W, C)"
        )
    if image.shape[2] != len(prep.mean):
        raise DataError(f"{where}: another number of channels", got=image.shape[2], allowed=len(prep.mean))
    pixels = place(image, prep)
    table = normalisation_table(prep)
    if prep.layout == "nchw":
        return np.stack([table[c][pixels[c]] for c in range(len(table))])
    return np.stack([table[c][pixels[..., c]] for c in range(len(table))], axis=-1)


def normalisation_table(prep: Preprocessing) -> npt.NDArray[np.float32]:
    """``(pixel * scale - mean) / std`` for pixels 0..255, (C, 256), computed in float64."""
    values = np.arange(256, dtype=np.float64)[None, :] * prep.scale
    table = (values - np.asarray(prep.mean)[:, None]) / np.asarray(prep.std)[:, None]
    return np.asarray(table, dtype=np.float32)


def as_image(value: Array, spec: TensorSpec, prep: Preprocessing | None) -> Pixels | None:
    """``value`` as uint8 (H, W, C) when it is pixels to preprocess, else None.

    uint8 arrays are pixels when preprocessing is declared; everything else is a finished input.
    """
    if prep is None or value.dtype != np.uint8:
        return None
    if value.ndim == 4 and value.shape[0] == 1:
        value = value[0]
    if value.ndim == 2 and len(prep.mean) == 1:
        value = value[:, :, None]
    if value.ndim != 3:
        return None
    channels = len(prep.mean)
    if value.shape[2] == channels and not (prep.layout == "nchw" and value.shape == spec.shape[1:]):
        return value
    return value.transpose(1, 2, 0) if value.shape[0] == channels else None


def to_pixels(value: Array, prep: Preprocessing | None, where: str) -> Pixels:
    """Undo the normalisation of a finished input; uint8 is returned as it is.

    Raises:
        DataError: no preprocessing is declared, or the values are not 256 normalised levels.
    """
    if value.dtype == np.uint8:
        return value
    if prep is None:
        raise DataError(
            f"{where}: raw pixels are wanted",
            got=value.dtype,
            allowed="uint8, or normalised values with a declared --preprocess",
        )
    shape = (-1, 1, 1) if prep.layout == "nchw" else (-1,)
    mean, std = (np.asarray(v, dtype=np.float64).reshape(shape) for v in (prep.mean, prep.std))
    levels = (value.astype(np.float64) * std + mean) / prep.scale
    pixels = np.rint(levels)
    if value.size and (np.abs(levels - pixels).max() > 0.02 or pixels.min() < 0 or pixels.max() > 255):
        raise DataError(
            f"{where}: values are not pixels normalised as declared",
            got=f"levels {levels.min():.2f} to {levels.max():.2f}",
            allowed="whole levels 0 to 255",
        )
    return pixels.astype(np.uint8)
