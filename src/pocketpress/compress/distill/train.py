"""Fine-tune a network with the float network as its teacher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.compress.distill.examples import (
    Augmentation,
    Examples,
    batch_count,
    batches,
    padding_of,
)
from pocketpress.compress.distill.losses import Distillation, TaskLoss
from pocketpress.core.errors import DataError, UserError
from pocketpress.core.schedule import one_cycle

Advance = Callable[[], None]
State = dict[str, Any]
Masks = Mapping[str, Tensor]
WARM_UP = 0.25
MOMENTUM = 0.9
SGD_RATE, ADAMW_RATE = 0.05, 1e-3
PROBED = 256
MIRROR_MARGIN = 0.03
"""Mirroring is used when the teacher loses at most this share of its answers on mirrored images."""


@dataclass(frozen=True)
class TrainOptions:
    """How to fine-tune.

    Attributes:
        epochs: passes over the samples.
        batch: samples a step.
        samples: samples an epoch, drawn anew each time; None for all.
        learning_rate: peak of the one-cycle schedule; None for 0.05 with SGD, 0.001 with AdamW.
        optimizer: "sgd" (Nesterov momentum 0.9), "adamw", or "auto": SGD for networks with batch-norm.
        weight_decay: of weights of two and more axes.
        distill_weight: share of the distillation in the loss when there is a task loss.
        temperature: of the distillation of class scores.
        augment: random crops, and mirroring where the teacher is indifferent to it; images only.
        bfloat16: compute matrix products in bfloat16.
        seed: of order and augmentation.
    """

    epochs: int = 10
    batch: int = 128
    samples: int | None = None
    learning_rate: float | None = None
    optimizer: str = "auto"
    weight_decay: float = 5e-4
    distill_weight: float = 0.7
    temperature: float = 4.0
    augment: bool = True
    bfloat16: bool = False
    seed: int = 0


@dataclass
class Progress:
    """What became of a fine-tuning: mean loss of every epoch, and what was decided on the way."""

    losses: list[float] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16(where: torch.device) -> bool:
    """Whether bfloat16 is arithmetic of the device, and not emulated."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def image_order(where: torch.device) -> torch.memory_format:
    """How images lie in memory: channels last, where convolutions are faster then.

    Not on x86 processors without AVX-512: oneDNN's backward of a strided 1x1 convolution, channels last,
    writes past its memory there (torch 2.13; the C library finds the heap corrupt).
    """
    narrow = where.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if narrow else torch.channels_last


def fine_tune(
    student: nn.Module,
    teacher: nn.Module,
    examples: Examples,
    task_loss: TaskLoss | None,
    classifier: bool,
    options: TrainOptions,
    *,
    masks: Masks | None = None,
    state: State | None = None,
    save: Callable[[State], None] = lambda state: None,
    advance: Advance = lambda: None,
) -> Progress:
    """Train ``student`` in place; it ends on the CPU in evaluation mode.

    Args:
        student: what is trained.
        teacher: the float network; evaluation mode, not changed.
        examples: training samples.
        task_loss: None to learn from the teacher alone.
        classifier: the output is class scores.
        options: how.
        masks: by parameter name, 0 where a weight stays 0.
        state: as ``save`` got it, to go on from.
        save: called after every epoch with everything needed to go on (tensors and plain values).
        advance: called after every step.

    Raises:
        DataError: fewer samples than a step needs, or the network takes no batches.
        UserError: the loss is not finite.
    """
    steps = batch_count(len(examples), options.batch, options.samples)
    if steps == 0:
        raise DataError("too few fine-tuning samples", got=len(examples), allowed="at least 2")
    where = device()
    teacher.eval()
    _check_batches(teacher, examples)
    generator = torch.Generator().manual_seed(options.seed)
    augmentation, notes = _augmentation(teacher, examples, classifier, options, generator)
    if options.bfloat16 and not has_bfloat16(where):
        options = replace(options, bfloat16=False)
        notes += ("in float32: this processor has no bfloat16 arithmetic",)
    _place(student, where)
    optimizer = _optimizer(student, options)
    schedule = _schedule(optimizer, steps * options.epochs)
    progress = Progress(notes=notes)
    if state is not None:
        _load(state, student, optimizer, schedule, generator, progress)
    distance = Distillation(classifier, options.temperature)
    with torch.random.fork_rng(), _in_training(student, teacher, where):
        torch.manual_seed(options.seed)  # of dropout, which has no generator of its own
        if state is not None:
            torch.set_rng_state(state["dropout"])
        for _ in range(steps * len(progress.losses)):
            advance()
        for _ in range(len(progress.losses), options.epochs):
            total = 0.0
            for rows in batches(len(examples), options.batch, options.samples, generator):
                inputs = tuple(_placed(t, where) for t in examples.batch(rows, augmentation))
                labels = examples.labels(rows)
                loss = _loss(student, teacher, inputs, labels, task_loss, distance, options, where)
                _step(loss, student, optimizer, schedule, masks)
                total += float(loss.detach())
                advance()
            progress.losses.append(total / steps)
            save(_state(student, optimizer, schedule, generator, progress))
    return progress


