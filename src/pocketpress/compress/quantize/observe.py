"""Statistics of activations over calibration samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pocketpress.compress.quantize.channels import channel_axes
from pocketpress.core.errors import DataError
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array

MAX_VALUES = 1 << 17
TAIL = 32
"""So many of the lowest and of the highest values of every sample are kept besides: a subset misses them."""
Run = Callable[[Program, Mapping[str, Array], Iterable[str]], Mapping[str, Array]]


@dataclass
class TensorStats:
    """Extremes, channel means and peaks over everything seen, and a bounded subset of the values.

    ``count`` values were seen; ``lowest`` and ``highest`` are the `TAIL` least and largest of every sample.
    Per channel, shape (channels,), along ``channel_axis``: ``channel_peak`` is the largest magnitude,
    ``channel_floor`` the least.
    """

    low: float = np.inf
    high: float = -np.inf
    chunks: list[npt.NDArray[np.float32]] = field(default_factory=list)
    lowest: list[npt.NDArray[np.float32]] = field(default_factory=list)
    highest: list[npt.NDArray[np.float32]] = field(default_factory=list)
    count: int = 0
    channel_sum: npt.NDArray[np.float64] | None = None
    channel_peak: npt.NDArray[np.float64] | None = None
    channel_floor: npt.NDArray[np.float64] | None = None
    samples: int = 0
    channel_axis: int | None = None

    @property
    def channel_mean(self) -> npt.NDArray[np.float64] | None:
        """Mean per channel, shape (channels,)."""
        return None if self.channel_sum is None else self.channel_sum / max(self.samples, 1)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The kept values, shape (n,)."""
        return np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.float32)

    @classmethod
    def merged(cls, parts: Iterable[TensorStats]) -> TensorStats:
        """Statistics of several tensors that must share one scale."""
        items = list(parts)
        return cls(
            min(i.low for i in items),
            max(i.high for i in items),
            [chunk for item in items for chunk in item.chunks],
            [tail for item in items for tail in item.lowest],
            [tail for item in items for tail in item.highest],
            sum(i.count for i in items),
        )

    @classmethod
    def of(cls, values: Array) -> TensorStats:
        """Statistics of a constant."""
        flat = np.asarray(values, np.float32).reshape(-1)
        low, high = float(flat.min(initial=0)), float(flat.max(initial=0))
        return cls(low, high, [flat], [flat], [flat], flat.size)


def observe(
    program: Program,
    names: Iterable[str],
    samples: Iterable[Mapping[str, Array]],
    count: int,
    run: Run,
    progress: Callable[[], None] = lambda: None,
) -> dict[str, TensorStats]:
    """Run the float program over the samples and collect statistics of ``names``.

    Args:
        program: float program.
        names: tensors to observe.
        samples: one mapping input name -> array per inference.
        count: number of samples, to bound what is kept of each.
        run: the interpreter.
        progress: called once per sample.

    Raises:
        DataError: no samples, or an activation that is NaN or infinite.
    """
    wanted = list(names)
    axes = channel_axes(program)
    stats = {name: TensorStats(channel_axis=axes.get(name)) for name in wanted}
    per_sample = max(64, MAX_VALUES // max(count, 1))
    seen = 0
    for feeds in samples:
        for name, value in run(program, feeds, wanted).items():
            _add(stats[name], name, value, per_sample, seen)
        seen += 1
        progress()
    if seen == 0:
        raise DataError("no calibration samples", next_step="give --data with at least one sample")
    return stats


def _add(stats: TensorStats, name: str, value: Array, keep: int, seed: int) -> None:
    flat = value.reshape(-1)
    low, high = float(flat.min()), float(flat.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise DataError(
            f"activation {name} is NaN or infinite on calibration sample {seed}",
            next_step="check the sample and the network's weights",
        )
    stats.low, stats.high = min(stats.low, low), max(stats.high, high)
    if value.ndim > 1 and stats.channel_axis is not None:
        axes = tuple(a for a in range(value.ndim) if a != stats.channel_axis)
        mean = value.mean(axis=axes, dtype=np.float64)
        stats.channel_sum = mean if stats.channel_sum is None else stats.channel_sum + mean
        stats.samples += 1
        floor = value.min(axis=axes).astype(np.float64)
        stats.channel_floor = floor if stats.channel_floor is None else np.minimum(stats.channel_floor, floor)
        peak = np.maximum(value.max(axis=axes), -floor).astype(np.float64)
        stats.channel_peak = peak if stats.channel_peak is None else np.maximum(stats.channel_peak, peak)
    stats.count += flat.size
    tail = min(TAIL, flat.size)
    ordered = np.partition(flat, (tail - 1, flat.size - tail))
    stats.lowest.append(ordered[:tail].astype(np.float32))
    stats.highest.append(ordered[flat.size - tail :].astype(np.float32))
    if flat.size > keep:
        start = (seed * 7919) % flat.size
        stride = max(1, flat.size // keep) | 1
        flat = flat[(start + stride * np.arange(keep)) % flat.size]
    stats.chunks.append(flat.astype(np.float32, copy=True))
