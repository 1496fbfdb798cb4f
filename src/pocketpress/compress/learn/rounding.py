"""Learned rounding: up or down for every weight, so that blocks keep their outputs.

AdaRound (Nagel et al. 2020, arXiv:2004.10568): the weight is ``s * clip(floor(w / s) + h(V), -L, L)`` with
the rectified sigmoid ``h(V) = clip(1.2 * sigmoid(V) - 0.1, 0, 1)`` (eq. 23); minimised is the squared error
of a block's outputs (block-wise as BRECQ, Li et al. 2021, arXiv:2102.05426, eq. 10, with the identity for
the Fisher matrix) plus ``lambda * sum(1 - |2 h(V) - 1|^beta)`` (eq. 24), beta falling so that every h ends
at 0 or 1. The block reads what the quantised network before it really gives, and activations are rounded
inside. Inputs can be dropped back to float at random (QDrop, Wei et al. 2022, arXiv:2203.05740, section
3.3); on the CIFAR-10 networks that lost 1 to 2 dB and is off. Biases are learned along.

Memory is bounded by the activations on one border: the float and the quantised network move forward together,
and only what later blocks read is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pocketpress.compress.learn.blocks import Block, split
from pocketpress.compress.learn.scores import scored
from pocketpress.compress.learn.simulate import Simulation, Values
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.quantize.tied import tied_layers
from pocketpress.compress.quantize.weights import LIMITS
from pocketpress.core.program import Node, Program
from pocketpress.core.program.ir import Array

STRETCH_LOW, STRETCH_HIGH = -0.1, 1.1
RUN_BATCH = 64
POSITIONS = 1 << 16
"""Places of a feature map that a step looks at, at most, over its samples: more tell a filter nothing new."""
LEAST_BATCH = 4


@dataclass(frozen=True)
class RoundingOptions:
    """How long and how fast to learn.

    Attributes:
        steps: gradient steps per block.
        places: places of its largest feature map after which a block has seen enough, in fewer steps; None
            for all steps.
        batch: samples per step, at most; fewer of large feature maps.
        rate: Adam's learning rate of the rounding variables.
        bias_rate: of the biases, relative to the largest bias of the layer.
        pull: lambda relative to the error: the term that drives h to 0 or 1 counts ``pull`` times the error
            when no h is decided.
        warm_up: share of the steps before that term sets in.
        drop: probability with which an element of a block's input is the float network's.
        seed: of batches and drops.
    """

    steps: int = 400
    places: int | None = None
    batch: int = 32
    rate: float = 0.03
    bias_rate: float = 1e-3
    pull: float = 100.0
    warm_up: float = 0.2
    drop: float = 0.0
    seed: int = 0


class SoftWeight:
    """One weight between its two neighbouring integers.

    Args:
        weight: float.
        scale: broadcasts against it.
        limit: largest integer.
    """

    def __init__(self, weight: Tensor, scale: Tensor, limit: int) -> None:
        self.scale, self.limit = scale, limit
        ratio = weight / scale
        self.floor = torch.floor(ratio)
        rest = torch.clamp(ratio - self.floor, 0.01, 0.99)
        stretched = (rest - STRETCH_LOW) / (STRETCH_HIGH - STRETCH_LOW)
        self.variable = torch.log(stretched / (1 - stretched)).requires_grad_(True)

    def up(self) -> Tensor:
        """h(V), 0 to 1."""
        spread = torch.sigmoid(self.variable) * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW
        return torch.clamp(spread, 0, 1)

    def soft(self) -> Tensor:
        """The weight as it is during learning."""
        return torch.clamp(self.floor + self.up(), -self.limit, self.limit) * self.scale

    def integers(self) -> Tensor:
        """The decision."""
        return torch.clamp(self.floor + (self.up() >= 0.5), -self.limit, self.limit)

    def indecision(self, beta: float) -> Tensor:
        """``sum(1 - |2h - 1|^beta)``."""
        return (1 - (2 * self.up() - 1).abs().pow(beta)).sum()


@dataclass
class _Stream:
    """Live activations of all samples, in the float and in the quantised network."""

    real: Values
    grid: Values


def learn_rounding(
    program: Program,
    plan: QuantizationPlan,
    feeds: Sequence[Mapping[str, Array]],
    options: RoundingOptions | None = None,
    advance: Callable[[], None] = lambda: None,
) -> QuantizationPlan:
    """Decide the integers of all planned weights.

    Args:
        program: float.
        plan: scales of weights and activations; its rounding is replaced.
        feeds: calibration samples.
        options: how long.
        advance: called after each block (`block_count` of them).

    Returns:
        The plan with ``rounded`` and ``biases`` filled in.
    """
    options = options or RoundingOptions()
    program = scored(program)
    blocks = split(program, frozenset(plan.weights))
    real, grid = Simulation(program, None), Simulation(program, plan)
    stream = _enter(program, grid, feeds)
    tied = tied_layers(program, plan)
    rounded: dict[str, npt.NDArray[np.int8]] = {}
    biases: dict[str, npt.NDArray[np.float32]] = {}
    generator = torch.Generator().manual_seed(options.seed)
    for index, block in enumerate(blocks):
        target = _forward(real, block, {n: stream.real[n] for n in block.inputs}, {})
        learner = _Learner(grid, block, options, generator, tied, rounded)
        learner.learn(stream, target)
        result = learner.decided()
        source = {n: stream.grid[n] for n in block.inputs}
        _move_on(stream, target, _forward(grid, block, source, result.constants), blocks[index + 1 :])
        rounded |= result.rounded
        biases |= result.biases
        advance()
    return replace(plan, rounded=rounded, biases=biases)


def block_count(program: Program, plan: QuantizationPlan) -> int:
    """Number of blocks that `learn_rounding` will go through."""
    return len(split(scored(program), frozenset(plan.weights)))


def _enter(program: Program, grid: Simulation, feeds: Sequence[Mapping[str, Array]]) -> _Stream:
    real = {
        name: torch.from_numpy(np.stack([np.asarray(feed[name]) for feed in feeds]))
        for name in program.inputs
    }
    return _Stream(real, {name: grid.enter(name, value) for name, value in real.items()})


@torch.no_grad()
def _forward(simulation: Simulation, block: Block, feeds: Values, replaced: Mapping[str, Tensor]) -> Values:
    """The block's outputs for all samples, a slice at a time."""
    count = len(next(iter(feeds.values())))
    parts = [
        simulation.run(
            block.nodes, {n: v[i : i + RUN_BATCH] for n, v in feeds.items()}, block.outputs, replaced
        )
        for i in range(0, count, RUN_BATCH)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in block.outputs}


