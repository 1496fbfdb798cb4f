"""Example inputs of a network, from its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pocketpress.core.errors import SourceError, UnsupportedError

DEFAULT_TOKENS = 128
DEFAULT_SIDE = 224
MOST_ELEMENTS = 1 << 26
Shape = tuple[int, ...]


def input_names(main: str, config: Any) -> tuple[str, ...]:
    """Names of the inputs in order; text has a mask, and segments where the network tells them apart."""
    if main != "input_ids":
        return (main,)
    segments = int(getattr(config, "type_vocab_size", 0) or 0) > 1
    return ("input_ids", "attention_mask", *(("token_type_ids",) if segments else ()))


def example_inputs(
    names: Sequence[str],
    config: Any,
    shapes: Sequence[Shape] | None,
    image: tuple[int, int] | None,
) -> tuple[torch.Tensor, ...]:
    """One tensor per input.

    Args:
        names: of the inputs.
        config: of the network.
        shapes: what the user asked for, once for all inputs or once for each; None for the default.
        image: height and width that the preprocessing says.

    Raises:
        SourceError: shapes that do not fit.
        UnsupportedError: an input whose shape no configuration says.
    """
    if shapes is not None and len(shapes) not in (1, len(names)):
        raise SourceError(
            f"the network has {len(names)} inputs", got=f"{len(shapes)} shapes", allowed=list(names)
        )
    chosen = (
        [_default(names[0], config, image)] * len(names)
        if shapes is None
        else list(shapes) * (len(names) if len(shapes) == 1 else 1)
    )
    return tuple(_example(name, shape, config) for name, shape in zip(names, chosen, strict=True))


def _default(name: str, config: Any, image: tuple[int, int] | None) -> Shape:
    if name == "input_ids":
        return (1, min(DEFAULT_TOKENS, positions(config) or DEFAULT_TOKENS))
    if name == "pixel_values":
        return (1, int(getattr(config, "num_channels", 3)), *(image or _side(config)))
    bins = getattr(config, "num_mel_bins", None)
    if isinstance(bins, int) and isinstance(getattr(config, "max_source_positions", None), int):
        return (1, bins, 2 * config.max_source_positions)  # Whisper: the second convolution halves
    if isinstance(bins, int) and isinstance(getattr(config, "max_length", None), int):
        return (1, config.max_length, bins)  # the audio spectrogram transformer
    samples = name == "input_values" and hasattr(config, "conv_stride")  # as wav2vec 2.0 reads them
    shown = "1,16000 for one second at 16 kHz" if samples else "1,80,3000"
    raise UnsupportedError(
        f"the shape of input {name} is unknown", next_step=f"give --input, as --input {shown}"
    )


def positions(config: Any) -> int | None:
    """Tokens at most, where the network has positions at all."""
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:  # XLNet's says -1: any number
        return None
    return max(most - (position_offset(config) or 0), 0)


def position_offset(config: Any) -> int | None:
    """Where positions begin in networks that count them from the ids or the mask; None elsewhere."""
    kind = getattr(config, "model_type", "")
    if kind in COUNTED_FROM_MASK:
        return 0
    if kind not in COUNTED_FROM_PADDING:
        return None
    return int(getattr(config, "pad_token_id", None) or 0) + 1


COUNTED_FROM_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "mpnet",
    "ibert",
    "data2vec-text",
)
COUNTED_FROM_MASK = ("opt",)


def _side(config: Any) -> tuple[int, int]:
    side = getattr(config, "image_size", None) or DEFAULT_SIDE
    pair: Any = side if isinstance(side, (list, tuple)) else (side, side)
    if isinstance(side, Mapping):
        pair = (side.get("height"), side.get("width"))
    if len(pair) != 2 or not all(isinstance(s, int) and s > 0 for s in pair):
        raise SourceError("image_size of config.json is malformed", got=side, allowed="one or two numbers")
    return int(pair[0]), int(pair[1])


def _example(name: str, shape: Shape, config: Any) -> torch.Tensor:
    if min(shape, default=1) < 1 or math.prod(shape) > MOST_ELEMENTS:
        raise SourceError(
            f"input {name} is out of range", got=shape, allowed=f"1 to {MOST_ELEMENTS} elements"
        )
    if name == "attention_mask":
        return torch.ones(shape, dtype=torch.int64)
    if name == "token_type_ids":
        return torch.zeros(shape, dtype=torch.int64)
    if name == "input_ids":
        if len(shape) != 2:
            raise SourceError("token ids have another shape", got=shape, allowed="(1, tokens)")
        most = positions(config)
        if most is not None and shape[1] > most:
            raise SourceError("more tokens than the network has positions for", got=shape[1], allowed=most)
        count = max(int(getattr(config, "vocab_size", 1)), 1)
        return (torch.arange(shape[0] * shape[1]) % count).reshape(shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
