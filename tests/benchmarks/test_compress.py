"""Judging compression by hand-made numbers; rescaled networks; rows drawn from sorted data; the page."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from benchmarks.compress.judge import Bar, judge, judge_stacks
from benchmarks.compress.rows import OURS, MixedRow, Row, StackRow
from benchmarks.compress.stack import timed_again
from benchmarks.compress.table import promises, render, render_mixed, render_stacks
from benchmarks.networks.rescaled import SPAN, factors, mobilenet_v2_rescaled, resnet8_rescaled
from benchmarks.subjects import _drawn
from examples.cifar.networks import mobilenet_v2, resnet8

ROW = Row(
    "cifar_mobilenet_v2", "litert", OURS, "w8a8-static", 0.3, 0.4, 0.001, 30.0, 2000,
    top1=85.8, float_top1=86.0, drop=0.2, drop_ci95=(-0.1, 0.5), learning_s=600.0,
)  # fmt: skip
PEER = replace(ROW, tool="a peer", precision="int8", sqnr_db=28.0)


def _one(claim: str, *rows: Row) -> Bar:
    (found,) = [bar for bar in judge(rows) if claim in bar.claim]
    return found


def test_numbers_at_their_limits_are_met() -> None:
    bars = judge([ROW, PEER])
    assert [(bar.got, bar.limit) for bar in bars] == [(0.2, 0.2), (30.0, 30.0), (600.0, 600.0)]
    assert all(bar.met for bar in bars)


@pytest.mark.parametrize(
    ("claim", "change"),
    [("drop", {"drop": 0.21}), ("SQNR", {"sqnr_db": 29.99}), ("seconds", {"learning_s": 600.1})],
)
def test_one_number_beyond_its_limit_is_missed(claim: str, change: dict[str, float]) -> None:
    missed = [bar.claim for bar in judge([replace(ROW, **change), PEER]) if not bar.met]
    assert len(missed) == 1
    assert claim in missed[0]


def test_the_best_peer_counts_whatever_its_runtime_and_no_other_network_does() -> None:
    better = replace(PEER, target="onnxruntime", sqnr_db=31.5)
    stranger = replace(PEER, network="cifar_resnet8", sqnr_db=99.0)
    bar = _one("SQNR", ROW, PEER, better, stranger)
    assert (bar.limit, bar.met) == (33.5, False)


def test_without_peers_nothing_is_claimed_of_sqnr() -> None:
    assert not [bar for bar in judge([ROW]) if "SQNR" in bar.claim]


@pytest.mark.parametrize(("interval", "sure"), [((-0.1, 0.2), True), ((0.3, 0.9), True), ((0.1, 0.3), False)])
def test_an_interval_that_holds_the_limit_is_not_sure(interval: tuple[float, float], sure: bool) -> None:
    assert _one("drop", replace(ROW, drop_ci95=interval)).sure is sure


@pytest.mark.parametrize(("network", "limit"), [("cifar_mobilenet_v2", 1.5), ("cifar_resnet8", 0.7)])
def test_w4a8_has_a_limit_per_family(network: str, limit: float) -> None:
    row = replace(ROW, network=network, precision="w4a8", drop=limit + 0.01)
    bar = _one("W4A8", row)
    assert (bar.limit, bar.met) == (limit, False)


def test_w4_promises_size_and_drop() -> None:
    bars = judge([replace(ROW, precision="w4", size_ratio=0.161, drop=0.7)])
    assert [(bar.got, bar.limit, bar.met) for bar in bars] == [(0.161, 0.16, False), (0.7, 0.7, True)]


def test_a_rescaled_network_promises_one_point_and_no_more() -> None:
    rescaled = replace(ROW, network="cifar_resnet8_rescaled", drop=1.0)
    bars = judge(
        [rescaled, replace(rescaled, precision="w8a8-fast"), replace(PEER, network=rescaled.network)]
    )
    assert [(bar.got, bar.limit, bar.met) for bar in bars] == [(1.0, 1.0, True)]


def test_peers_and_unlabelled_rows_promise_no_accuracy() -> None:
    assert judge([PEER]) == ()
    assert judge([replace(ROW, drop=None, drop_ci95=None, learning_s=None)]) == ()


def test_factors_span_their_whole_range() -> None:
    found = factors(17, torch.Generator().manual_seed(0))
    assert float(found.max() / found.min()) == pytest.approx(SPAN, rel=1e-5)


@pytest.mark.parametrize(
    ("rescaled", "original"), [(resnet8_rescaled, resnet8), (mobilenet_v2_rescaled, mobilenet_v2)]
)
def test_rescaling_keeps_the_function(rescaled, original) -> None:  # type: ignore[no-untyped-def]
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got, wanted = rescaled()[0](x), original()[0](x)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_rows_of_sorted_data_are_drawn_from_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "sorted.parquet"
    parquet.write_table(arrow.table({"label": np.repeat(np.arange(10), 100)}), path)
    found = _drawn(path, "label", 200)
    assert sorted(set(found)) == list(range(10))
    assert found == _drawn(path, "label", 200)


def test_the_page_shows_ours_peers_and_misses() -> None:
    missed = Bar("W8A8: drop", ROW.network, "litert", 0.31, 0.2, met=False, sure=False)
    text = render([ROW, PEER], [missed])
    assert "| `w8a8-static` | 30.0 dB | 0.20 (-0.10 to 0.50) | LiteRT 0.300x | LiteRT 0.40x |" in text
    assert "| a peer |" in text
    assert "**missed**: 0.31, wanted at most 0.2; the interval holds the limit" in text


def test_a_promise_is_shown_once_at_its_worst_runtime() -> None:
    kept = Bar("W4: size over float", ROW.network, "litert", 0.15, 0.16, met=True)
    text = promises([kept, replace(kept, target="onnxruntime", got=0.17, met=False)])
    assert text.count("W4: size") == 1
    assert "ONNX Runtime, the worst | **met in 1 of 2**: 0.17, wanted at most 0.16" in text


def _stack(step: str, target: str, **fields: Any) -> StackRow:
    given = {"multiply_accumulates": 0.5, "size_ratio": 0.5, "latency_ratio": None, "seconds": 1.0, **fields}
    return StackRow("resnet56", "2x", step, target, **given)


STACK = [
    _stack("prune", "litert", latency_ratio=0.5),
    _stack("prune", "executorch", latency_ratio=0.62),
    _stack("prune", "onnxruntime", latency_ratio=0.9),
    _stack("fine-tune", "litert", top1=86.0, drop=0.3, drop_ci95=(0.0, 0.6)),
    _stack("w8a8-static", "litert", latency_ratio=0.36, size_ratio=0.15, drop=1.0, drop_ci95=(0.4, 1.6)),
]


def test_a_stack_is_judged_by_two_runtimes_pruned_and_by_each_quantised() -> None:
    found = {bar.claim: (bar.got, bar.met) for bar in judge_stacks(STACK)}
    assert found == {
        "pruned at least 2x: drop": (0.3, True),
        "pruned at least 2x: latency in the second-fastest runtime": (0.62, True),
        "pruned at least 2x and W8A8: drop": (1.0, True),
        "pruned at least 2x and W8A8: latency over float": (0.36, False),
        "pruned at least 2x and W8A8: size over float": (0.15, True),
    }


def test_a_stack_of_another_network_promises_nothing() -> None:
    assert judge_stacks([replace(row, network="resnet8") for row in STACK]) == ()


def test_pruned_latencies_come_from_the_second_press() -> None:
    again = [replace(row, latency_ratio=0.4) for row in STACK if row.step == "prune"]
    found = {(row.step, row.target): row.latency_ratio for row in timed_again(STACK, again)}
    assert found["prune", "onnxruntime"] == found["fine-tune", "litert"] == 0.4
    assert found["w8a8-static", "litert"] == 0.36
    with pytest.raises(RuntimeError, match="pruned otherwise"):
        list(timed_again(STACK, [replace(row, multiply_accumulates=0.4) for row in again]))


def test_the_page_of_stacks_has_a_line_per_step() -> None:
    text = render_stacks(STACK, judge_stacks(STACK))
    assert "| prune | 0.50x | – | LiteRT 0.500x, ExecuTorch 0.500x, ONNX Runtime 0.500x |" in text
    assert "| fine-tune | 0.50x | 86.00 %, 0.30 (0.00 to 0.60) | LiteRT 0.500x | as before |" in text


def test_rows_survive_being_written() -> None:
    row = STACK[3]
    assert StackRow.read(json.loads(json.dumps(asdict(row)))) == row
    assert Row.read(json.loads(json.dumps(asdict(ROW)))) == ROW


def test_a_mixed_press_is_a_line_that_names_what_it_broke() -> None:
    row = MixedRow(
        "resnet8", "mixed --max-size 75KB", (3, 10, 1), {"litert": 75_400}, {"litert": 0.241},
        {"litert": 0.5}, {"litert": "pass"}, 0.2, (-0.1, 0.5), 8000,
    )  # fmt: skip
    line = render_mixed([row]).strip().splitlines()[-1]
    assert line == (
        "| ResNet-8 | `mixed --max-size 75KB` | 3 / 10 / 1 | LiteRT 75 kB, 0.24x | LiteRT 0.50x | "
        "0.20 (-0.10 to 0.50) |"
    )
    broken = replace(row, layers=None, verdicts={"litert": "fail"})
    assert "`mixed --max-size 75KB` (LiteRT: fail) | 0 / all / 0 |" in render_mixed([broken])
    assert MixedRow.read(json.loads(json.dumps(asdict(row)))) == row
