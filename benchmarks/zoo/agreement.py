"""Does a suggestion keep what it says?  The best ones are pressed and timed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketpress.core.targets import resolve_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.devices.isolated import Child
from pocketpress.measure.latency import summarise
from pocketpress.pipeline.cache import default_folder
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.press import press
from pocketpress.pipeline.prove import file_feeds
from pocketpress.pipeline.zoo.measure import TARGETS
from pocketpress.pipeline.zoo.store import Store
from pocketpress.pipeline.zoo.suggest import Budget, Candidate, suggest
from pocketpress.zoo.build import noise

IMAGES = "image-classification"
BUDGETS = (
    Budget(IMAGES, max_latency_s=2e-3, max_size_bytes=4_000_000, shape=(1, 3, 96, 96)),
    Budget(IMAGES, max_latency_s=3e-4, max_size_bytes=400_000, shape=(1, 3, 32, 32), classes=10),
    Budget("keyword-spotting", max_latency_s=1e-3),
)
SAMPLES = 8


def agreement(work: Path) -> list[dict[str, Any]]:
    """Rows of suggested against pressed: latency of the slowest target, and largest size."""
    store = Store(default_folder())
    rows = []
    for budget in BUDGETS:
        found = suggest(budget, store)
        for place, candidate in enumerate(found.fitting[: budget.top], 1):
            seconds, size_bytes = pressed(candidate, work / f"{len(rows)}")
            assert candidate.latency_s is not None and candidate.size_bytes is not None
            rows.append(
                {
                    "task": budget.task,
                    "input": None if budget.shape is None else list(budget.shape),
                    "max_latency_s": budget.max_latency_s,
                    "max_size_bytes": budget.max_size_bytes,
                    "place": place,
                    "network": str(candidate.choice),
                    "ranked_by": candidate.ranked_by,
                    "suggested_latency_s": candidate.latency_s,
                    "pressed_latency_s": seconds,
                    "latency_ratio": seconds / candidate.latency_s,
                    "suggested_size_bytes": candidate.size_bytes,
                    "pressed_size_bytes": size_bytes,
                    "size_ratio": size_bytes / candidate.size_bytes,
                }
            )
    return rows


def pressed(candidate: Candidate, out: Path) -> tuple[float, int]:
    """Press the network from its name, as a user would, and time the artifacts."""
    out.mkdir(parents=True)
    samples = noise(candidate.choice, SAMPLES, seed=1).numpy()
    np.savez(out / "noise.npz", x=samples)
    record = press(
        PressOptions(
            f"zoo:{candidate.choice}", TARGETS, out, data=str(out / "noise.npz"), precision="w8a8-fast",
            estimator="min-max", measure=False, cache=None,
        )
    )  # fmt: skip
    seconds, sizes = 0.0, [entry.size_bytes or 0 for entry in record.targets]
    for spec, entry in zip(resolve_targets(TARGETS), record.targets, strict=True):
        with Child() as child:
            runner = child.open(out / str(entry.artifact), spec)
            name = runner.signature.inputs[0].name
            feeds = file_feeds(runner.signature, {name: samples[:1]})
            times = child.time([(runner, feeds)], TimingPlan(budget_s=1.5, processor=True))
        seconds = max(seconds, summarise(times.seconds[0], threads=1).median)
    return seconds, max(sizes)
