"""What each step on the live network gains and costs: accuracy, size and latency against the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from pocketpress.compress.prune.macs import parameters
from pocketpress.core.errors import CheckFailed, InternalError
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.record import Latency, Metric, StepEntry, StepTarget, TargetEntry
from pocketpress.core.signature import Preprocessing, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.data.metrics import Metric as MetricFunction
from pocketpress.data.preprocessing import normalisation_table
from pocketpress.pipeline.build import build
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.evaluate import EvaluationSet, compare_metric
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.feeds import Feed, Feeds
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.outputs import Outputs
from pocketpress.pipeline.prepare import Prepared, simplified, with_raw_input
from pocketpress.pipeline.prove import file_feeds, measure_latency
from pocketpress.sources.pytorch import export_module
from pocketpress.sources.source import Source

BATCH = 100


@dataclass(frozen=True)
class Bench:
    """Everything that steps are measured with.

    Attributes:
        options: of the press.
        targets: to lower to.
        source: the network as it was given.
        program: the same, simplified.
        preprocessing: declared for its input.
        examples: example inputs.
        feeds: evaluation samples, or None.
        metric: task metric, or None.
        folder: for artifacts that are thrown away.
        cache: of lowered artifacts.
        events: told about progress.
    """

    options: PressOptions
    targets: tuple[TargetSpec, ...]
    source: Source
    program: Program
    preprocessing: Preprocessing | None
    examples: tuple[Any, ...]
    feeds: Feeds | None
    metric: MetricFunction | None
    folder: Path
    cache: Cache
    events: Events

    def exported(self, network: nn.Module) -> tuple[Source, Program]:
        """The network as a source and simplified program; its signature is the original's.

        Raises:
            SourceError: it cannot be exported.
        """
        source = export_module(network, self.examples, self.options.source)
        program = simplified(source.program, self.preprocessing, self.options.input_uint8)
        if signature_of(program, precision="fp32") != signature_of(self.program, precision="fp32"):
            raise InternalError("a step changed the network's signature")
        return source, program

    def targets_of(
        self, name: str, program: Program, *, timed: bool, only: str | None = None
    ) -> tuple[StepTarget, ...]:
        """Size, and where asked the latency paired with the original, in every target (or ``only`` one)."""
        raw = with_raw_input(program, self.options.input_uint8)
        original = with_raw_input(self.program, self.options.input_uint8)
        same = program_hash(raw) == program_hash(original)
        prepared = Prepared(program, raw if same else original, raw)
        place = self.folder / "steps" / name
        place.mkdir(parents=True, exist_ok=True)
        chosen = [spec for spec in self.targets if only in (None, spec.name)]
        return tuple(self._target(spec, prepared, place, timed) for spec in chosen)

    def _target(self, spec: TargetSpec, prepared: Prepared, place: Path, timed: bool) -> StepTarget:
        with self.events.stage(f"measure {spec.name} after {place.name}"):
            built = build(spec, prepared, self.preprocessing, "fp32", place, "network", self.cache)
            latency = None
            if timed and self.options.measure and built.executes:
                latency = measure_latency(built, self._file_inputs(prepared.program), self.options)
        return StepTarget(
            name=spec.name,
            size_bytes=built.entry.size_bytes,
            size_compressed_bytes=built.entry.size_compressed_bytes,
            latency_s=latency,
        )

    def _file_inputs(self, program: Program) -> list[Any]:
        signature = signature_of(program, precision="fp32")
        if self.feeds is not None:
            return file_feeds(signature, self.feeds.first(1)[0])
        named = {s.name: np.asarray(e) for s, e in zip(signature.inputs, self.examples, strict=False)}
        return file_feeds(signature, named)

    def outputs(self, network: nn.Module) -> Outputs:
        """Real outputs of a live network for every evaluation sample."""
        assert self.feeds is not None
        found: Outputs = []
        waiting: list[Feed] = []
        for feed in self.feeds:
            waiting.append(feed)
            if len(waiting) == BATCH:
                found += self._batch(network, waiting)
                waiting = []
        return found + (self._batch(network, waiting) if waiting else [])

    def _batch(self, network: nn.Module, feeds: list[Feed]) -> Outputs:
        """All at once, or one by one where ``forward`` is written for the example input's batch alone."""
        try:
            leaves = self._leaves(network, feeds)
        except (RuntimeError, ValueError):
            leaves = []
        if len(feeds) == 1 or not leaves or any(len(leaf) != len(feeds) for leaf in leaves):
            alone = [self._leaves(network, [feed]) for feed in feeds]
            return [dict(zip(self.program.outputs, found, strict=True)) for found in alone]
        return [
            {n: leaf[i : i + 1] for n, leaf in zip(self.program.outputs, leaves, strict=True)}
            for i in range(len(feeds))
        ]

    @torch.no_grad()
    def _leaves(self, network: nn.Module, feeds: list[Feed]) -> list[Any]:
        inputs = tuple(
            torch.from_numpy(np.concatenate([self._real(f[n]) for f in feeds])) for n in self.program.inputs
        )
        leaves = tree_leaves(network(*inputs))
        return [leaf.numpy() if leaf.ndim else leaf.reshape(1).numpy() for leaf in leaves if _is_tensor(leaf)]

    def _real(self, value: Any) -> Any:
        """Raw pixels as the live network takes them."""
        if not self.options.input_uint8:
            return value
        prep = self.preprocessing or Preprocessing()
        table = normalisation_table(prep)
        axis = 1 if prep.layout == "nchw" else -1
        channels = np.moveaxis(value.astype(np.uint8), axis, 0)
        chosen = [table[c if len(table) > 1 else 0][level] for c, level in enumerate(channels)]
        return np.moveaxis(np.stack(chosen), 0, axis)

    def measured(self, network: nn.Module, floats: Outputs | None) -> Metric | None:
        """The task metric of a live network against the original's outputs."""
        if self.metric is None or self.feeds is None or floats is None:
            return None
        evaluation = EvaluationSet(self.feeds, floats)
        return compare_metric(self.metric, self.outputs(network), evaluation, self.options.seed)


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor)


