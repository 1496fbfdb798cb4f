"""Train a classifier from random weights.

Stochastic gradient descent with Nesterov momentum for networks with batch-norm, AdamW (Loshchilov and Hutter
2019, arXiv:1711.05101) for the others; a linear warm-up and a cosine; label smoothing (Szegedy et al. 2016,
arXiv:1512.00567); an exponential average of the weights (Polyak and Juditsky 1992), which is what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.schedule import one_cycle
from pocketpress.zoo.checkpoint import Stand

SGD_RATE, ADAMW_RATE, RATE_BATCH = 0.1, 1e-3, 128
MOMENTUM, MAX_GRADIENT = 0.9, 5.0
CHECKED = 500
"""Samples a step when accuracy is counted."""

Batch = tuple[tuple[Tensor, ...], Tensor]
Epoch = Callable[[torch.Generator], Iterator[Batch]]
"""The batches of one epoch, inputs and class numbers; all chance from the generator."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result besides network and data.

    Attributes:
        epochs: passes over the samples.
        batch: samples a step.
        learning_rate: peak; None for 0.1 with SGD (per 128 samples a step), 0.001 with AdamW.
        warm_up: share of the steps in which the rate rises.
        weight_decay: of weights of two and more axes.
        label_smoothing: share of the target that all classes divide.
        average: decay of the average of the weights per step, less in the beginning; 0 for none.
        augment: random crops of images.
        mirror: random mirroring of images, too.
        seed: of weights, order and augmentation.
    """

    epochs: int = 20
    batch: int = 128
    learning_rate: float | None = None
    warm_up: float = 0.15
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    average: float = 0.99
    augment: bool = True
    mirror: bool = True
    seed: int = 0


@dataclass
class Training:
    """A network on its way.

    Attributes:
        network: what is trained, on ``device``.
        recipe: how.
        steps: of one epoch.
        device: the GPU where there is one.
        history: one entry per finished epoch: loss, and accuracy where it was counted.
    """

    network: nn.Module
    recipe: Recipe
    steps: int
    device: torch.device
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        order = image_order(self.device)
        self.network.to(device=self.device, memory_format=order)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.network, self.recipe)
        self.generator = torch.Generator().manual_seed(self.recipe.seed)
        self.average = {name: value.clone() for name, value in self._floats().items()}
        self.step = 0

    def _floats(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {name: value for name, value in state.items() if value.is_floating_point()}

    def run(
        self,
        epoch: Epoch,
        check: Callable[[nn.Module], float] | None,
        save: Callable[[Stand], None],
        advance: Callable[[], None],
    ) -> None:
        """Train the epochs that are left, in place.

        Args:
            epoch: batches.
            check: accuracy of the averaged network after an epoch.
            save: called after every epoch with everything needed to go on.
            advance: called after every step.

        Raises:
            UserError: the loss is not finite.
        """
        for _ in range(self.steps * len(self.history)):
            advance()
        with torch.random.fork_rng(devices=[]):
            for number in range(len(self.history), self.recipe.epochs):
                torch.manual_seed(self.recipe.seed + number)  # of dropout, which has no generator of its own
                self.network.train()
                total = 0.0
                for inputs, labels in epoch(self.generator):
                    total += self._learn(inputs, labels)
                    advance()
                entry = {"loss": total / self.steps}
                if check is not None:
                    entry["accuracy"] = self._checked(check)
                self.history.append(entry)
                save(self.stand())

    def _learn(self, inputs: tuple[Tensor, ...], labels: Tensor) -> float:
        recipe, total = self.recipe, self.steps * self.recipe.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = _peak(self.optimizer, recipe) * one_cycle(self.step, total, recipe.warm_up)
        placed = tuple(_placed(value, self.device) for value in inputs)
        loss = nn.functional.cross_entropy(
            self.network(*placed), labels.to(self.device), label_smoothing=recipe.label_smoothing
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.step += 1
        self._average()
        value = float(loss.detach())
        if not value < float("inf"):
            raise UserError(
                "training diverged: the loss is not finite",
                next_step="use a smaller --learning-rate",
            )
        return value

    def _average(self) -> None:
        """Towards the weights; a young average forgets faster, so that it does not keep the random start."""
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step)) if self.recipe.average else 0.0
        floats = self._floats()
        kept = [self.average[name] for name in floats]
        torch._foreach_lerp_(kept, list(floats.values()), 1 - decay)

    def _checked(self, check: Callable[[nn.Module], float]) -> float:
        own = {name: value.clone() for name, value in self._floats().items()}
        self.network.load_state_dict(self.average, strict=False)
        found = check(self.network.eval())
        self.network.load_state_dict(own, strict=False)
        return found

    def finished(self) -> nn.Module:
        """The averaged network on the CPU, in evaluation mode."""
        self.network.load_state_dict(self.average, strict=False)
        self.network.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return self.network.eval()

    def stand(self) -> Stand:
        """Everything needed to go on."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        tensors["generator"] = self.generator.get_state()
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in state.items()}
        return Stand(tensors, {"step": self.step, "history": self.history})

    def restore(self, stand: Stand) -> None:
        """Go on from there.

        Raises:
            ArtifactError: it is of another network.
        """
        try:
            self.network.load_state_dict(_under(stand, "network"))
            average = _under(stand, "average")
            self.average = {name: average[name].to(self.device) for name in self.average}
            self.generator.set_state(stand.tensors["generator"])
            states: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(stand, "optimizer").items():
                number, _, key = name.partition(".")
                states.setdefault(int(number), {})[key] = value
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
            self.step = int(stand.facts["step"])
            self.history = [{k: float(v) for k, v in entry.items()} for entry in stand.facts["history"]]
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ArtifactError(
                "the checkpoint does not fit the network", got=error, next_step="leave --resume out"
            ) from error


def image_order(where: torch.device) -> torch.memory_format:
    """How images lie in memory: channels last, where convolutions are faster then.

    Not on x86 processors without AVX-512: oneDNN's backward of a strided 1x1 convolution, channels last,
    writes past its memory there (torch 2.13; the C library finds the heap corrupt).
    """
    narrow = where.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.contiguous_format if narrow else torch.channels_last


def _under(stand: Stand, prefix: str) -> dict[str, Tensor]:
    head = f"{prefix}."
    return {name[len(head) :]: value for name, value in stand.tensors.items() if name.startswith(head)}


def _placed(value: Tensor, device: torch.device) -> Tensor:
    order = image_order(device) if value.ndim == 4 else torch.preserve_format
    return value.to(device, memory_format=order)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    owned = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in owned if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in owned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        return torch.optim.SGD(groups, SGD_RATE, MOMENTUM, nesterov=True)
    return torch.optim.AdamW(groups, ADAMW_RATE)


def _peak(optimizer: torch.optim.Optimizer, recipe: Recipe) -> float:
    if recipe.learning_rate is not None:
        return recipe.learning_rate
    return SGD_RATE * recipe.batch / RATE_BATCH if isinstance(optimizer, torch.optim.SGD) else ADAMW_RATE


@torch.no_grad()
def right_answers(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> int:
    """How many samples get the highest score at their own class; evaluation mode."""
    hits = 0
    for inputs, labels in batches:
        scores = network(*(_placed(value, device) for value in inputs))
        hits += int((scores.argmax(1).cpu() == labels).sum())
    return hits
