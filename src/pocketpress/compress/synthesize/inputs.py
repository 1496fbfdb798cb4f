"""Inputs optimised until every batch-norm layer sees what it saw in training.

ZeroQ (Cai et al. 2020, arXiv:2001.00281, eq. 3) and The Knowledge Within (Haroush et al. 2020,
arXiv:1912.01274): start from noise and descend, by Adam on the inputs themselves, the distance between the
moments a batch causes at the batch-norm layers and the moments they remember.  Added here: inputs stay inside
the range real ones have, images start smooth and are kept so by their total variation, and distances are
relative, so that no layer drowns another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pocketpress.compress.synthesize.batch_norm import BatchNormNetwork

BATCH = 32
STEPS = 60
LEARNING_RATE = 0.05
"""Of the range an input has, a step at first; a cosine brings it to zero."""
TOTAL_VARIATION = 0.1
COARSE = 4
"""Images start as noise of so many cells a side, stretched, plus a little noise of single pixels."""
LEVELS = 255


@dataclass(frozen=True)
class InputSpace:
    """What an input may be.

    Attributes:
        shape: of one sample, with its batch axis of 1.
        low: smallest value, broadcastable to ``shape``.
        high: largest value.
        bounded: whether low and high are known, or only where the search starts.
        pixels: values are one of 256 even levels from low to high.
        sides: the axes of height and width of an image, else None.
    """

    shape: tuple[int, ...]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    bounded: bool
    pixels: bool = False
    sides: tuple[int, int] | None = None


@dataclass(frozen=True)
class Synthesis:
    """Inputs, and how near they come to what the network remembers.

    Attributes:
        inputs: by name, (samples, 1, ...), float32; as shares of the range from low to high.
        distance: of the moments over all samples, averaged over layers; see `Layer.distance`.
        worst: of the layer that is matched least.
        start: the average before the first step.
        layers: number of batch-norm layers.
    """

    inputs: dict[str, npt.NDArray[np.float32]]
    distance: float
    worst: float
    start: float
    layers: int


def batches(samples: int) -> list[int]:
    """Sizes of the batches that are optimised one after another: even, and none above `BATCH`."""
    count = -(-samples // BATCH)
    return [samples // count + (i < samples % count) for i in range(count)]


def synthesize(
    network: BatchNormNetwork,
    spaces: Mapping[str, InputSpace],
    samples: int,
    seed: int,
    *,
    steps: int = STEPS,
    advance: Callable[[], None] = lambda: None,
) -> Synthesis:
    """Make ``samples`` inputs; the same on the same machine for the same seed.

    Args:
        network: with at least one batch-norm layer that every input reaches.
        spaces: by input name.
        samples: in batches of at most `BATCH`, each optimised by itself from noise of its own.
        seed: of that noise.
        steps: of Adam, per batch.
        advance: called once per step.
    """
    generator = torch.Generator().manual_seed(seed)
    starts, ends = [], []
    for size in batches(samples):
        begin = {name: _noise(space, size, generator) for name, space in spaces.items()}
        starts.append({name: value.clone() for name, value in begin.items()})
        ends.append(_descend(network, spaces, begin, steps, advance))
    first, last = _together(starts), _together(ends)
    last = {name: _levelled(value, spaces[name]) for name, value in last.items()}
    with torch.no_grad():
        before = network.distances(_real(first, spaces))
        after = network.distances(_real(last, spaces))
    return Synthesis(
        {name: value.numpy() for name, value in last.items()},
        float(after.mean()),
        float(after.max()),
        float(before.mean()),
        len(network.layers),
    )


def _descend(
    network: BatchNormNetwork,
    spaces: Mapping[str, InputSpace],
    values: dict[str, Tensor],
    steps: int,
    advance: Callable[[], None],
) -> dict[str, Tensor]:
    for value in values.values():
        value.requires_grad_(True)
    optimizer = torch.optim.Adam(list(values.values()), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = network.distances(_real(values, spaces)).mean()
        for name, space in spaces.items():
            if space.sides is not None:
                loss = loss + TOTAL_VARIATION * total_variation(values[name], space.sides)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for name, space in spaces.items():
                if space.bounded:
                    values[name].clamp_(0, 1)
        advance()
    return {name: value.detach() for name, value in values.items()}


def total_variation(values: Tensor, sides: tuple[int, int]) -> Tensor:
    """Mean absolute difference of neighbours (Rudin et al. 1992, anisotropic), summed over both sides.

    Args:
        values: (batch, 1, ...).
        sides: axes of one sample, (1, ...), that are height and width.
    """
    differences = [torch.diff(values, dim=axis + 1).abs() for axis in sides]
    return torch.stack([d.mean() if d.numel() else d.sum() for d in differences]).sum()


def _real(values: Mapping[str, Tensor], spaces: Mapping[str, InputSpace]) -> dict[str, Tensor]:
    """From shares of the range to what the network takes."""
    result = {}
    for name, share in values.items():
        low, high = (torch.from_numpy(v) for v in (spaces[name].low, spaces[name].high))
        result[name] = low + share * (high - low)
    return result


def _noise(space: InputSpace, size: int, generator: torch.Generator) -> Tensor:
    """Gaussian around the middle of the range, a sixth to a third of it wide."""
    shape = (size, *space.shape)
    fine = torch.randn(shape, generator=generator)
    if space.sides is None:
        value = 0.5 + 0.25 * fine
    else:
        coarse_shape = list(shape)
        for axis in space.sides:
            coarse_shape[axis + 1] = min(COARSE, shape[axis + 1])
        coarse = torch.randn(coarse_shape, generator=generator)
        for axis in space.sides:
            coarse = _stretched(coarse, axis + 1, shape[axis + 1])
        value = 0.5 + 0.3 * coarse + 0.1 * fine
    return value.clamp(0, 1) if space.bounded else value


def _stretched(value: Tensor, axis: int, size: int) -> Tensor:
    """Linear interpolation along one axis, end to end."""
    cells = value.shape[axis]
    position = torch.linspace(0, cells - 1, size)
    left = position.floor().long().clamp(max=max(cells - 2, 0))
    shape = [-1 if a == axis else 1 for a in range(value.ndim)]
    share = (position - left).reshape(shape)
    right = (left + 1).clamp(max=cells - 1)
    return value.index_select(axis, left) * (1 - share) + value.index_select(axis, right) * share


def _levelled(value: Tensor, space: InputSpace) -> Tensor:
    return torch.round(value * LEVELS) / LEVELS if space.pixels else value


def _together(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
