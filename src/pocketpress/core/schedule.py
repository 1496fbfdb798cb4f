"""Learning rates over the steps of a training."""

from __future__ import annotations

import math


def one_cycle(step: int, steps: int, warm_up: float) -> float:
    """Share of the peak rate at a step: a linear rise over ``warm_up`` of the steps, a cosine to zero after.

    The cosine is that of Loshchilov and Hutter 2017, "SGDR", arXiv:1608.03983, without restarts.
    """
    rise = max(1, int(steps * warm_up))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise))))
