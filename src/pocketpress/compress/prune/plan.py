"""Which channels go: a plan as data, made from scores and costs alone.

Units compete in blocks of ``align`` channels, so that every width that changes becomes a multiple of
``align``.  The block with the least score goes first, until the multiply-accumulates are at most the target;
then blocks come back, the best first, where the target still holds (the last blocks overshoot otherwise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from pocketpress.compress.prune.macs import NetworkCost
from pocketpress.core.errors import UserError

Scores = Mapping[str, npt.NDArray[np.float64]]
LEAST_SHARE = 8
"""A unit keeps at least one of so many channels."""
OVERSHOOT = {16: 0.1, 8: 0.05, 4: 0.2, 2: 0.2, 1: 1.0}
"""A finer alignment is tried when this one lands further below the target, as a share of it.  Kernels compute
outputs in tiles of 8 or 16 channels, or 4, and the rest of a tile is lost time."""
MEASURED = (16, 8, 4)
"""Alignments worth timing: which suits depends on the kernels of a runtime and processor."""
FEW_CHANNELS = 32
"""A network whose median unit is narrower is pruned in blocks of 4 channels, not 8."""


@dataclass(frozen=True)
class Member:
    """One side of one layer that a unit narrows; ``each`` layer channels per channel of the unit."""

    layer: str
    side: Literal["in", "out"]
    each: int = 1


@dataclass(frozen=True)
class Unit:
    """Channels that live and die together, through additions and channel-wise layers.

    Attributes:
        root: layer whose output channels index the unit.
        channels: how many there are.
        members: every layer that narrows with it, the root too.
    """

    root: str
    channels: int
    members: tuple[Member, ...]


@dataclass(frozen=True)
class PrunePlan:
    """Channels to remove.

    Attributes:
        removed: channels of each root layer, ascending; a unit that stays whole is left out.
        before: multiply-accumulates before.
        after: multiply-accumulates after.
        align: multiple that every changed width is of.
    """

    removed: Mapping[str, tuple[int, ...]]
    before: int
    after: int
    align: int

    @property
    def ratio(self) -> float:
        """How many times fewer multiply-accumulates."""
        return self.before / self.after


@dataclass
class _State:
    """Kept channels of each unit while the plan is made, and the blocks that went, in order."""

    units: Mapping[str, Unit]
    cost: NetworkCost
    kept: dict[str, int]
    gone: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.widths = {name: [c.inputs, c.outputs] for name, c in self.cost.layers.items()}
        self.macs = self.cost.macs

    def resize(self, root: str, kept: int) -> None:
        """Keep so many channels of a unit, and count again."""
        self.macs += self.change(root, kept)
        for member in self._counted(root):
            self.widths[member.layer][member.side == "out"] -= member.each * (self.kept[root] - kept)
        self.kept[root] = kept

    def change(self, root: str, kept: int) -> int:
        """Change of the multiply-accumulates if a unit kept so many channels."""
        less = self.kept[root] - kept
        wanted: dict[str, list[int]] = {}
        for member in self._counted(root):
            widths = wanted.setdefault(member.layer, list(self.widths[member.layer]))
            widths[member.side == "out"] -= member.each * less
        layers = self.cost.layers
        return sum(layers[n].at(*w) - layers[n].at(*self.widths[n]) for n, w in wanted.items())

    def _counted(self, root: str) -> list[Member]:
        return [m for m in self.units[root].members if m.layer in self.cost.layers]


def make_plan(
    units: Sequence[Unit],
    scores: Scores,
    cost: NetworkCost,
    target: float,
    *,
    align: int | None = None,
    halved: bool = False,
    per_mac: bool = False,
) -> PrunePlan:
    """Choose the channels to remove.

    Args:
        units: what can be pruned.
        scores: importance of each channel of each unit, (C,), comparable between units.
        cost: of the whole network.
        target: multiply-accumulates to reach, at most.
        align: multiple that changed widths are of; None for the largest of 8, 4, 2, 1 that suits the
            network's widths and lands near the target.
        halved: units narrower than two such multiples have half of it, or a quarter, as `candidate_plans`.
        per_mac: weigh a block's score by the multiply-accumulates it saves (a loss per gain), for scores
            that estimate a change of the loss; otherwise the mean score of the block decides.

    Raises:
        UserError: nothing is prunable, or the target is out of reach; the message says what is reachable.
    """
    if not units:
        raise UserError(
            "the network has no channels to prune", next_step="press it without --prune, or try --low-rank"
        )
    best: PrunePlan | None = None
    reachable = 1.0
    for step in _alignments(units) if align is None else (align,):
        plan = _greedy(units, scores, cost, target, step, per_mac, halved)
        reachable = max(reachable, plan.ratio)
        if plan.after <= target:
            if best is None or best.after < plan.after:
                best = plan
            if plan.after >= target * (1 - OVERSHOOT.get(step, 1.0)):
                break
    if best is None:
        aligned = "" if align is None else f" with --prune-align {align}"
        raise UserError(
            f"cannot prune so far{aligned}",
            got=f"{cost.macs / max(target, 1):.4g}x fewer multiply-accumulates",
            allowed=f"at most {int(reachable * 100) / 100:.2f}x",
            next_step="ask for less, or press a narrower network",
        )
    return best


def candidate_plans(
    units: Sequence[Unit],
    scores: Scores,
    cost: NetworkCost,
    target: float,
    *,
    per_mac: bool = False,
) -> tuple[PrunePlan, ...]:
    """Plans that land near the same target with different alignments, the coarsest first, to be timed.

    A unit that is narrower than two multiples has half of it, or a quarter: it would stay whole otherwise,
    and the others would have to give all.

    Empty where no alignment of `MEASURED` lands near it; arguments are those of `make_plan`.
    """
    found: list[PrunePlan] = []
    for align in MEASURED if units else ():
        plan = _greedy(units, scores, cost, target, align, per_mac, halved=True)
        near = target * (1 - OVERSHOOT[align]) <= plan.after <= target
        if near and all(plan.removed != other.removed for other in found):
            found.append(plan)
    return tuple(found)


def _alignments(units: Sequence[Unit]) -> tuple[int, ...]:
    median = sorted(u.channels for u in units)[len(units) // 2]
    return (8, 4, 2, 1) if median >= FEW_CHANNELS else (4, 2, 1)


def _greedy(
    units: Sequence[Unit],
    scores: Scores,
    cost: NetworkCost,
    target: float,
    align: int,
    per_mac: bool,
    halved: bool = False,
) -> PrunePlan:
    known = {u.root: u for u in units if u.root in scores}
    state = _State(known, cost, {root: u.channels for root, u in known.items()})
    sums = {root: np.concatenate([[0.0], np.cumsum(np.sort(scores[root]))]) for root in known}
    steps = {root: _step(u, align) if halved else align for root, u in known.items()}
    while state.macs > target:
        candidates = [c for root in known if (c := _next(state, root, sums[root], steps[root], per_mac))]
        if not candidates:
            break
        score, root, kept = min(candidates)
        state.gone.setdefault(root, []).append((score, state.kept[root]))
        state.resize(root, kept)
    _restore(state, target)
    removed = {}
    for root, kept in state.kept.items():
        least = np.argsort(scores[root], kind="stable")[: known[root].channels - kept]
        if len(least):
            removed[root] = tuple(sorted(int(i) for i in least))
    return PrunePlan(removed, cost.macs, state.macs, align)


def _step(unit: Unit, align: int) -> int:
    """The alignment, or the half or quarter of it of which the unit has two."""
    while align > 4 and unit.channels < 2 * align:
        align //= 2
    return align


def _next(
    state: _State, root: str, sums: npt.NDArray[np.float64], align: int, per_mac: bool
) -> tuple[float, str, int] | None:
    """(score, unit, channels left) of the next block of a unit, if it may lose one and that saves work."""
    channels, kept = state.units[root].channels, state.kept[root]
    left = (kept - 1) // align * align
    if left < max(align, channels / LEAST_SHARE):
        return None
    saved = -state.change(root, left)
    if saved <= 0:
        return None
    lost = float(sums[channels - left] - sums[channels - kept])
    return (lost / saved if per_mac else lost / (kept - left)), root, left


def _restore(state: _State, target: float) -> None:
    tops = sorted(((blocks[-1], root) for root, blocks in state.gone.items() if blocks), reverse=True)
    while tops:
        (_, kept), root = tops.pop(0)
        if state.macs + state.change(root, kept) > target:
            continue
        state.resize(root, kept)
        state.gone[root].pop()
        if state.gone[root]:
            tops = sorted([*tops, (state.gone[root][-1], root)], reverse=True)
