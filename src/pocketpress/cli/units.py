"""Sizes, times, shares and shapes as people type them."""

from __future__ import annotations

import math
import re

from pocketpress.core.errors import UserError
from pocketpress.core.program.state import State

_SIZES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_PERIODS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def shapes(texts: list[str] | None) -> tuple[tuple[int, ...], ...] | None:
    """``1,3,224,224`` (or with x) per input."""
    if not texts:
        return None
    return tuple(_shape(text) for text in texts)


def _shape(text: str) -> tuple[int, ...]:
    parts = re.split(r"[,x]", text.strip("()[] "))
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UserError("--input is not a shape", got=text, allowed="positive integers, as 1,3,224,224")
    return tuple(int(part) for part in parts)


def states(texts: list[str] | None) -> tuple[State, ...]:
    """``cache_in=cache_out`` per state."""
    found = []
    for text in texts or ():
        taken, _, given = (part.strip() for part in text.partition("="))
        if not taken or not given:
            raise UserError("--state is not a pair of names", got=text, allowed="INPUT=OUTPUT, as h_in=h_out")
        found.append(State(taken, given))
    return tuple(found)


def lengths(text: str | None) -> tuple[int, ...]:
    """``32,64,128``."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError("--bucket is not a list of lengths", got=text, allowed="whole numbers, as 32,64,128")
    return tuple(int(part) for part in parts)


def drop(text: str | None) -> float | None:
    """``1%`` is 0.01; a plain number is in the metric's own unit."""
    if text is None:
        return None
    share = text.strip().endswith("%")
    value = _number(text.strip().removesuffix("dB").rstrip("% "), "--max-drop", text, "1% or 0.3")
    return value / 100 if share else value


def size(text: str | None) -> int | None:
    """``2MB`` in bytes."""
    return None if text is None else int(_with_unit(text, "--max-size", _SIZES, "2MB, 900KB, 500000B"))


def duration(text: str | None) -> float | None:
    """``20ms`` in seconds."""
    return None if text is None else _with_unit(text, "--max-latency", _TIMES, "20ms, 0.02s")


def period(text: str | None, option: str) -> float | None:
    """``5m`` in seconds."""
    return None if text is None else _with_unit(text, option, _PERIODS, "30s, 5m, 1h")


def _with_unit(text: str, option: str, units: dict[str, float] | dict[str, int], allowed: str) -> float:
    match = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]+)\s*", text)
    if match is None or match.group(2).lower() not in units:
        raise UserError(f"{option} needs a number with a unit", got=text, allowed=allowed)
    return _number(match.group(1), option, text, allowed) * units[match.group(2).lower()]


def _number(text: str, option: str, got: str, allowed: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise UserError(f"{option} is not a number", got=got, allowed=allowed)
    return value
