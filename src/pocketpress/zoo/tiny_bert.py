"""BERT-Tiny: two transformer layers over word pieces.

Devlin et al. 2019, "BERT", arXiv:1810.04805, in the smallest size of Turc et al. 2019, "Well-Read Students
Learn Better: On the Importance of Pre-training Compact Models", arXiv:1908.08962, Table 1.  Every position
is attended to: texts are cut and padded to the same length, and learn what padding means.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, POSITIONS, HIDDEN, LAYERS, HEAD = 30_522, 512, 128, 2, 64
EPSILON = 1e-12


class Layer(nn.Module):
    """Attention, then two linear layers; normalised afterwards."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)
        self.first, self.second = nn.LayerNorm(hidden, EPSILON), nn.LayerNorm(hidden, EPSILON)
        self.heads = max(1, hidden // HEAD)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, L, hidden), kept."""
        count, length, hidden = x.shape
        q, k, v = (
            part(x).reshape(count, length, self.heads, hidden // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = self.first(x + self.out(mixed.transpose(1, 2).reshape(count, length, hidden)))
        y: Tensor = self.second(x + self.down(functional.gelu(self.up(x))))
        return y


class TinyBert(nn.Module):
    """Word pieces to class scores, by the first position's answer."""

    def __init__(self, hidden: int, size: int, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, hidden)
        self.places = nn.Embedding(POSITIONS, hidden)
        self.segments = nn.Embedding(2, hidden)
        self.norm = nn.LayerNorm(hidden, EPSILON)
        self.layers = nn.Sequential(*(Layer(hidden) for _ in range(LAYERS)))
        self.pooler = nn.Linear(hidden, hidden)
        self.classifier = nn.Linear(hidden, classes)
        self.size = size
        for table in (self.words, self.places, self.segments):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Indices of word pieces (N, L), int64, to class scores (N, classes)."""
        x = self.words(ids) + (self.places.weight[: self.size] + self.segments.weight[0])
        x = self.layers(self.norm(x))
        scores: Tensor = self.classifier(torch.tanh(self.pooler(x[:, 0])))
        return scores


def build(width: float, size: int, classes: int) -> nn.Module:
    """The network for texts of ``size`` word pieces."""
    return TinyBert(HEAD * max(1, round(HIDDEN * width / HEAD)), size, classes)
