"""Log-mel features of speech, in NumPy.

A second of sound at 8 kHz becomes 49 frames of 40 numbers: a Hann window of 40 ms every 20 ms, the power
spectrum, 40 triangular filters at equal distances on the mel scale (O'Shaughnessy 1987) between 60 and
3,800 Hz, the logarithm.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RATE_HZ = 8000
WINDOW, HOP = 320, 160
"""Samples of a frame, and between the starts of two."""
BANDS, FRAMES = 40, 49
SAMPLES = WINDOW + (FRAMES - 1) * HOP
"""Of 49 frames: 8000, a second."""

_LOWEST_HZ, _HIGHEST_HZ, _BINS = 60.0, 3800.0, 512
_FLOOR = 1e-5
"""Power below which everything is silence; full scale has a power of about 100."""
_CENTRE, _SPREAD = -4.0, 4.0
"""Bring the logarithms near to [-2, 2]; the same numbers for all sounds, so that a stream can use them."""


def log_mel(sound: Array) -> Array:
    """Features of every whole frame.

    Args:
        sound: samples in [-1, 1] at 8 kHz, shape (n,), at least one window long.

    Returns:
        Shape (1 + (n - 320) // 160, 40).
    """
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW), _BINS)
    power = (np.abs(spectrum) ** 2) @ _filters()
    return ((np.log(power + _FLOOR) - _CENTRE) / _SPREAD).astype(np.float32)


def one_second(sound: Array, start: int | None = None) -> Array:
    """Exactly 8000 samples: the recording in silence, or its middle.

    Args:
        sound: shape (n,).
        start: where the recording begins in the second; by default it lies in the middle.
    """
    if len(sound) >= SAMPLES:
        before = (len(sound) - SAMPLES) // 2
        return sound[before : before + SAMPLES]
    begin = (SAMPLES - len(sound)) // 2 if start is None else start
    placed = np.zeros(SAMPLES, np.float32)
    placed[begin : begin + len(sound)] = sound
    return placed


@cache
def _filters() -> NDArray[np.float64]:
    """Triangles, shape (257, 40)."""
    edges = _hertz(np.linspace(_mel(_LOWEST_HZ), _mel(_HIGHEST_HZ), BANDS + 2))
    bins = np.arange(_BINS // 2 + 1) * RATE_HZ / _BINS
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - low) / (middle - low)
    falling = (high - bins[:, None]) / (high - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))
