"""Synthetic camera errors: exposure, white balance, contrast and saturation from one distribution.

The errors are applied pixel by pixel in the order of a camera: gains in linear light with a highlight roll-
off, then contrast and saturation on the sRGB-encoded values, then rounding to 8 bits. The gains alone are
invertible (the roll-off squeezes highlights and never cuts them); information is lost only by rounding and
where a contrast or saturation above 1 pushes a value out of range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class ErrorDistribution:
    """The distribution of the errors: every field is drawn uniformly from its interval, independently."""

    exposure_stops: Interval = (-3.0, 2.0)
    """Gain of all channels in linear light as a power of two; phones underexpose more often."""
    temperature_stops: Interval = (-1.0, 1.0)
    """Gain of red, and its inverse for blue, as a power of two: positive is too warm."""
    tint_stops: Interval = (-0.4, 0.4)
    """Gain of green as a power of two: positive is too green."""
    contrast: Interval = (0.5, 1.2)
    """Slope of the encoded values around mid-grey (0.5)."""
    saturation: Interval = (0.4, 1.3)
    """Distance of every channel from its luma, 1 is unchanged."""

    def __post_init__(self) -> None:
        """Refuse an interval that is empty, or a contrast or saturation that is not positive."""
        for name, (low, high) in vars(self).items():
            if not low <= high:
                raise ValueError(
                    f"{name}: got the interval ({low}, {high}), its first number must be the smaller"
                )
        for name in ("contrast", "saturation"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, both ends must be above 0")

    def draw(self, rng: np.random.Generator) -> PhotoError:
        """Draw one error; the same generator state gives the same error."""
        values = {name: float(rng.uniform(low, high)) for name, (low, high) in vars(self).items()}
        return PhotoError(**values)


@dataclass(frozen=True)
class PhotoError:
    """One error, the same for all pixels of a photo; the default changes nothing. Units as above."""

    exposure_stops: float = 0.0
    temperature_stops: float = 0.0
    tint_stops: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0

    @property
    def gains(self) -> NDArray[np.float32]:
        """The gains of red, green and blue in linear light, shape (3,)."""
        stops = self.exposure_stops + np.array(
            [self.temperature_stops, self.tint_stops, -self.temperature_stops]
        )
        return np.exp2(stops).astype(np.float32)


STANDARD_ERRORS = ErrorDistribution()
"""The distribution that the shipped network was trained and measured on."""

SHOULDER = 0.6
"""Linear value above which an overexposed channel is rolled off instead of cut."""


def srgb_to_linear(encoded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Decode sRGB values in [0, 1] to linear light (IEC 61966-2-1)."""
    high = ((encoded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(encoded <= 0.04045, encoded / np.float32(12.92), high).astype(np.float32, copy=False)


def linear_to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Encode linear light in [0, 1] as sRGB (IEC 61966-2-1)."""
    high = np.float32(1.055) * np.maximum(linear, 0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), high).astype(np.float32, copy=False)


def roll_off(linear: NDArray[np.float32], gains: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply by gains and squeeze [SHOULDER, gain] into [SHOULDER, 1] where a gain is above 1.

    The curve is the identity below the shoulder, continuous in value and slope there, strictly increasing,
    and maps the gain itself (what white became) to 1.

    Args:
        linear: Linear light in [0, 1], shape (..., 3).
        gains: Shape (3,), positive.
    """
    exposed = linear * gains
    span = np.maximum(gains - np.float32(SHOULDER), np.float32(1 - SHOULDER))
    ratio = span / np.float32(1 - SHOULDER)
    position = np.maximum(exposed - np.float32(SHOULDER), 0) / span
    squeezed = SHOULDER + np.float32(1 - SHOULDER) * ratio * position / (1 + position * (ratio - 1))
    return np.where(exposed > SHOULDER, squeezed, exposed).astype(np.float32, copy=False)


def degrade_values(encoded: NDArray[np.float32], error: PhotoError) -> NDArray[np.float32]:
    """Apply an error to sRGB values in [0, 1], shape (..., 3); the result is in [0, 1] and not rounded."""
    out = linear_to_srgb(roll_off(srgb_to_linear(encoded), error.gains))
    out = (out - np.float32(0.5)) * np.float32(error.contrast) + np.float32(0.5)
    luma = (out @ LUMA)[..., None]
    return np.clip(luma + (out - luma) * np.float32(error.saturation), 0, 1).astype(np.float32, copy=False)


def degrade(photo: NDArray[np.uint8], error: PhotoError) -> NDArray[np.uint8]:
    """Apply an error to a photo, shape (height, width, 3), and round to 8 bits as a camera would."""
    values = degrade_values(photo.astype(np.float32) / np.float32(255), error)
    rounded: NDArray[np.float32] = np.rint(values * np.float32(255))
    return rounded.astype(np.uint8)
