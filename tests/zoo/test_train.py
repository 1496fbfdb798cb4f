"""Training: it learns, it goes on where it stopped, and it leaves what a press takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pocketpress.core.errors import ArtifactError, DataError, UserError
from pocketpress.core.schedule import one_cycle
from pocketpress.measure.interval import wilson
from pocketpress.pipeline.zoo import train as module
from pocketpress.pipeline.zoo.train import TrainOptions, train
from pocketpress.zoo.fit import Recipe

NETWORK = "resnet8,width=0.25,size=16"
RECIPE = Recipe(epochs=3, batch=20, seed=1)


def write_colours(path: Path, count: int = 240, classes: int = 3) -> Path:
    """Noise in which one colour is brighter: the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, count)
    y[:classes] = np.arange(classes)
    x = rng.random((count, 3, 16, 16), dtype=np.float32) * 0.5
    x[np.arange(count), y % 3] += 0.5
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_colours(tmp_path_factory.mktemp("colours") / "colours.npz"))


def options(data: str, out: Path, **changed: Any) -> TrainOptions:
    return TrainOptions(**{"network": NETWORK, "data": data, "out": out, "recipe": RECIPE, **changed})


def test_it_learns_and_leaves_weights_and_card(data: str, tmp_path: Path) -> None:
    done = train(options(data, tmp_path / "out"))
    assert done.accuracy > 0.9 and done.samples == 24
    assert done.interval[0] < done.accuracy <= done.interval[1]
    assert str(done.choice) == f"{NETWORK},classes=3"
    card = json.loads(done.card.read_text())
    assert card["network"] == str(done.choice) and card["accuracy"]["samples"] == 24
    assert [set(entry) for entry in card["history"]] == [{"loss", "accuracy"}] * 3
    assert card["history"][-1]["accuracy"] == done.accuracy
    assert load_file(done.weights)["classifier.weight"].shape == (3, 16)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["network.json", "weights.safetensors"]


def test_same_seed_same_weights(data: str, tmp_path: Path) -> None:
    first, again = (train(options(data, tmp_path / n)) for n in ("a", "b"))
    other = train(options(data, tmp_path / "c", recipe=Recipe(epochs=3, batch=20, seed=2)))
    states = [load_file(done.weights) for done in (first, again, other)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])


def test_class_folders_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, name in enumerate(("dark", "light")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(30):
            pixels = rng.integers(128 * number, 128 * number + 128, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{index}.png")
    done = train(options(str(tmp_path / "pictures"), tmp_path / "out"))
    card = json.loads(done.card.read_text())
    assert done.choice.classes == 2 and card["classes"] == ["dark", "light"]
    assert done.accuracy == 1.0 and done.samples == 6


class Stopped(Exception):
    pass


@pytest.mark.parametrize("network", [NETWORK, "gru,width=0.1,size=5"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    network: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if network.startswith("gru"):
        rng = np.random.default_rng(0)
        x = rng.random((60, 5, 10), dtype=np.float32)
        np.savez(tmp_path / "frames.npz", x=x, y=(x.mean((1, 2)) > 0.5).astype(np.int64))
        data = str(tmp_path / "frames.npz")
    whole = train(options(data, tmp_path / "whole", network=network))
    real, seen = module.checkpoint.write, []

    def stopping(path: Path, stand: Any) -> None:
        real(path, stand)
        seen.append(path)
        if len(seen) == 2:
            raise Stopped

    monkeypatch.setattr(module.checkpoint, "write", stopping)
    with pytest.raises(Stopped):
        train(options(data, tmp_path / "parts", network=network))
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["checkpoint.safetensors"]
    done = train(options(data, tmp_path / "parts", network=network, resume=True))
    a, b = load_file(whole.weights), load_file(done.weights)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert json.loads(whole.card.read_text())["history"] == json.loads(done.card.read_text())["history"]


def test_a_checkpoint_of_something_else_is_refused(data: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for write in (
        lambda: path.write_bytes(b"\x80\x04K\x01."),
        lambda: path.write_bytes(b""),
        lambda: save_file({"a": torch.zeros(1)}, path),
        lambda: save_file({"a": torch.zeros(1)}, path, metadata={"pocketpress": "[" * 10_000}),
        lambda: save_file({"a": torch.zeros(1)}, path, metadata={"pocketpress": "[1]"}),
    ):
        write()
        with pytest.raises(ArtifactError, match="cannot read the checkpoint"):
            train(options(data, tmp_path, resume=True))
    save_file({"a": torch.zeros(1)}, path, metadata={"pocketpress": '{"fingerprint": "other"}'})
    with pytest.raises(ArtifactError, match="of another command, network or data"):
        train(options(data, tmp_path, resume=True))


def test_data_that_does_not_fit(data: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=np.zeros((30, 3, 16, 16), np.float32))
    np.savez(tmp_path / "reals.npz", x=np.zeros((30, 3, 16, 16), np.float32), y=np.zeros(30))
    np.savez(tmp_path / "few.npz", x=np.zeros((3, 3, 16, 16), np.float32), y=np.zeros(3, np.int64))
    for name, says in (
        ("plain.npz", "has no labels"),
        ("reals.npz", "are no class numbers"),
        ("few.npz", "too few samples to hold some out"),
    ):
        with pytest.raises(DataError, match=says):
            train(options(str(tmp_path / name), tmp_path / "out"))
    with pytest.raises(DataError, match="more classes than the network: got 3; allowed: at most 2"):
        train(options(data, tmp_path / "out", network=f"{NETWORK},classes=2"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "recipe", [Recipe(learning_rate=0.0), Recipe(label_smoothing=1.0), Recipe(average=1.0)]
)
def test_numbers_out_of_range(data: str, tmp_path: Path, recipe: Recipe) -> None:
    with pytest.raises(UserError):
        options(data, tmp_path, recipe=recipe)


def test_a_training_that_diverges_says_so(data: str, tmp_path: Path) -> None:
    recipe = Recipe(epochs=2, batch=20, learning_rate=1e30)
    with pytest.raises(UserError, match="training diverged: the loss is not finite; use a smaller"):
        train(options(data, tmp_path / "out", recipe=recipe))


def test_one_cycle_rises_to_one_and_falls_to_zero() -> None:
    found = [one_cycle(step, 10, 0.2) for step in range(11)]
    assert found[:3] == [0.5, 1.0, 1.0]
    assert found[6] == pytest.approx(0.5)  # half of the way down
    assert found[10] == pytest.approx(0.0)


def test_the_interval_of_wilson() -> None:
    # Wilson 1927 at 50 of 100: (0.5 +- ...) = 0.4038 to 0.5962
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
