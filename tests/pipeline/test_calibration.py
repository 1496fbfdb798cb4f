"""Which samples find ranges, judge and teach: never the same for two of them where there are enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.builders import npz, signature
from tests.reference.networks import Net

from pocketpress.core.program import Program
from pocketpress.data import Dataset, load_dataset
from pocketpress.pipeline import calibration
from pocketpress.pipeline.calibration import (
    Calibration,
    calibration_count,
    draw,
    feeds_hash,
    learnable,
    sample_bytes,
)
from pocketpress.pipeline.options import PressOptions

NETWORK = signature((1, 2, 3, 3))


def program(side: int = 3) -> Program:
    net = Net()
    return net.build(net.conv(net.input(1, 2, side, side), 4, 1))


def numbered(folder: Path, count: int) -> Dataset:
    """Sample i is full of i."""
    values = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, 2, 3, 3))
    return load_dataset(str(npz(folder / f"{count}.npz", x=values)), NETWORK)


def options(precision: str = "w8a8-static", **given: Any) -> PressOptions:
    return PressOptions("net.py:model", data="x.npz", precision=precision, **given)


def numbers(feeds: list[dict[str, Any]]) -> set[int]:
    return {int(feed["x"].flat[0]) for feed in feeds}


def parts(drawn: Calibration) -> tuple[set[int], set[int], set[int]]:
    return numbers(drawn.ranges), numbers(drawn.judges), numbers(drawn.learning)


def test_with_many_samples_nobody_judges_what_it_was_taught(tmp_path: Path) -> None:
    ranges, judges, learning = parts(draw(numbered(tmp_path, 9000), options(), program()))
    assert len(ranges) == 512 and len(judges) == 256
    assert not judges & ranges and not judges & learning
    assert learning > ranges and 512 + 900 < len(learning) <= 512 + 1024


def test_without_learning_nothing_is_read_for_it(tmp_path: Path) -> None:
    drawn = draw(numbered(tmp_path, 9000), options("w8a8-fast"), program())
    assert drawn.learning == [] and len(drawn.ranges) == 512 and len(drawn.judges) > 200


def test_few_samples_judge_in_turn(tmp_path: Path) -> None:
    """128 find the ranges; every fourth of them judges, the others teach."""
    ranges, judges, learning = parts(draw(numbered(tmp_path, 128), options(), program()))
    assert len(ranges) == 128 and len(judges) == 32 and len(learning) == 96
    assert judges < ranges and not judges & learning
    ranges, judges, learning = parts(draw(numbered(tmp_path, 3), options(), program()))
    assert (ranges, len(judges), len(learning)) == ({0, 1, 2}, 1, 2)


def test_without_learning_all_of_few_samples_judge(tmp_path: Path) -> None:
    ranges, judges, _ = parts(draw(numbered(tmp_path, 20), options("w8a8-fast"), program()))
    assert ranges == judges == set(range(20))


def test_judges_are_spread_over_data_stored_by_class(tmp_path: Path) -> None:
    judges = sorted(parts(draw(numbered(tmp_path, 9000), options(), program()))[1])
    assert judges[0] < 300 and judges[-1] > 8700 and max(np.diff(judges)) < 300


def test_of_a_stream_the_next_samples_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stream.py").write_text(
        "import numpy as np\n\n\ndef feed():\n"
        "    for i in range(2000):\n        yield np.full((2, 3, 3), i, np.float32)\n"
    )
    monkeypatch.chdir(tmp_path)
    data = load_dataset("stream.py:feed", NETWORK)
    ranges, judges, learning = parts(draw(data, options(calibration_samples=100), program()))
    assert ranges == set(range(100)) and len(judges) == 256
    assert not judges & (ranges | learning) and learning > ranges


def test_an_explicit_number_is_obeyed_and_large_samples_are_fewer() -> None:
    assert calibration_count(options(calibration_samples=2000), 1 << 30) == 2000
    assert calibration_count(options(), 3 * 32 * 32 * 4) == 512
    assert calibration_count(options(), 1 << 20) == 256
    assert calibration_count(options(), 1 << 30) == 128
    assert sample_bytes(program()) == 2 * 3 * 3 * 4


def test_learning_is_bounded_by_the_widest_border(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Input and output of the convolution: (2 + 4) * 9 floats."""
    wide = program()
    names = frozenset(node.name for node in wide.nodes)
    assert learnable(wide, names) > 100_000
    monkeypatch.setattr(calibration, "BORDER_BYTES", 40 * 4 * 6 * 9)
    assert 40 <= learnable(wide, names) <= 120
    assert len(draw(numbered(tmp_path, 9000), options(), wide).learning) == learnable(wide, names)
    monkeypatch.setattr(calibration, "BORDER_BYTES", 1)
    assert learnable(wide, names) == 16


def test_large_samples_have_fewer_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SAMPLE_BYTES", 60 * sample_bytes(program()))
    drawn = draw(numbered(tmp_path, 9000), options("w8a8-fast"), program())
    assert len(drawn.ranges) == 128 and 55 < len(drawn.judges) <= 60


def test_the_hash_tells_samples_apart() -> None:
    def feeds() -> Iterator[dict[str, Any]]:
        yield {"x": np.zeros(3, np.float32)}
        yield {"x": np.ones(3, np.float32)}

    first, second = feeds()
    assert feeds_hash([first]) != feeds_hash([second]) and feeds_hash([first]) == feeds_hash([dict(first)])
    assert feeds_hash([first, second]) != feeds_hash([second, first])
