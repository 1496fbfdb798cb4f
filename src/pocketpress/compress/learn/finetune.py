"""Quantisation-aware training: weights and biases learn on the planned grids from the float network.

Weights are trained in units of their scale and rounded in the forward pass with a straight-through gradient
(Jacob et al. 2018, arXiv:1712.05877, section 3; Bengio et al. 2013); scales and zero points stay as planned
and batch-norm is folded already, so what is learned are integers for the same plan. The teacher is the
float program (Polino et al. 2018, arXiv:1802.05668, section 3).  It runs on the GPU when there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pocketpress.compress.distill.examples import Augmentation, Examples, batch_count, batches
from pocketpress.compress.distill.losses import Distillation, TaskLoss
from pocketpress.compress.distill.train import device
from pocketpress.compress.learn.simulate import Simulation, Values
from pocketpress.compress.quantize.plan import QuantizationPlan
from pocketpress.compress.quantize.tied import tied_layers
from pocketpress.compress.quantize.weights import LIMITS
from pocketpress.core.errors import DataError, UserError
from pocketpress.core.program import Node, Program

State = dict[str, Any]


@dataclass(frozen=True)
class QatOptions:
    """How to train.

    Attributes:
        epochs: passes over the samples.
        batch: samples a step.
        samples: samples an epoch, drawn anew each time; None for all.
        rate: Adam's peak learning rate of weights, in steps of their grid.
        bias_rate: of biases, relative to the largest of the layer.
        distill_weight: share of the distillation in the loss when there is a task loss.
        temperature: of the distillation of class scores.
        seed: of the order and the augmentation.
    """

    epochs: int = 1
    batch: int = 64
    samples: int | None = None
    rate: float = 0.01
    bias_rate: float = 1e-3
    distill_weight: float = 0.7
    temperature: float = 4.0
    seed: int = 0


@dataclass
class _Layer:
    node: Node
    scale: Tensor
    limit: int
    weight: Tensor
    bias: Tensor | None

    def rounded(self) -> Tensor:
        """Integers, with the gradient of what they were rounded from."""
        inside = torch.clamp(self.weight, -self.limit, self.limit)
        return inside + (torch.round(inside) - inside).detach()


def step_count(examples: Examples, options: QatOptions) -> int:
    """Gradient steps of the whole training."""
    return options.epochs * batch_count(len(examples), options.batch, options.samples)


def train_quantized(
    program: Program,
    plan: QuantizationPlan,
    examples: Examples,
    task_loss: TaskLoss | None,
    classifier: bool,
    options: QatOptions,
    *,
    augmentation: Augmentation | None = None,
    state: State | None = None,
    save: Callable[[State], None] = lambda state: None,
    advance: Callable[[], None] = lambda: None,
) -> QuantizationPlan:
    """Train the integers of a plan.

    Args:
        program: float; the teacher, and where the weights come from that the plan has not rounded.
        plan: scales, and integers to start from if it has them.
        examples: training samples, in the order of the program's inputs.
        task_loss: None to learn from the teacher alone.
        classifier: the output is class scores.
        options: how.
        augmentation: of images.
        state: as ``save`` got it, to go on from.
        save: called after every epoch with everything needed to go on (tensors and plain values).
        advance: called after every step (`step_count` of them).

    Raises:
        DataError: fewer samples than a step needs.
        UserError: the loss is not finite.
    """
    steps = step_count(examples, options)
    if steps == 0:
        raise DataError("too few training samples", got=len(examples), allowed="at least 2")
    where = device()
    teacher, student = Simulation(program, None, where), Simulation(program, plan, where)
    layers = _layers(student, plan)
    optimizer = torch.optim.Adam(list(_groups(layers, options)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _cosine(s, steps))
    distance = Distillation(classifier, options.temperature)
    generator = torch.Generator().manual_seed(options.seed)
    generators = [generator] if augmentation is None else [generator, augmentation.generator]
    first = 0
    if state is not None:
        first = _load(state, layers, optimizer, schedule, generators)
    for _ in range(first * (steps // options.epochs)):
        advance()
    for epoch in range(first, options.epochs):
        for rows in batches(len(examples), options.batch, options.samples, generator):
            loss = _loss(teacher, student, layers, examples, rows, task_loss, distance, options, augmentation)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            advance()
        save(_state(epoch + 1, layers, optimizer, schedule, generators))
    return _learned(plan, layers)


def _variables(layers: list[_Layer]) -> list[Tensor]:
    return [layer.weight for layer in layers] + [layer.bias for layer in layers if layer.bias is not None]


def _state(
    epoch: int,
    layers: list[_Layer],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generators: list[torch.Generator],
) -> State:
    return {
        "epoch": epoch,
        "variables": [value.detach().cpu() for value in _variables(layers)],
        "optimizer": optimizer.state_dict(),
        "schedule": {"last_epoch": schedule.last_epoch},
        "generators": [generator.get_state() for generator in generators],
    }


@torch.no_grad()
def _load(
    state: State,
    layers: list[_Layer],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generators: list[torch.Generator],
) -> int:
    """Epochs that are done."""
    for value, saved in zip(_variables(layers), state["variables"], strict=True):
        value.copy_(saved)
    optimizer.load_state_dict(state["optimizer"])
    schedule.last_epoch = int(state["schedule"]["last_epoch"])
    for generator, saved in zip(generators, state["generators"], strict=True):
        generator.set_state(saved)
    return int(state["epoch"])


def _layers(student: Simulation, plan: QuantizationPlan) -> list[_Layer]:
    """What is trained; the calls of one layer train one weight."""
    tied, found = tied_layers(student.program, plan), dict[str, _Layer]()
    for node in student.program.nodes:
        if node.name in plan.weights:
            layer, first = _layer(student, plan, node), found.get(tied.get(node.name, ""))
            found[node.name] = layer if first is None else replace(layer, weight=first.weight)
    return list(found.values())


def _layer(student: Simulation, plan: QuantizationPlan, node: Node) -> _Layer:
    weight = student.constants[node.inputs[1]]
    scale = torch.from_numpy(plan.weights[node.name].spread(tuple(weight.shape))).to(student.where)
    rounded = plan.rounded.get(node.name)
    start = weight / scale if rounded is None else torch.from_numpy(rounded).float().to(student.where)
    bias = None
    if len(node.inputs) > 2:
        known = plan.biases.get(node.name)
        bias = student.constants[node.inputs[2]] if known is None else torch.from_numpy(known)
        bias = bias.clone().to(student.where).requires_grad_(True)
    limit = LIMITS[plan.weight_bits.get(node.name, 8)]
    return _Layer(node, scale, limit, start.clone().requires_grad_(True), bias)


def _groups(layers: list[_Layer], options: QatOptions) -> Iterator[dict[str, Any]]:
    weights = {id(layer.weight): layer.weight for layer in layers}
    yield {"params": list(weights.values()), "lr": options.rate}
    for layer in layers:
        if layer.bias is not None:
            peak = max(float(layer.bias.detach().abs().max()), 1e-3)
            yield {"params": [layer.bias], "lr": options.bias_rate * peak}


def _cosine(step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def _loss(
    teacher: Simulation,
    student: Simulation,
    layers: list[_Layer],
    examples: Examples,
    rows: Tensor,
    task_loss: TaskLoss | None,
    distance: Distillation,
    options: QatOptions,
    augmentation: Augmentation | None,
) -> Tensor:
    program = student.program
    inputs = zip(program.inputs, examples.batch(rows, augmentation), strict=True)
    feeds = {name: value.unsqueeze(1).to(student.where) for name, value in inputs}
    with torch.no_grad():
        wanted = teacher.run(program.nodes, feeds, program.outputs)
    constants = {layer.node.inputs[1]: layer.rounded() * layer.scale for layer in layers}
    constants |= {layer.node.inputs[2]: layer.bias for layer in layers if layer.bias is not None}
    settled = {name: student.enter(name, value) for name, value in feeds.items()}
    found = student.run(program.nodes, settled, program.outputs, constants)
    got, truth = (unbatched(program, values) for values in (found, wanted))
    loss = distance(got, truth)
    labels = examples.labels(rows)
    if task_loss is not None and labels is not None:
        task = task_loss(got, labels.to(student.where))
        loss = options.distill_weight * loss + (1 - options.distill_weight) * task
    if not bool(torch.isfinite(loss)):
        raise UserError("quantisation-aware training diverged", next_step="train for fewer epochs")
    return loss


def unbatched(program: Program, values: Values) -> Any:
    """Outputs as the network gives them for a batch: one tensor, or a list of them."""
    found = [values[name].flatten(0, 1) for name in program.outputs]
    return found[0] if len(found) == 1 else found


@torch.no_grad()
def _learned(plan: QuantizationPlan, layers: list[_Layer]) -> QuantizationPlan:
    rounded = {layer.node.name: layer.rounded().to(torch.int8).cpu().numpy() for layer in layers}
    biases = {
        layer.node.name: layer.bias.detach().cpu().numpy().copy()
        for layer in layers
        if layer.bias is not None
    }
    return replace(plan, rounded={**plan.rounded, **rounded}, biases={**plan.biases, **biases})
