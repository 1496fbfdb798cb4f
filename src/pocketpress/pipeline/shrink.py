"""The steps on the live network, before it is exported: prune, low-rank, mask, fine-tune.

Batch-norm is still there to be trained, and shapes may change; what leaves is a float program with the
original's signature, which every precision starts from.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

from torch import nn

from pocketpress.compress.distill.checkpoint import Checkpoint
from pocketpress.compress.distill.examples import Examples, batch_count
from pocketpress.compress.distill.train import TrainOptions, fine_tune
from pocketpress.compress.factorize.low_rank import plan_low_rank
from pocketpress.compress.prune.graph import find_units, remove_channels
from pocketpress.compress.prune.importance import LOSS_BASED, channel_scores
from pocketpress.compress.prune.macs import count
from pocketpress.compress.prune.masks import apply_masks, parse_mask, sparsity
from pocketpress.compress.prune.plan import PrunePlan, Scores, Unit, candidate_plans, make_plan
from pocketpress.core.errors import UserError
from pocketpress.core.program import Program
from pocketpress.core.program.serialize import program_hash
from pocketpress.core.record import SkippedEntry, StepEntry
from pocketpress.data import Dataset
from pocketpress.pipeline.cache import fingerprint
from pocketpress.pipeline.latency_objective import choose_alignment, find_share
from pocketpress.pipeline.objective import choose_loss, scoring_batches
from pocketpress.pipeline.run import Run
from pocketpress.pipeline.shrink_options import ShrinkOptions, chosen, kept_share
from pocketpress.pipeline.steps import Bench, is_slower, refuse_slower
from pocketpress.pipeline.training_data import load_examples
from pocketpress.sources.source import Source

CHECKPOINTS = "checkpoints"
MOST_REASONS = 3
"""Layers named when none can be pruned."""
LEAST_READ = 4096
"""Samples read at least, where there are so many: loss-based importance sees some of them."""


@dataclass(frozen=True)
class Shrunk:
    """What is pressed instead of the network as it was given.

    Attributes:
        source: exported again.
        program: simplified.
        steps: what was done, the original first.
        skipped: what was left alone, and why.
        options: what was asked for, for the record.
    """

    source: Source
    program: Program
    steps: tuple[StepEntry, ...]
    skipped: tuple[SkippedEntry, ...]
    options: dict[str, Any]


def shrink(bench: Bench, network: nn.Module, options: ShrinkOptions, training_data: Dataset | None) -> Shrunk:
    """Run the steps that are asked for.

    Args:
        bench: what the steps are measured with.
        network: as it was given; not changed.
        options: which steps.
        training_data: for fine-tuning and loss-based importance.

    Raises:
        UserError: the network or the data does not allow a step.
        CheckFailed: the pruned network is slower in a target.
    """
    run = _open(bench, network, options, training_data)
    phases = _phases(run)
    for index, phase in enumerate(phases):
        if index < run.phase:
            continue
        phase()
        run.phase, run.training = index + 1, None
        run.save(None)
    source, program = bench.exported(run.network)
    return Shrunk(source, program, tuple(run.steps), tuple(run.skipped), chosen(options))


def _open(bench: Bench, network: nn.Module, options: ShrinkOptions, data: Dataset | None) -> Run:
    examples = None
    if data is not None:
        most = None if options.samples is None else max(options.samples * options.epochs, LEAST_READ)
        examples = load_examples(data, bench.options.seed, bench.events, most)
    task_loss, classifier = None, False
    if examples is not None:
        task_loss, classifier = choose_loss(options, network, examples, bench.metric)
    with bench.events.stage("evaluate float in PyTorch"):
        floats = bench.outputs(network) if bench.feeds is not None and bench.metric is not None else None
    run = Run(
        bench, options, network, copy.deepcopy(network), floats, examples, task_loss, classifier,
        _checkpoint(bench, options, data, examples),
    )  # fmt: skip
    run.restore()
    if not run.steps:
        run.steps.append(run.record("float", "as given", time.perf_counter(), timed=True))
    return run


def _checkpoint(
    bench: Bench, options: ShrinkOptions, data: Dataset | None, examples: Examples | None
) -> Checkpoint | None:
    if data is None or examples is None:
        return None
    names = [spec.name for spec in bench.targets]
    key = fingerprint(
        "fine-tune",
        program_hash(bench.program),
        chosen(options),
        data.reference,
        len(examples),
        names,
        bench.options.seed,
    )
    return Checkpoint(bench.options.out / CHECKPOINTS / "fine-tune.pt", key, options.resume)


def _phases(run: Run) -> list[Any]:
    """The steps in order, each a call; fine-tuning between pruning steps gets half of the epochs."""
    options = run.options
    steps = options.prune_steps if options.prunes else 0
    phases: list[Any] = []
    between = max(1, options.epochs // (2 * max(steps, 1)))
    for number in range(steps):
        phases.append(lambda number=number: _prune(run, number, steps))
        if number + 1 < steps:
            phases.append(lambda: _fine_tune(run, between))
    if options.low_rank is not None:
        phases.append(lambda: _low_rank(run))
    if options.mask is not None:
        phases.append(lambda: _mask(run))
    if run.examples is not None and options.epochs > 0:
        left = max(1, options.epochs - between * max(0, steps - 1))
        phases.append(lambda: _fine_tune(run, left))
    return phases


def _prune(run: Run, number: int, steps: int) -> None:
    began = time.perf_counter()
    options, bench = run.options, run.bench
    with bench.events.stage("plan pruning"):
        found = find_units(run.network, bench.examples)
        scores = _scores(run, {unit.root for unit in found.units})
    for root, reason in found.skipped:
        entry = SkippedEntry(name=f"prune {root}", reason=reason)
        if entry not in run.skipped:
            run.skipped.append(entry)
    if not found.units and found.skipped:
        raise UserError(
            "the network has no channels to prune",
            got="; ".join(f"{root}: {reason}" for root, reason in found.skipped[:MOST_REASONS]),
            next_step="press it without --prune, or try --low-rank",
        )
    total = count(run.original, bench.examples).macs
    aligned = _alignment(run, found.units, scores)
    share = _share(run, found.units, scores)
    plan = _plan(run, found.units, scores, total * share ** ((number + 1) / steps))
    run.change({"kind": "prune", "removed": plan.removed})
    ratio = total / plan.after
    detail = (
        f"{ratio:.3g}x fewer multiply-accumulates than float, widths in multiples of {plan.align}"
        f"{aligned}, importance {options.importance}"
    )
    if steps > 1:
        detail = f"step {number + 1} of {steps}: {detail}"
    step = run.record("prune", detail, began, timed=True)
    if number + 1 == steps:
        refuse_slower("pruning", step.targets, bench.options)
    run.steps.append(step)


def _scores(run: Run, roots: set[str]) -> Scores:
    importance, examples = run.options.importance, run.bench.examples
    if importance not in LOSS_BASED:
        return channel_scores(run.network, examples, importance, roots=roots)
    assert run.examples is not None
    batches = scoring_batches(run.examples, importance, run.bench.options.seed)
    return channel_scores(run.network, examples, importance, batches, run.task_loss, roots)


def _plan(run: Run, units: tuple[Unit, ...], scores: Scores, target: float) -> PrunePlan:
    cost = count(run.network, run.bench.examples)
    per_mac = run.options.importance in LOSS_BASED
    measured = run.decision("align")
    align = run.options.prune_align if measured is None else int(measured)
    halved = measured is not None
    return make_plan(units, scores, cost, target, align=align, halved=halved, per_mac=per_mac)


def _removed(run: Run, plan: PrunePlan) -> nn.Module:
    return remove_channels(run.network, run.bench.examples, dict(plan.removed))


def _alignment(run: Run, units: tuple[Unit, ...], scores: Scores) -> str:
    """Decide by measuring which multiple widths are of, unless that is given; what to say about it."""
    options = run.options
    if options.prune_align is not None or run.decision("align") is not None:
        return ""
    share = kept_share(options.prune) if options.prune is not None else options.prune_latency
    assert share is not None
    cost = count(run.network, run.bench.examples)
    per_mac = options.importance in LOSS_BASED
    plans = candidate_plans(units, scores, cost, cost.macs * share, per_mac=per_mac)
    ratios = choose_alignment(run.bench, plans, lambda plan: _removed(run, plan), options.prune_for)
    if not ratios:
        return ""
    run.change({"kind": "align", "align": next(iter(ratios))})
    times = ", ".join(f"{align}: {ratio:.2f}x" for align, ratio in ratios.items())
    return f" (measured time by multiple: {times})"


def _share(run: Run, units: tuple[Unit, ...], scores: Scores) -> float:
    """Share of the original's multiply-accumulates to keep in the end."""
    options = run.options
    if options.prune is not None:
        return kept_share(options.prune)
    assert options.prune_for is not None and options.prune_latency is not None
    known = run.decision("share")
    if known is not None:
        return known
    share = find_share(
        run.bench,
        options.prune_for,
        options.prune_latency,
        count(run.original, run.bench.examples).macs,
        lambda target: _plan(run, units, scores, target),
        lambda plan: _removed(run, plan),
    )
    run.change({"kind": "share", "share": share})
    return share


