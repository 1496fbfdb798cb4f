"""The table of targets where it is wider than the terminal."""

from __future__ import annotations

from rich.console import Console
from tests.report.sample import record

from pocketpress.cli.show import target_table

LONG = "version-slim-320_without_postprocessing_and_with_a_name_of_many_words"


def test_long_names_are_folded_and_numbers_stay_whole() -> None:
    entries = [t.model_copy(update={"artifact": f"{LONG}.tflite"}) for t in record().targets]
    console = Console(width=130)
    with console.capture() as capture:
        console.print(target_table(entries))
    text = capture.get()
    assert "…" not in text
    assert "3.60 MB" in text and "0.26x" in text and "onnxruntime" in text
    assert all(part in text for part in ("of float", "speed-up", "not executed here"))
