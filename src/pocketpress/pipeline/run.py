"""The live network on its way through the steps, and the checkpoint it goes on from."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pocketpress.compress.distill.checkpoint import Checkpoint
from pocketpress.compress.distill.examples import Examples
from pocketpress.compress.distill.losses import TaskLoss
from pocketpress.compress.factorize.low_rank import Factor, FactorPlan, apply_low_rank
from pocketpress.compress.prune.graph import remove_channels
from pocketpress.compress.prune.macs import count
from pocketpress.compress.prune.masks import sparsity
from pocketpress.core.record import SkippedEntry, StepEntry
from pocketpress.pipeline.outputs import Outputs
from pocketpress.pipeline.shrink_options import ShrinkOptions
from pocketpress.pipeline.steps import Bench, network_step

Structure = list[dict[str, Any]]
DECISIONS = ("share", "align")
"""Parts of a structure that were measured once, and change nothing by themselves."""


@dataclass
class Run:
    """The network on its way, and everything a checkpoint must hold to go on."""

    bench: Bench
    options: ShrinkOptions
    original: nn.Module
    network: nn.Module
    floats: Outputs | None
    examples: Examples | None
    task_loss: TaskLoss | None
    classifier: bool
    checkpoint: Checkpoint | None
    structure: Structure = field(default_factory=list)
    masks: dict[str, Tensor] = field(default_factory=dict)
    steps: list[StepEntry] = field(default_factory=list)
    skipped: list[SkippedEntry] = field(default_factory=list)
    phase: int = 0
    training: dict[str, Any] | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network as it is now."""
        return count(self.network, self.bench.examples).macs

    def record(self, name: str, detail: str, began: float, *, timed: bool, **fields: Any) -> StepEntry:
        """Measure the network as it is now and add a step; ``timed``: its shapes changed."""
        seconds = time.perf_counter() - began
        _, program = self.bench.exported(self.network)
        targets = self.bench.targets_of(f"{name}-{len(self.steps)}", program, timed=timed)
        if not timed and self.steps:
            before = {t.name: t.latency_s for t in self.steps[-1].targets}
            targets = tuple(t.model_copy(update={"latency_s": before.get(t.name)}) for t in targets)
        with self.bench.events.stage(f"evaluate after {name}"):
            metric = self.bench.measured(self.network, self.floats)
        if self.masks:
            fields.setdefault("zeros", sparsity(self.network))
        return network_step(
            name, self.network, program, self.macs,
            detail=detail, targets=targets, metric=metric, seconds=seconds, **fields,
        )  # fmt: skip

    def save(self, training: dict[str, Any] | None) -> None:
        """Write the checkpoint."""
        if self.checkpoint is None:
            return
        self.checkpoint.write(
            {
                "phase": self.phase,
                "structure": json.dumps(self.structure),
                "network": self.network.state_dict(),
                "masks": {name: mask.bool() for name, mask in self.masks.items()},
                "steps": [step.model_dump_json() for step in self.steps],
                "skipped": [entry.model_dump_json() for entry in self.skipped],
                "training": training,
            }
        )

    def restore(self) -> None:
        """Go on from the checkpoint, if there is one to go on from."""
        state = None if self.checkpoint is None else self.checkpoint.read()
        if state is None:
            return
        for part in json.loads(state["structure"]):
            self.change(part)
        self.network.load_state_dict(state["network"])
        self.masks = {name: mask.float() for name, mask in state["masks"].items()}
        self.steps = [StepEntry.model_validate_json(text) for text in state["steps"]]
        self.skipped = [SkippedEntry.model_validate_json(text) for text in state["skipped"]]
        self.phase, self.training = state["phase"], state["training"]

    def decision(self, kind: str) -> float | None:
        """A number that was measured before and holds for the whole run, one of `DECISIONS`."""
        return next((float(part[kind]) for part in self.structure if part["kind"] == kind), None)

    def change(self, part: dict[str, Any]) -> None:
        """Apply a structural plan and remember it."""
        if part["kind"] in DECISIONS:
            pass
        elif part["kind"] == "prune":
            removed = {root: tuple(channels) for root, channels in part["removed"].items()}
            self.network = remove_channels(self.network, self.bench.examples, removed)
        else:
            factors = tuple(Factor(n, tuple(r), (0, 0), (0, 0)) for n, r in part["ranks"])
            self.network = apply_low_rank(self.network, FactorPlan(factors, ()))
        self.structure.append(part)
