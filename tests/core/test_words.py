"""Numbers as people read them."""

from __future__ import annotations

import pytest

from pocketpress.core.words import about, apart, duration, equal_share, quantity, size


@pytest.mark.parametrize(
    ("value", "unit", "resolution", "text"),
    [
        (0.003, "share", None, "0.3 points"),
        (0.0301, "share", None, "3.0 points"),
        (0.0009, "share", 0.0017, "0.09 points"),
        (-0.00001, "share", 0.02, "0.0 points"),
        (0.0234, "dB", 0.085, "0.023 dB"),
        (25.12345, "dB", None, "25.12 dB"),
        (9.6e-7, "", 2.8e-7, "9.6e-07"),
        (1234.5, "", None, "1,234.50"),
    ],
)
def test_quantity(value: float, unit: str, resolution: float | None, text: str) -> None:
    assert quantity(value, unit, resolution=resolution) == text


@pytest.mark.parametrize(("count", "rounded"), [(0.2, 1), (7.1, 8), (99.1, 100), (1234, 1300), (4900, 4900)])
def test_about_rounds_up_to_two_digits(count: float, rounded: int) -> None:
    assert about(count) == rounded


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (12, "12 B"),
        (1500, "1.5 kB"),
        (999_501, "1.00 MB"),
        (3_474_872, "3.47 MB"),
        (9_999_000_000, "9,999.00 MB"),
        (25_276_510_000, "25.3 GB"),
    ],
)
def test_size(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.2e-6, "4.2 µs"), (0.00382, "3.82 ms"), (0.9996, "1 s"), (4000, "4,000 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100.00%"), (1 - 1e-7, "99.99%"), (0.99754, "99.75%"), (0.0, "0.00%")]
)
def test_only_all_equal_is_a_hundred_percent(share: float, text: str) -> None:
    assert equal_share(share) == text


@pytest.mark.parametrize(("largest", "text"), [(0.0, "equal"), (1.24e-5, "±1.2e-05")])
def test_apart(largest: float, text: str) -> None:
    assert apart(largest) == text
