"""Numbers as people read them."""

from __future__ import annotations

import math

SHARE = "share"


def quantity(value: float, unit: str, *, resolution: float | None = None) -> str:
    """A value with its unit: a share in points, anything else as it is.

    Args:
        value: in ``unit``.
        unit: "share", "dB", or anything to be put behind the number.
        resolution: a size that the digits must still show (the width of an interval, say).
    """
    return f"{digits(value, unit, resolution=resolution)} {name(unit)}".rstrip()


def digits(value: float, unit: str, *, resolution: float | None = None) -> str:
    """The number of `quantity` without its unit; never "-0.0"."""
    factor = 100.0 if unit == SHARE else 1.0
    size = abs(resolution if resolution is not None else value) * factor
    if 0 < size < 1e-4:
        return f"{value * factor:.1e}" if value else "0"
    places = 1 if unit == SHARE else 2
    if 0 < size < 0.2:
        places = max(places, 1 - math.floor(math.log10(size)))
    text = f"{value * factor:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def name(unit: str) -> str:
    """The unit behind a difference: shares differ by points."""
    return "points" if unit == SHARE else unit


def about(count: float) -> int:
    """A count rounded up to two significant digits."""
    if count < 10:
        return max(1, math.ceil(count))
    step = int(10 ** (math.floor(math.log10(count)) - 1))
    return math.ceil(count / step) * step


def size(size_bytes: float) -> str:
    """Bytes as B, kB, MB or GB (powers of ten, as stores and disks count)."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    if size_bytes < 999_500:
        return f"{size_bytes / 1e3:.3g} kB"
    if size_bytes < 9_999_500_000:
        return f"{size_bytes / 1e6:,.2f} MB"
    return f"{size_bytes / 1e9:,.1f} GB"


def equal_share(share: float) -> str:
    """A share of equal outputs with two places; ``100.00%`` only where all are equal."""
    text = f"{share:.2%}"
    return "99.99%" if text == "100.00%" and share < 1 else text


def apart(largest: float) -> str:
    """How far real outputs are from those they should be: ``±1.2e-05``, or ``equal``."""
    return f"±{largest:.1e}" if largest else "equal"


def duration(seconds: float) -> str:
    """Seconds as µs, ms or s with three digits."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"
