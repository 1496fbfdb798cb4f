"""`docs/data.md` names what exists, and its examples run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.data import load_dataset, resolve_metric
from pocketpress.data.metrics import BUILT_IN
from pocketpress.data.preprocessing import KEYS, PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
ARTIFACT = PAGE.parents[1] / "web" / "test" / "artifacts" / "image.tflite"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


def test_every_metric_preset_and_key_is_documented() -> None:
    text = PAGE.read_text()
    assert [name for name in (*BUILT_IN, *PRESETS) if f"`{name}`" not in text] == []
    assert [key for key in KEYS if f"`{key}=" not in text] == []


def test_the_function_example_is_data(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(BLOCKS[0])
    network = Signature((TensorSpec("x", (1, 3, 32, 32), "float32"),), (TensorSpec("y", (1, 10), "float32"),))
    samples = list(load_dataset(f"{tmp_path}/example.py:samples", network).samples())
    assert [int(s.target) for s in samples if s.target is not None] == list(range(10))


def test_the_example_of_names_runs_on_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pressed").mkdir()
    shutil.copy(ARTIFACT, tmp_path / "pressed" / "mynet.tflite")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"image": np.ones((1, 3, 8, 8), np.float32)}
    exec(BLOCKS[1], found)
    assert found["names"] == ("cat", 'Hündin "🐕"')
    assert sorted(name for name, _ in found["best"]) == sorted(found["names"])
    assert found["best"][0][1] >= found["best"][1][1]


def test_the_metric_example_is_a_metric(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(BLOCKS[2])
    metric = resolve_metric(f"{tmp_path}/example.py:largest_error")
    assert not metric.higher_is_better
    assert metric.aggregate(np.zeros((2, 3)), np.array([[0, -4, 1], [2, 0, 0]])) == 3
