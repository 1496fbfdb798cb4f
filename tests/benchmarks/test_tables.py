"""The README's tables: rendered from results, idempotent, checked."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import tables
from benchmarks.tables import BEGIN, END, read_results, render, replaced, table

ROOT = Path(__file__).parents[2]


def _variant(*, tied: bool, equal: float) -> dict[str, Any]:
    pair = {"pictures": 7, "elements": 70, "within_1_lsb": 1.0, "max_lsb": 1}
    return {
        "tied": tied,
        "agreements": [
            {"first": "litert", "second": "reference", "equal": equal, **pair},
            {"first": "litert", "second": "executorch", "equal": equal / 2, **pair},
        ],
        "sqnr_float_db": {"litert": 30.0, "executorch": 29.5},
        "metric": {
            "litert": {"name": "top1", "value": 0.9, "float_value": 0.91},
            "executorch": {"name": "top1", "value": 0.89, "float_value": 0.91},
        },
    }


RESULT = {
    "benchmark": "same_integers",
    "networks": [
        {
            "network": "cifar_resnet8",
            "trained": True,
            "variants": [_variant(tied=False, equal=0.5), _variant(tied=True, equal=1.0)],
        }
    ],
}


def test_table() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_worst_runtime_is_what_is_shown() -> None:
    row = render([RESULT]).strip().splitlines()[-1]
    assert row.split(" | ") == [
        "| ResNet-8, CIFAR-10",
        "100 %",
        "50 %",
        "50 %, 25 %",
        "29.50 / 29.50 dB",
        "top1 89.00 / 89.00 / 91.00 % |",
    ]


def test_replacing_twice_changes_nothing() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replaced(page, "new\n", "page")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert replaced(once, "new\n", "page") == once


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md needs one line <!-- results:begin -->"):
        replaced(page, "", "README.md")


def test_other_results_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RESULT))
    (tmp_path / "b.json").write_text('{"benchmark": "something else"}')
    (tmp_path / "c.json").write_text("[1]")
    assert read_results(tmp_path) == [RESULT]


def test_check_does_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps(RESULT))
    page = tmp_path / "README.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    arguments = ["tables", "--results", str(tmp_path), "--page", str(page)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert tables.main() == 1
    assert page.read_text() == f"{BEGIN}\n{END}\n"
    assert "python -m benchmarks.tables" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", arguments)
    assert tables.main() == 0
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert tables.main() == 0


def test_the_committed_results_are_in_the_readme() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert replaced(page, render(read_results(ROOT / "results")), "README.md") == page


def _row(tool: str, precision: str, **fields: Any) -> dict[str, Any]:
    return {"tool": tool, "precision": precision, "sqnr_db": 30.0, "drop": 0.1, "size_ratio": 0.25, **fields}


def test_few_bits_show_the_best_peer_and_the_largest_file() -> None:
    rows = [
        _row("pocketpress", "w8a8-static", sqnr_db=35.0),
        _row("a peer", "int8", sqnr_db=31.0, drop=0.9),
        _row("another", "int8", sqnr_db=12.0, drop=0.3),
        _row("pocketpress", "w4a8", drop=0.2, size_ratio=0.15),
        _row("pocketpress", "w4a8", drop=0.2, size_ratio=0.17),
    ]
    found = {"benchmark": "compress", "networks": [{"network": "cifar_resnet20", "rows": rows}]}
    line = render([found]).strip().splitlines()[-1]
    assert line == "| ResNet-20, CIFAR-10 | 35.0 / 31.0 dB | 0.10 / 0.30 | 0.20; 0.170x | – |"


def test_stacks_show_the_worst_runtime() -> None:
    step = {"step": "float", "multiply_accumulates": 0.5, "top1": 86.0, "drop_ci95": [-0.2, 0.4]}
    rows = [
        {**step, "size_ratio": 0.14, "latency_ratio": 0.2, "drop": 0.1},
        {**step, "size_ratio": 0.15, "latency_ratio": 0.4, "drop": 0.1},
    ]
    line = render([{"benchmark": "stack", "runs": [{"recipe": "2x", "rows": rows}]}]).strip().splitlines()[-1]
    assert line == "| 2x | float | 0.50x | 0.150x | 0.20x to 0.40x | 86.00 % (0.10; -0.20 to 0.40) |"
