"""Names of networks, as people type them: ``mobilenet_v2,width=0.5,size=96,classes=10``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketpress.core.errors import SourceError, UserError
from pocketpress.zoo.cards import COEFFICIENTS, IMAGES, KEYWORDS, Card, card_of

PREFIX = "zoo:"
OPTIONS = ("width", "size", "classes")
LEAST_WIDTH, MOST_WIDTH, MOST_CLASSES = 0.1, 4.0, 100_000
TRAINED = "network.json"
"""Beside trained weights: which network they are of."""
MAX_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class Choice:
    """An architecture with its numbers.

    Attributes:
        card: of the architecture.
        width: multiplier of the channels.
        size: side of the image, frames or word pieces.
        classes: number of outputs.
    """

    card: Card
    width: float
    size: int
    classes: int

    def __post_init__(self) -> None:
        card = self.card
        if card.widths is not None and self.width not in card.widths:
            raise UserError(f"{card.name} has no such width", got=self.width, allowed=card.widths)
        if not LEAST_WIDTH <= self.width <= MOST_WIDTH:
            raise UserError(
                f"{card.name}: width out of range", got=self.width, allowed=f"{LEAST_WIDTH} to {MOST_WIDTH:g}"
            )
        low, high = card.sizes
        if not low <= self.size <= high or self.size % card.multiple:
            allowed = f"{low} to {high}" + (f", multiples of {card.multiple}" if card.multiple > 1 else "")
            raise UserError(f"{card.name}: size out of range", got=self.size, allowed=allowed)
        if not 1 <= self.classes <= MOST_CLASSES:
            raise UserError(
                f"{card.name}: classes out of range", got=self.classes, allowed=f"1 to {MOST_CLASSES}"
            )

    def __str__(self) -> str:
        """The shortest name; what is left out has its default."""
        given = {"width": (self.width, 1.0), "size": (self.size, self.card.size)}
        given["classes"] = (self.classes, self.card.classes)
        return ",".join(
            [self.card.name, *(f"{k}={v:g}" for k, (v, default) in given.items() if v != default)]
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input, batch included."""
        if self.card.task == IMAGES:
            return (1, 3, self.size, self.size)
        if self.card.task == KEYWORDS:
            frames = (self.size, COEFFICIENTS)
            return (1, 1, *frames) if self.card.name == "ds_cnn" else (1, *frames)
        return (1, self.size)

    def with_shape(self, shape: Sequence[int]) -> Choice:
        """The same network for another input shape.

        Raises:
            UserError: the network takes no such input.
        """
        axis = {IMAGES: 3, KEYWORDS: -2}.get(self.card.task, 1)
        try:
            found = replace(self, size=shape[axis])
        except IndexError:
            found = self
        if found.shape != tuple(shape):
            raise UserError(f"{self.card.name} takes another input", got=tuple(shape), allowed=self.shape)
        return found


def parse(text: str) -> Choice:
    """The network of a name, with or without ``zoo:``.

    Raises:
        UserError: no such network, no such option, or a number out of range.
    """
    name, *options = text.removeprefix(PREFIX).split(",")
    card = card_of(name.strip())
    found = {"width": 1.0, "size": float(card.size), "classes": float(card.classes)}
    for option in options:
        key, _, value = option.partition("=")
        key = key.strip()
        if key not in OPTIONS:
            raise UserError(
                f"{name} has no such option", got=option, allowed=[f"{o}=NUMBER" for o in OPTIONS]
            )
        found[key] = _number(value, key)
    whole = {key: found[key] for key in ("size", "classes")}
    for key, number in whole.items():
        if number != int(number):
            raise UserError(f"{name}: {key} is not a whole number", got=number)
    return Choice(card, found["width"], int(found["size"]), int(found["classes"]))


def _number(text: str, key: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{key} is not a number", got=text or "nothing", allowed=f"{key}=1")
    return value


def trained(choice: Choice, weights: Path | None) -> Choice:
    """The network that ``weights`` were trained for, as `TRAINED` beside them says.

    Raises:
        SourceError: the file is damaged, or of another architecture.
    """
    card = None if weights is None else weights.parent / TRAINED
    if card is None or not card.is_file():
        return choice
    try:
        if card.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("too long")
        found = parse(str(json.loads(card.read_text(encoding="utf-8"))["network"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError) as error:
        raise SourceError(
            f"{card} does not name a network of the zoo", got=error, next_step="train it again, or delete it"
        ) from error
    if found.card.name != choice.card.name:
        raise SourceError(
            f"{weights} are the weights of another network", got=choice.card.name, allowed=found.card.name
        )
    given = str(choice)
    if given != choice.card.name and given != str(found):
        raise SourceError(f"{weights} are the weights of another network", got=given, allowed=str(found))
    return found
