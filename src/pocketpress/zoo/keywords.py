"""Networks that spot keywords in spectra of a second of sound.

Zhang et al. 2017, "Hello Edge: Keyword Spotting on Microcontrollers", arXiv:1711.07128: DS-CNN, GRU and basic
LSTM of the smallest size, as set in the authors' repository ARM-software/ML-KWS-for-MCU.
"""

from __future__ import annotations

from torch import Tensor, nn

from pocketpress.zoo.cards import COEFFICIENTS

CHANNELS, BLOCKS = 64, 4
GRU_UNITS, LSTM_UNITS = 154, 118


class DepthwiseSeparable(nn.Module):
    """DS-CNN: a 10x4 convolution over time and coefficients, then depthwise separable ones.

    Convolutions have biases in front of their batch-norm, as in the MLPerf Tiny reference
    (Banbury et al. 2021, arXiv:2106.07597), which counts them.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()

        def layer(inputs: int, kernel: int, groups: int) -> list[nn.Module]:
            conv = nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, groups=groups)
            return [conv, nn.BatchNorm2d(channels), nn.ReLU()]

        stem = nn.Conv2d(1, channels, (10, 4), 2, (5, 1))
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(channels), nn.ReLU()]
        for _ in range(BLOCKS):
            layers += [*layer(channels, 3, channels), *layer(channels, 1, 1)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.classifier = nn.Linear(channels, classes)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Spectra (N, 1, frames, coefficients) to class scores (N, classes)."""
        scores: Tensor = self.classifier(self.features(spectrum).flatten(1))
        return scores


class Recurrent(nn.Module):
    """One recurrent layer that reads the frames in turn; its last state decides."""

    def __init__(self, kind: type[nn.GRU] | type[nn.LSTM], units: int, classes: int) -> None:
        super().__init__()
        self.layer = kind(COEFFICIENTS, units, batch_first=True)
        self.classifier = nn.Linear(units, classes)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Spectra (N, frames, coefficients) to class scores (N, classes)."""
        states, _ = self.layer(spectrum)
        scores: Tensor = self.classifier(states[:, -1])
        return scores


def ds_cnn(width: float, size: int, classes: int) -> nn.Module:
    """DS-CNN for ``size`` frames."""
    return DepthwiseSeparable(max(1, round(CHANNELS * width)), classes)


def gru(width: float, size: int, classes: int) -> nn.Module:
    """A gated recurrent unit for ``size`` frames."""
    return Recurrent(nn.GRU, max(1, round(GRU_UNITS * width)), classes)


def lstm(width: float, size: int, classes: int) -> nn.Module:
    """A long short-term memory for ``size`` frames."""
    return Recurrent(nn.LSTM, max(1, round(LSTM_UNITS * width)), classes)
