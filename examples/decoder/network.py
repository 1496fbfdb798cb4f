"""A decoder (Vaswani et al. 2017, arXiv:1706.03762) of whole texts, and of one letter at a time.

`decoder` is what a phone runs: a token, its place and a cache of keys and values go in, scores of the next
token and the cache with one more place filled come out.  Shapes never change: the cache has room for a whole
text, the new key is written by a mask of the place, and places that are still empty are masked.
"""

from __future__ import annotations

from pathlib import Path

import torch
from examples.decoder.text import ALPHABET
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("weights") / "decoder.safetensors"
VOCABULARY = len(ALPHABET)
WIDTH = 96
HEADS = 4
LAYERS = 2
CONTEXT = 64
Pressable = tuple[nn.Module, tuple[Tensor, ...], dict[str, str]]
"""What the factory returns: the module in evaluation mode, example inputs, and the states."""


class Block(nn.Module):
    """Attention over the cache, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.read = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.between = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def heads(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values, each (batch, heads, places, width of a head)."""
        parts = self.read(self.before(x)).chunk(3, dim=-1)
        return [p.reshape(*p.shape[:2], HEADS, WIDTH // HEADS).transpose(1, 2) for p in parts]

    def attend(self, x: Tensor, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """The rest of the block on keys and values, those of other places included."""
        seen = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        x = x + self.mix(seen.transpose(1, 2).reshape(x.shape))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class Decoder(nn.Module):
    """The network; `forward` takes one step, `whole` a text."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.after = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("places", torch.arange(CONTEXT), persistent=False)

    def forward(self, token: Tensor, position: Tensor, keys: Tensor, values: Tensor) -> dict[str, Tensor]:
        """One step.

        Args:
            token: int64 (1, 1).
            position: int64 (1, 1), counted from 0.
            keys: (layers, 1, heads, context, width of a head).
            values: the same.
        """
        here = (self.places == position).reshape(1, 1, CONTEXT, 1)
        filled = (self.places <= position).reshape(1, 1, 1, CONTEXT)
        x = self.tokens(token) + self.positions(position)
        all_keys, all_values = [], []
        for index, block in enumerate(self.blocks):
            query, key, value = block.heads(x)
            all_keys.append(torch.where(here, key, keys[index]))
            all_values.append(torch.where(here, value, values[index]))
            x = block.attend(x, query, all_keys[-1], all_values[-1], filled)
        return {
            "scores": self.head(self.after(x))[:, 0],
            "next_keys": torch.stack(all_keys),
            "next_values": torch.stack(all_values),
        }

    def whole(self, tokens: Tensor) -> Tensor:
        """Scores (batch, places, vocabulary) of the token after each of ``tokens`` (batch, places)."""
        count = tokens.shape[1]
        mask = torch.ones(count, count, dtype=torch.bool).tril()
        x = self.tokens(tokens) + self.positions(self.places[:count])
        for block in self.blocks:
            x = block.attend(x, *block.heads(x), mask)
        scores: Tensor = self.head(self.after(x))
        return scores


def cache() -> Tensor:
    """An empty cache."""
    return torch.zeros(LAYERS, 1, HEADS, CONTEXT, WIDTH // HEADS)


def untrained() -> Pressable:
    """The step of a network with random weights."""
    torch.manual_seed(0)
    place = torch.zeros(1, 1, dtype=torch.int64)
    states = {"keys": "next_keys", "values": "next_values"}
    return Decoder().eval(), (place, place.clone(), cache(), cache()), states


def decoder() -> Pressable:
    """The step of the trained network."""
    network, examples, states = untrained()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network, examples, states
