"""Measured latency as the objective of pruning: widths that the kernels like, and the share of the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import nn

from pocketpress.compress.prune.plan import PrunePlan
from pocketpress.core.errors import CheckFailed, UserError
from pocketpress.pipeline.steps import Bench

ROUNDS = 5
LEAST_SHARE = 0.05
WORTH = 0.03
"""A coarser alignment follows the importances less closely; it must save this share of the time."""


def choose_alignment(
    bench: Bench,
    plans: Sequence[PrunePlan],
    pruned: Callable[[PrunePlan], nn.Module],
    only: str | None = None,
) -> Mapping[int, float]:
    """Time the same amount of pruning with different alignments, interleaved with the float network.

    Args:
        bench: to lower and time with.
        plans: one for each alignment.
        pruned: the network after a plan.
        only: time in this target; in all that are executed here by default.

    Returns:
        Latency as a share of the float network's (geometric mean over the targets) by alignment, the one
        to take first.  Empty if there is nothing to choose, or nothing is executed here.
    """
    if len(plans) < 2 or not bench.options.measure:
        return {}
    ratios: dict[int, float] = {}
    for plan in plans:
        _, program = bench.exported(pruned(plan))
        found = bench.targets_of(f"multiples of {plan.align}", program, timed=True, only=only)
        speedups = [t.latency_s.speedup for t in found if t.latency_s is not None and t.latency_s.speedup]
        if speedups:
            ratios[plan.align] = math.prod(speedups) ** (-1 / len(speedups))
    if not ratios:
        return {}
    best = min(ratios.values())
    chosen = min(align for align, ratio in ratios.items() if ratio <= best * (1 + WORTH))
    return {chosen: ratios[chosen], **ratios}


def find_share(
    bench: Bench,
    target: str,
    wanted: float,
    total: int,
    plan_for: Callable[[float], PrunePlan],
    pruned: Callable[[PrunePlan], nn.Module],
) -> float:
    """The largest share of the multiply-accumulates whose measured latency is at most ``wanted``.

    Bisects the share; every candidate is pruned, lowered and timed, interleaved with the float network.
    The weights do not matter to the time, so nothing is fine-tuned on the way.

    Args:
        bench: to lower and time with.
        target: name of the target; one of the press's, executed on this machine.
        wanted: share of the float network's latency.
        total: multiply-accumulates of the float network.
        plan_for: the plan for so many multiply-accumulates.
        pruned: the network after a plan.

    Raises:
        UserError: the target is not one that is executed here, or measuring is off.
        CheckFailed: no share reaches the latency; the message says which does best.
    """
    spec = next((s for s in bench.targets if s.name == target), None)
    if spec is None:
        names = [s.name for s in bench.targets]
        raise UserError("--prune-for names none of the targets", got=target, allowed=names)
    if not bench.options.measure:
        raise UserError("--prune-for needs measuring", next_step="leave --no-measure out")
    low, high, best = LEAST_SHARE, 1.0, None
    seen: dict[int, float] = {}
    for number in range(ROUNDS):
        share = max(LEAST_SHARE, wanted) if number == 0 else (low + high) / 2
        try:
            plan = plan_for(total * share)
        except UserError:
            low = share
            continue
        if plan.after not in seen:
            seen[plan.after] = _ratio(bench, target, pruned(plan))
        if seen[plan.after] <= wanted:
            best, low = max(best or 0.0, share), share
        else:
            high = share
    if best is None:
        reached = min(seen.values(), default=1.0)
        raise CheckFailed(
            f"no pruning reaches this latency in {target}",
            got=f"{wanted:.2f}x of the float network's time",
            allowed=f"{reached:.2f}x at best",
            next_step="ask for less, or quantise too",
        )
    return best


def _ratio(bench: Bench, target: str, network: nn.Module) -> float:
    _, program = bench.exported(network)
    found = bench.targets_of(f"candidate-{id(network)}", program, timed=True, only=target)[0].latency_s
    if found is None or found.speedup is None:
        raise UserError(
            f"target {target} is not executed on this machine",
            next_step="name a target that is executed here",
        )
    return 1 / found.speedup
