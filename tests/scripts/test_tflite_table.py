"""The page on TFLite files names what the tests cover."""

from __future__ import annotations

from scripts.tflite_table import main


def test_the_page_is_up_to_date() -> None:
    assert main(["--check"]) == 0
