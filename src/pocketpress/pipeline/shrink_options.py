"""What to do to the live network before it is exported: prune, factorise, mask, fine-tune."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pocketpress.core.errors import UserError

IMPORTANCES = ("magnitude", "bn-scale", "taylor", "hessian")


@dataclass(frozen=True)
class ShrinkOptions:
    """Steps on the live network, in this order: prune, low-rank, mask, fine-tune.

    Attributes:
        prune: "2x" for half the multiply-accumulates, "40%" for 40 % fewer.
        importance: one of `IMPORTANCES`.
        prune_align: multiple that pruned widths are of; None to choose.
        prune_steps: prune in so many steps, with fine-tuning between.
        prune_for: target whose measured latency is the objective, with ``prune_latency``.
        prune_latency: latency to reach, as a share of the float network's in that target.
        low_rank: share of the energy that factorised layers keep.
        mask: "2:4" or "50%".
        finetune: training data, as `PressOptions.data`.
        loss: name of the task loss, or ``module:function`` or a function of (outputs, targets).
        epochs: passes over the training data, all pruning steps together.
        samples: samples an epoch; None for all.
        batch: samples a step.
        learning_rate: peak; None to choose.
        distill_weight: share of the distillation in the loss when there are labels.
        temperature: of the distillation of class scores.
        augment: random crops and mirroring of images.
        bfloat16: fine-tune with bfloat16 matrix products.
        resume: go on from the checkpoint in ``out/checkpoints``.
    """

    prune: str | None = None
    importance: str = "magnitude"
    prune_align: int | None = None
    prune_steps: int = 1
    prune_for: str | None = None
    prune_latency: float | None = None
    low_rank: float | None = None
    mask: str | None = None
    finetune: str | None = None
    loss: str | Callable[..., Any] = "auto"
    epochs: int = 10
    samples: int | None = None
    batch: int = 128
    learning_rate: float | None = None
    distill_weight: float = 0.7
    temperature: float = 4.0
    augment: bool = True
    bfloat16: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.prune is not None:
            kept_share(self.prune)
        if self.importance not in IMPORTANCES:
            raise UserError("unknown importance", got=self.importance, allowed=IMPORTANCES)
        if (self.prune_for is None) != (self.prune_latency is None):
            raise UserError(
                "--prune-for and --prune-latency go together",
                next_step="give both, as --prune-for litert --prune-latency 0.6",
            )
        if self.prune_for is not None and self.prune is not None:
            raise UserError(
                "--prune and --prune-for are two objectives",
                next_step="give one of them",
            )
        for name, value in (("--prune-latency", self.prune_latency), ("--low-rank", self.low_rank)):
            if value is not None and not 0 < value < 1:
                raise UserError(f"{name} is a share", got=value, allowed="between 0 and 1, as 0.6")
        if self.epochs < 0:
            raise UserError("epochs must be at least 0", got=self.epochs)
        for name in ("prune_steps", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1", got=getattr(self, name))
        if self.learning_rate is not None and not 0 < self.learning_rate < 100:
            raise UserError("the learning rate must be positive", got=self.learning_rate)
        if not 0 <= self.distill_weight <= 1:
            raise UserError("the distillation weight is a share", got=self.distill_weight, allowed="0 to 1")
        self._check_data()

    def _check_data(self) -> None:
        if self.finetune is not None:
            return
        if self.prunes and self.importance in ("taylor", "hessian"):
            raise UserError(
                f"importance {self.importance} needs labelled data",
                next_step="give --finetune data with labels, or use --importance magnitude",
            )
        if self.prune_steps > 1:
            raise UserError(
                "pruning in steps needs fine-tuning between them", next_step="give --finetune data"
            )
        if self.resume:
            raise UserError(
                "there is nothing to resume without fine-tuning", next_step="give --finetune data"
            )

    @property
    def prunes(self) -> bool:
        """Whether channels are removed."""
        return self.prune is not None or self.prune_for is not None

    @property
    def wanted(self) -> bool:
        """Whether there is anything to do."""
        trains = self.finetune is not None and self.epochs > 0
        return self.prunes or trains or self.low_rank is not None or self.mask is not None


def chosen(options: ShrinkOptions) -> dict[str, Any]:
    """What differs from the defaults, by name."""
    standard = asdict(ShrinkOptions())
    given = asdict(options)
    given["loss"] = loss_name(options.loss)
    return {k: v for k, v in given.items() if v != standard[k] and k != "resume"}


def loss_name(loss: str | Callable[..., Any]) -> str:
    """A loss as the record names it."""
    if isinstance(loss, str):
        return loss
    return f"{getattr(loss, '__module__', '')}:{getattr(loss, '__qualname__', type(loss).__name__)}"


def kept_share(text: str) -> float:
    """Share of the multiply-accumulates that "2x" or "40%" leaves.

    Raises:
        UserError: neither form, or nothing is removed, or everything.
    """
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)x", text)) and float(match[1]) > 1:
        return 1 / float(match[1])
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text)) and 0 < float(match[1]) < 100:
        return 1 - float(match[1]) / 100
    raise UserError("not an amount to prune", got=text, allowed=["2x (times fewer)", "40% (fewer)"])
