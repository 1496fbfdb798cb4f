"""How much output noise a promised drop of the metric allows.

The outputs of the float network get white Gaussian noise of growing power, and the metric says when it has
lost too much.  Quantisation errors of many layers add up to something close to that; what the guess misses is
found when the assignment is verified.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pocketpress.core.program.ir import Array

Outputs = list[dict[str, Array]]
LOWEST, HIGHEST = 1e-6, 1.0
"""Noise power relative to the signal: between -60 and 0 dB."""
HALVINGS = 8
DRAWS = 3


def noise_budget(outputs: Outputs, drop: Callable[[Outputs], float], max_drop: float, seed: int = 0) -> float:
    """The largest relative noise power at which the metric drops by at most ``max_drop`` on average.

    Args:
        outputs: of the float network, one mapping per sample.
        drop: loss of the metric, in its own unit, when the network's outputs are these.
        max_drop: in the same unit.
        seed: of the noise.
    """
    signal = {
        n: float(np.mean([np.mean(np.square(o[n], dtype=np.float64)) for o in outputs])) for n in outputs[0]
    }

    def loss(noise: float) -> float:
        found = []
        for draw in range(DRAWS):
            rng = np.random.default_rng([seed, draw])
            noisy = [
                {
                    name: (value + rng.normal(0, np.sqrt(noise * signal[name]), value.shape)).astype(
                        np.float32
                    )
                    for name, value in sample.items()
                }
                for sample in outputs
            ]
            found.append(drop(noisy))
        return float(np.mean(found))

    low, high = np.log(LOWEST), np.log(HIGHEST)
    if loss(HIGHEST) <= max_drop:
        return HIGHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(float(np.exp(middle))) <= max_drop else (low, middle)
    return float(np.exp(low))
