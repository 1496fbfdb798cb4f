"""The README's tables: rendered from results, idempotent, checked."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import tables
from benchmarks.summary import summary
from benchmarks.tables import BEGIN, END, read_results, render, replaced, table, updated

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
    (tmp_path / "docs").mkdir()
    pages = [tmp_path / name for name in tables.PAGES]
    for page in pages:
        page.write_text(f"{BEGIN}\n{END}\n")
    arguments = ["tables", "--results", str(tmp_path), "--pages", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert tables.main() == 1
    assert [page.read_text() for page in pages] == [f"{BEGIN}\n{END}\n"] * 2
    assert "docs/measured.md is out of date; run: python -m benchmarks.tables" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", arguments)
    assert tables.main() == 0
    monkeypatch.setattr(sys, "argv", [*arguments, "--check"])
    assert tables.main() == 0


def test_the_summary_has_a_line_per_network_with_the_worst_runtime_in_it() -> None:
    def runtime(size: int, ours: float, ratio: float, sqnr: float) -> dict[str, Any]:
        medians = {"ours": ours, "float_ours": 2.0, "float_stock": 4.0}
        return {
            "size_bytes": {"ours": size, "float_ours": 100},
            "latency": {name: {"median_s": value} for name, value in medians.items()},
            "versus": {"peer": {"ratio": ratio}},
            "fidelity": {"ours": {"sqnr_db": sqnr}, "peer": {"sqnr_db": sqnr - 3}},
        }

    result = {
        "benchmark": "press_vs_peers",
        "network": "cifar_resnet8",
        "host": {"cpu": "a processor"},
        "held_out_pictures": 10,
        "runtimes": [runtime(25, 1.0, 0.9, 30), runtime(30, 1.2, 1.1, 31)],
        "agreement": {"ours": [{"equal": 1.0}, {"equal": 0.99}], "peers": [{"equal": 0.25}]},
    }
    row = summary([RESULT, result]).splitlines()[2]
    assert row == (
        "| ResNet-8, CIFAR-10 | 0.25–0.30x | 0.50–0.60x | 0.90–1.10x | 99 % / 25 % | 30.0 / 28.0 dB |"
    )


@pytest.mark.parametrize("name", tables.PAGES)
def test_the_committed_results_are_in_the_pages(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert updated(page, name, read_results(ROOT / "results")) == page