def _low_rank(run: Run) -> None:
    began = time.perf_counter()
    assert run.options.low_rank is not None
    plan = plan_low_rank(run.network, run.bench.examples, run.options.low_rank)
    run.skipped += [SkippedEntry(name=f"low-rank {n}", reason=r) for n, r in plan.skipped]
    if not plan.factors:
        return
    before = run.network
    run.change({"kind": "low-rank", "ranks": [[f.layer, list(f.ranks)] for f in plan.factors]})
    layers = f"{len(plan.factors)} layer" + ("s" if len(plan.factors) != 1 else "")
    detail = f"{layers} factorised, keeping {run.options.low_rank:.0%} of the energy"
    step = run.record("low-rank", detail, began, timed=True)
    lost = _lost_to(run.steps[-1], step)
    if lost is None or run.bench.options.limits.allow_slower:
        run.steps.append(step)
        return
    run.network = before
    run.structure.pop()
    run.skipped.append(SkippedEntry(name="low-rank", reason=f"{layers} factorised is {lost}"))


def _lost_to(before: StepEntry, after: StepEntry) -> str | None:
    """In which target a step lost time; None when it lost in none."""
    earlier = {t.name: t.latency_s for t in before.targets}
    for target in after.targets:
        now, then = target.latency_s, earlier.get(target.name)
        if now is None or now.speedup is None:
            continue
        if is_slower(now) or (then is not None and then.speedup is not None and now.speedup < then.speedup):
            return f"slower in {target.name}: {1 / now.speedup:.2f}x of the float network's time"
    return None


