"""Messages have up to four parts on one line; the tree is split by who must act."""

from __future__ import annotations

import pytest

from pocketpress.core import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SourceError, 2),
        (errors.DataError, 2),
        (errors.ArtifactError, 2),
        (errors.UnsupportedError, 2),
        (errors.MissingExtraError, 2),
        (errors.CheckFailed, 3),
        (errors.DeviceError, 4),
        (errors.TrustError, 5),
        (errors.InternalError, 70),
        (errors.PocketpressError, 70),
    ],
)
def test_exit_codes(kind: type[errors.PocketpressError], code: int) -> None:
    assert kind("x").exit_code == code
    assert issubclass(kind, errors.PocketpressError)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "unknown target"),
        ({"got": "tflite"}, "unknown target: got tflite"),
        ({"got": 0}, "unknown target: got 0"),
        ({"allowed": ["a", "b"]}, "unknown target; allowed: a, b"),
        ({"allowed": ("a", "b")}, "unknown target; allowed: a, b"),
        ({"got": (1, 2), "allowed": (1, 3)}, "unknown target: got (1, 2); allowed: (1, 3)"),
        ({"got": "x", "allowed": "y", "next_step": "do z"}, "unknown target: got x; allowed: y; do z"),
    ],
)
def test_four_parts(parts: dict[str, object], text: str) -> None:
    assert str(errors.UserError("unknown target", **parts)) == text  # type: ignore[arg-type]


def test_always_one_line() -> None:
    error = errors.UserError("two\nlines", got="a\n  b", next_step="c\td")
    assert str(error) == "two lines: got a b; c d"
    assert (error.what, error.got, error.next_step) == ("two\nlines", "a\n  b", "c\td")