@torch.no_grad()
def _check_batches(network: nn.Module, examples: Examples) -> None:
    try:
        network(*examples.batch(torch.arange(min(2, len(examples)))))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            "the network fails on a batch of fine-tuning samples",
            got=" ".join(str(error).split())[:200],
            next_step="let forward take any batch size, not that of the example input alone",
        ) from error


@contextlib.contextmanager
def _in_training(student: nn.Module, teacher: nn.Module, where: torch.device) -> Iterator[None]:
    """Both on the device, the student in training mode; afterwards both on the CPU in evaluation mode."""
    _place(student, where)
    _place(teacher, where)
    student.train()
    teacher.eval()
    try:
        yield
    finally:
        student.eval()
        for network in (student, teacher):
            _place(network, torch.device("cpu"), torch.contiguous_format)


def _place(network: nn.Module, where: torch.device, order: torch.memory_format | None = None) -> None:
    """Bring a network to a device, its filters as `image_order` says."""
    order = order or image_order(where)
    network.to(device=where, memory_format=order)  # type: ignore[call-overload]


def _placed(tensor: Tensor, where: torch.device) -> Tensor:
    order = image_order(where) if tensor.ndim == 4 else torch.preserve_format
    return tensor.to(where, memory_format=order)


def _loss(
    student: nn.Module,
    teacher: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor | None,
    task_loss: TaskLoss | None,
    distance: Distillation,
    options: TrainOptions,
    where: torch.device,
) -> Tensor:
    cast = torch.autocast(where.type, torch.bfloat16) if options.bfloat16 else contextlib.nullcontext()
    with cast:
        with torch.no_grad():
            wanted = teacher(*inputs)
        got = student(*inputs)
    loss = distance(_single(got), _single(wanted))
    if task_loss is not None and labels is not None:
        task = task_loss(_single(got), labels.to(where))
        loss = options.distill_weight * loss + (1 - options.distill_weight) * task
    if not bool(torch.isfinite(loss)):
        raise UserError(
            "fine-tuning diverged: the loss is not a finite number", next_step="use a smaller --learning-rate"
        )
    return loss


def _single(outputs: Any) -> Any:
    """The real ones of the outputs, in float32."""
    from torch.utils._pytree import tree_leaves, tree_map

    tensors = [v for v in tree_leaves(outputs) if isinstance(v, Tensor)]
    real = [v.float() for v in tensors if v.is_floating_point()]
    if not real:
        raise UserError(
            "fine-tuning needs real outputs",
            got="whole numbers only",
            next_step="let the network return its scores, or beside the classes",
        )
    if len(real) < len(tensors):
        return real[0] if len(real) == 1 else real
    return tree_map(lambda v: v.float() if isinstance(v, Tensor) and v.is_floating_point() else v, outputs)


def _step(
    loss: Tensor,
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    masks: Masks | None,
) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(student.parameters(), 5.0)
    optimizer.step()
    schedule.step()
    if masks:
        with torch.no_grad():
            for name, mask in masks.items():
                parameter = student.get_parameter(name)
                parameter.mul_(mask.to(parameter.device))


def _optimizer(student: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    owned = [p for p in student.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in owned if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in owned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in student.modules())
    if options.optimizer == "sgd" or (options.optimizer == "auto" and normed):
        return torch.optim.SGD(groups, options.learning_rate or SGD_RATE, MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, options.learning_rate or ADAMW_RATE)


def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps, WARM_UP))


def _augmentation(
    teacher: nn.Module,
    examples: Examples,
    classifier: bool,
    options: TrainOptions,
    generator: torch.Generator,
) -> tuple[Augmentation | None, tuple[str, ...]]:
    images = examples.inputs[0]
    pictures = images.ndim == 4 and images.shape[1] in (1, 3) and not examples.channels_last
    if not (options.augment and classifier and pictures and len(examples.inputs) == 1):
        return None, ()
    mirror = mirror_is_safe(teacher, examples)
    note = (
        "samples are cropped and mirrored at random"
        if mirror
        else "samples are cropped at random, and not mirrored: the float network tells left from right"
    )
    return Augmentation(generator, padding_of(images), mirror), (note,)


@torch.no_grad()
def mirror_is_safe(teacher: nn.Module, examples: Examples) -> bool:
    """Whether the teacher answers mirrored images nearly as well as the images.

    With labels: its accuracy falls by at most `MIRROR_MARGIN`.  Without: always, since the teacher itself
    says what the mirrored image is.
    """
    if examples.targets is None:
        return True
    rows = torch.arange(min(PROBED, len(examples)))
    (images,), labels = examples.batch(rows), examples.targets[rows]
    plain = _accuracy(teacher(images), labels)
    return _accuracy(teacher(images.flip(-1)), labels) >= plain - MIRROR_MARGIN


def _accuracy(outputs: Any, labels: Tensor) -> float:
    from pocketpress.compress.distill.losses import tensors

    return float((tensors(outputs)[0].argmax(1) == labels).float().mean())


def _state(
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    progress: Progress,
) -> State:
    return {
        "network": student.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {"last_epoch": schedule.last_epoch},
        "generator": generator.get_state(),
        "dropout": torch.get_rng_state(),
        "losses": list(progress.losses),
    }


def _load(
    state: State,
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    student.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.last_epoch = int(state["schedule"]["last_epoch"])
    generator.set_state(state["generator"])
    progress.losses = list(state["losses"])