def refuse_slower(name: str, targets: tuple[StepTarget, ...], options: PressOptions) -> None:
    """Stop when a step made the network slower in a target.

    Raises:
        CheckFailed: its interval says so, and slower is not allowed.
    """
    if options.limits.allow_slower:
        return
    for target in targets:
        if target.latency_s is not None and is_slower(target.latency_s):
            assert target.latency_s.speedup is not None
            raise CheckFailed(
                f"after {name} the network is slower in {target.name}",
                got=f"{1 / target.latency_s.speedup:.2f}x of the float network's time",
                allowed="less than 1x",
                next_step="try --prune-align 8, prune more, leave the target out, or give --allow-slower",
            )


def is_slower(latency: Latency) -> bool:
    """Whether the measured interval lies on the slow side."""
    if latency.speedup is None:
        return False
    return (latency.speedup_ci95 or (0.0, latency.speedup))[1] < 1


def network_step(
    name: str,
    network: nn.Module,
    program: Program,
    macs: int,
    **fields: Any,
) -> StepEntry:
    """An entry with what is counted of a network."""
    return StepEntry(name=name, parameters=parameters(network), multiply_accumulates=macs, **fields)


def final_step(
    precision: str, before: StepEntry, entries: tuple[TargetEntry, ...], seconds: float | None
) -> StepEntry:
    """The quantised artifacts as the last step."""
    targets = tuple(
        StepTarget(
            name=e.name,
            size_bytes=e.size_bytes,
            size_compressed_bytes=e.size_compressed_bytes,
            latency_s=e.latency_s,
            metric=e.metric,
        )
        for e in entries
    )
    return StepEntry(
        name=precision,
        detail="lowered, and measured in each runtime",
        parameters=before.parameters,
        multiply_accumulates=before.multiply_accumulates,
        zeros=before.zeros,
        targets=targets,
        seconds=seconds,
    )
