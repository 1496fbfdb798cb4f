"""A GPT-2 of transformers with random weights as a step with an explicit cache of fixed size."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

CONTEXT, LAYERS, HEADS, WIDTH, VOCABULARY = 64, 2, 4, 16, 96


class FixedCache:
    """What the blocks ask of a cache: keys and values are written at the place where a mask is true."""

    def __init__(self, keys: Tensor, values: Tensor, here: Tensor) -> None:
        self.keys, self.values, self.here = list(keys.unbind(0)), list(values.unbind(0)), here

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write, and return all of the layer."""
        self.keys[layer] = torch.where(self.here, key, self.keys[layer])
        self.values[layer] = torch.where(self.here, value, self.values[layer])
        return self.keys[layer], self.values[layer]


class Step(nn.Module):
    """One token: the network's own embeddings, blocks and head around `FixedCache`."""

    places: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("places", torch.arange(CONTEXT))

    def forward(self, token: Tensor, position: Tensor, keys: Tensor, values: Tensor) -> dict[str, Tensor]:
        """As the decoder of the examples."""
        body: Any = self.network.transformer
        cache = FixedCache(keys, values, (self.places == position).reshape(1, 1, CONTEXT, 1))
        mask = torch.where((self.places <= position).reshape(1, 1, 1, CONTEXT), 0.0, -1e4)
        x = body.wte(token) + body.wpe(position)
        for block in body.h:
            x = block(x, past_key_values=cache, attention_mask=mask, use_cache=True)
            x = x[0] if isinstance(x, tuple) else x
        head: Any = self.network.lm_head
        return {
            "scores": head(body.ln_f(x))[:, 0],
            "next_keys": torch.stack(cache.keys),
            "next_values": torch.stack(cache.values),
        }


def network() -> Any:
    """GPT2LMHeadModel of a tiny configuration."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=HEADS * WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).eval()


def step() -> tuple[nn.Module, tuple[Tensor, ...], dict[str, str]]:
    """Factory."""
    place = torch.zeros(1, 1, dtype=torch.int64)
    cache = torch.zeros(LAYERS, 1, HEADS, CONTEXT, WIDTH)
    examples = (place, place.clone(), cache, cache.clone())
    return Step(network()).eval(), examples, {"keys": "next_keys", "values": "next_values"}


def whole(tokens: Any) -> Any:
    """Scores (places, vocabulary) by transformers itself, all places at once."""
    with torch.no_grad():
        return np.asarray(network()(torch.from_numpy(tokens)).logits[0].numpy())