def _move_on(stream: _Stream, real: Values, grid: Values, later: Sequence[Block]) -> None:
    needed = {name for block in later for name in block.inputs}
    stream.real = {n: v for n, v in {**stream.real, **real}.items() if n in needed}
    stream.grid = {n: v for n, v in {**stream.grid, **grid}.items() if n in needed}


def _places(block: Block, program: Program) -> int:
    """Height times width of the largest feature map that a block makes of one sample."""
    maps = (program.type(out).shape[2:] for node in block.nodes for out in node.outputs)
    return max((math.prod(shape) for shape in maps), default=1)


@dataclass(frozen=True)
class _Decision:
    rounded: dict[str, npt.NDArray[np.int8]]
    biases: dict[str, npt.NDArray[np.float32]]
    constants: dict[str, Tensor]


class _Learner:
    """One block."""

    def __init__(
        self,
        grid: Simulation,
        block: Block,
        options: RoundingOptions,
        generator: torch.Generator,
        tied: Mapping[str, str],
        rounded: Mapping[str, npt.NDArray[np.int8]],
    ) -> None:
        """Prepare a block; of tied weights, name to first name, the integers learned first count for all."""
        self.grid, self.block, self.options, self.generator = grid, block, options, generator
        assert grid.plan is not None
        self.plan = grid.plan
        self.products = [n for n in block.nodes if n.name in self.plan.weights]
        done = {tied.get(name, name): integers for name, integers in rounded.items()}
        self.given: dict[str, Tensor] = {}
        self.weights: dict[str, SoftWeight] = {}
        for node in self.products:
            first = tied.get(node.name, node.name)
            if first in done:
                self.given[node.name] = torch.from_numpy(done[first])
            else:
                self.weights[node.name] = self.weights.get(first) or self._soft(node)
        self.soft = list(dict.fromkeys(self.weights.values()))
        self.biases = {node.name: self._bias(node) for node in self.products if len(node.inputs) > 2}
        self.start = {name: bias.detach().clone() for name, bias in self.biases.items()}

    def _soft(self, node: Node) -> SoftWeight:
        weight = self.grid.constants[node.inputs[1]]
        return SoftWeight(weight, self._scale(node), LIMITS[self.plan.weight_bits.get(node.name, 8)])

    def _scale(self, node: Node) -> Tensor:
        shape = tuple(self.grid.constants[node.inputs[1]].shape)
        return torch.from_numpy(self.plan.weights[node.name].spread(shape))

    def _bias(self, node: Node) -> Tensor:
        return self.grid.constants[node.inputs[2]].clone().requires_grad_(True)

    def learn(self, stream: _Stream, target: Values) -> None:
        """Run the gradient steps; a block without weights has none, nor one of which only places are read."""
        if not self.products:
            return
        options, count = self.options, len(next(iter(target.values())))
        places = _places(self.block, self.grid.program)
        batch = min(options.batch, count, max(LEAST_BATCH, POSITIONS // places))
        steps = options.steps
        if options.places is not None:
            steps = min(steps, -(-options.places // (batch * places)))
        real = {name: value for name, value in target.items() if value.is_floating_point()}
        sizes = {name: float(value.pow(2).mean()) + 1e-12 for name, value in real.items()}
        groups = [{"params": [w.variable for w in self.soft], "lr": options.rate}]
        groups += [
            {"params": [bias], "lr": options.bias_rate * max(float(bias.detach().abs().max()), 1e-3)}
            for bias in self.biases.values()
        ]
        optimiser = torch.optim.Adam(groups)
        elements = sum(w.variable.numel() for w in self.soft)
        for step in range(steps):
            chosen = torch.randint(count, (batch,), generator=self.generator)
            feeds = {name: self._mixed(stream, name, chosen) for name in self.block.inputs}
            got = self.grid.run(self.block.nodes, feeds, self.block.outputs, self._soft_constants())
            seen = [name for name in real if got[name].requires_grad]
            if not seen:
                return
            loss = torch.stack(
                [(got[name] - real[name][chosen]).pow(2).mean() / sizes[name] for name in seen]
            ).sum()
            progress = (step / steps - options.warm_up) / (1 - options.warm_up)
            if progress > 0 and self.soft:
                beta = 2 + 18 * 0.5 * (1 + math.cos(progress * math.pi))
                pull = sum(w.indecision(beta) for w in self.soft) / elements
                loss = loss + options.pull * float(loss.detach()) * pull
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def _mixed(self, stream: _Stream, name: str, chosen: Tensor) -> Tensor:
        grid, real = stream.grid[name][chosen], stream.real[name][chosen]
        if not self.options.drop or not grid.is_floating_point():
            return grid
        dropped = torch.rand(grid.shape, generator=self.generator) < self.options.drop
        return torch.where(dropped, real, grid)

    def _soft_constants(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for node in self.products:
            given = self.given.get(node.name)
            soft = self.weights[node.name].soft() if given is None else given * self._scale(node)
            found[node.inputs[1]] = soft
            if node.name in self.biases:
                found[node.inputs[2]] = self.biases[node.name]
        return found

    @torch.no_grad()
    def decided(self) -> _Decision:
        """Round for good."""
        rounded, biases, constants = {}, {}, {}
        for node in self.products:
            given = self.given.get(node.name)
            integers = self.weights[node.name].integers() if given is None else given
            rounded[node.name] = integers.to(torch.int8).numpy()
            constants[node.inputs[1]] = integers * self._scale(node)
            if node.name in self.biases:
                value = self.biases[node.name].detach()
                biases[node.name] = value.numpy().copy()
                constants[node.inputs[2]] = value
        return _Decision(rounded, biases, constants)