def _mask(run: Run) -> None:
    began = time.perf_counter()
    assert run.options.mask is not None
    run.masks = apply_masks(run.network, parse_mask(run.options.mask))
    note = (
        "saves bytes after compression only: no runtime here has kernels that skip these zeros, "
        "so the latency is that of the step before"
    )
    detail = f"{run.options.mask} of the weights by magnitude, {sparsity(run.network):.1%} zeros"
    run.steps.append(run.record("mask", detail, began, timed=False, notes=(note,)))


def _fine_tune(run: Run, epochs: int) -> None:
    began = time.perf_counter()
    options, bench = run.options, run.bench
    assert run.examples is not None
    train = TrainOptions(
        epochs=epochs, batch=options.batch, samples=options.samples, learning_rate=options.learning_rate,
        distill_weight=options.distill_weight, temperature=options.temperature, augment=options.augment,
        bfloat16=options.bfloat16, seed=bench.options.seed + run.phase,
    )  # fmt: skip
    total = epochs * batch_count(len(run.examples), train.batch, train.samples)
    with bench.events.stage("fine-tune", total) as advance:
        progress = fine_tune(
            run.network, run.original, run.examples, run.task_loss, run.classifier, train,
            masks=run.masks, state=run.training, save=run.save, advance=advance,
        )  # fmt: skip
    used = min(len(run.examples), train.samples or len(run.examples))
    detail = (
        f"{epochs} epoch{'s' if epochs != 1 else ''} of {used:,} samples, the float network as teacher"
        f"{'' if run.task_loss is None else ' and labels'}; "
        f"loss {progress.losses[0]:.3g} to {progress.losses[-1]:.3g}"
    )
    notes = progress.notes
    if options.finetune == (bench.options.evaluation or bench.options.data):
        notes += ("evaluated on the data it was fine-tuned on: the metric is too good; give --eval",)
    run.steps.append(run.record("fine-tune", detail, began, timed=False, notes=notes))
