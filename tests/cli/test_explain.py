"""`pocketpress explain`: a record in, a table or JSON out, nothing run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import Press

from pocketpress.cli.explain import bits
from pocketpress.core.record import LayerCost, LayerError, RecipeEntry, Record, Source
from pocketpress.pipeline.explain import explain

COSTS = (
    LayerCost(name="x", op="input", activation_bits=8, noise=0.0, noise_share=0.0),
    LayerCost(
        name="stem", op="conv2d", weight_bits=8, activation_bits=8, size_bytes=100,
        noise=1e-4, noise_share=0.1,
    ),
    LayerCost(
        name="body", op="conv2d", weight_bits=4, activation_bits=8, size_bytes=600,
        noise=6e-4, noise_share=0.6,
    ),
    LayerCost(
        name="head", op="linear", weight_bits=16, activation_bits=32, size_bytes=300,
        noise=3e-4, noise_share=0.3, reason="mixed precision",
    ),
)  # fmt: skip


def small(costs: tuple[LayerCost, ...] = COSTS) -> Record:
    return Record(
        pocketpress="0.1.0",
        source=Source(reference="net.py:model"),
        recipe=RecipeEntry(precision="mixed"),
        verdict="pass",
        costs=costs,
        layers=(LayerError(name="stem", sqnr_db=20.0), LayerError(name="body", sqnr_db=31.5)),
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    small().write(tmp_path / "record.json")
    return tmp_path


def test_orders_by_hand() -> None:
    def names(by: str | None) -> list[str]:
        return [line.cost.name for line in explain(small(), by=by).lines]

    assert names(None) == names("noise") == ["body", "head", "stem", "x"]
    assert names("size") == ["body", "head", "stem", "x"]
    assert names("sqnr")[:2] == ["stem", "body"]
    assert names("order") == ["x", "stem", "body", "head"]


def test_sums_and_shares_by_hand() -> None:
    found = explain(small(), top=2)
    assert (found.layers, found.size_bytes, found.weight_bits) == (4, 1000, {4: 1, 8: 1, 16: 1})
    assert found.noise == pytest.approx(1e-3)
    assert [line.size_share for line in found.lines] == [0.6, 0.3]
    assert [line.sqnr_db for line in found.lines] == [31.5, None]


def test_without_noise_the_largest_come_first() -> None:
    stored = tuple(cost.model_copy(update={"noise": None, "noise_share": None}) for cost in COSTS)
    found = explain(small(stored))
    assert found.noise is None and found.lines[0].cost.name == "body"


def test_a_table_for_people(pocketpress: Press, written: Path) -> None:
    done = pocketpress("explain", written / "record.json", "--top", "2")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[1].split()[:7] == ["body", "conv2d", "w4a8", "600", "B", "60.0%", "60.0%"]
    assert "w16 float" in lines[2] and "mixed precision" in lines[2]
    assert "stem" not in done.out and "2 of 4 layers" in done.out and "-30.0 dB" in done.out


def test_json_of_a_folder(pocketpress: Press, written: Path) -> None:
    done = pocketpress("explain", written, "--top", "0", "--json")
    data = json.loads(done.out)
    assert data["layers"] == len(data["costliest"]) == 4
    assert data["costliest"][0] | {"name": "body", "sqnr_db": 31.5, "size_share": 0.6} == data["costliest"][0]


def test_one_line_for_what_cannot_be_explained(pocketpress: Press, written: Path) -> None:
    assert pocketpress("explain", written / "none.json").line.startswith("cannot read record")
    assert pocketpress("explain", written, "--by", "colour").line.startswith("layers cannot be sorted so")
    small(()).write(written / "record.json")
    done = pocketpress("explain", written)
    assert done.code == 2 and done.line.startswith("the record has no layers")


@pytest.mark.parametrize(
    ("weights", "activations", "shown"),
    [(4, 8, "w4a8"), (None, 8, "a8"), (16, 32, "w16 float"), (8, None, "w8"), (None, 32, "float")],
)
def test_bits(weights: int | None, activations: int | None, shown: str) -> None:
    assert bits(weights, activations) == shown


def test_records_of_before_load() -> None:
    text = small().to_json()
    old = {key: value for key, value in json.loads(text).items() if key != "costs"}
    assert Record.from_json(json.dumps(old)).costs == ()
