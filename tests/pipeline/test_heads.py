"""Heads of detectors, segmenters, super-resolution and warps, float and int8, in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.pipeline import heads

import pocketpress as package
from pocketpress.core.record import Limits
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press

RUNTIMES = ("litert", "executorch", "onnxruntime")
ROWS = 48
DECIBELS = 18.0
"""Signal over error of int8 outputs; these networks are random, and have a few channels."""


def samples(name: str, folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    shapes = heads.INPUTS.get(name, {"x": (3, heads.SIDE, heads.SIDE)})
    drawn = {n: rng.normal(0, 1, (ROWS, *shape)).astype(np.float32) for n, shape in shapes.items()}
    if "grid" in drawn:
        drawn["grid"] = np.clip(0.6 * drawn["grid"], -1.3, 1.3)
    np.savez(folder / "x.npz", **drawn)
    return folder / "x.npz", drawn


def float_outputs(name: str, feeds: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    import torch

    network, _ = heads.made(name)
    with torch.no_grad():
        found = network(*(torch.from_numpy(x[row : row + 1]) for x in feeds.values()))
    return {k: v.numpy() for k, v in (found if isinstance(found, dict) else {"output": found}).items()}


FAST = ("detector",)
CASES = [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in heads.HEADS]


@pytest.mark.parametrize("precision", ["fp32", "w8a8-fast"])
@pytest.mark.parametrize("name", CASES)
def test_every_head_in_every_runtime(name: str, precision: str, tmp_path: Path) -> None:
    data, feeds = samples(name, tmp_path)
    options = PressOptions(
        source=f"tests.pipeline.heads:{name}", targets=",".join(RUNTIMES), data=str(data),
        precision=precision, measure=False, out=tmp_path / "out", parity_samples=16,
        limits=Limits(allow_larger=True),
    )  # fmt: skip
    record = press(options)
    wanted = float_outputs(name, feeds, 0)
    least = DECIBELS if precision != "fp32" else 90.0
    for target in record.targets:
        assert target.verdict == "pass", (target.name, target.reasons)
        with package.open(tmp_path / "out" / str(target.artifact)) as session:
            got = session(*(x[:1] for x in feeds.values()))
        for output, real in wanted.items():
            assert got[output].shape == real.shape
            noise = float(np.mean((got[output] - real) ** 2)) / float(np.mean(real**2))
            assert -10 * np.log10(noise + 1e-30) > least, (target.name, output)


@pytest.mark.slow
@pytest.mark.parametrize("target", RUNTIMES)
def test_peaks_of_an_int8_heat_map_are_equal_to_their_pooling(target: str, tmp_path: Path) -> None:
    """What `pocketpress.data.detection.peaks` relies on."""
    data, feeds = samples("center_net", tmp_path)
    record = press(
        PressOptions(
            source="tests.pipeline.heads:center_net", targets=target, data=str(data), precision="w8a8-fast",
            measure=False, out=tmp_path / "out", limits=Limits(allow_larger=True),
        )
    )  # fmt: skip
    with package.open(tmp_path / "out" / str(record.targets[0].artifact)) as session:
        got = session(feeds["x"][:1])
    heat, pooled = got["heat"][0], got["peaks"][0]
    around = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), (1, 2)).max((-1, -2))
    assert np.array_equal(pooled, windows) and (heat == pooled).any()
