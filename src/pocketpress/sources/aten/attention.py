"""Scaled dot-product attention, decomposed into matrix products and a softmax."""

from __future__ import annotations

import math

import torch

from pocketpress.sources.aten.bound import Bound
from pocketpress.sources.aten.elementwise import emit_binary
from pocketpress.sources.aten.selection import MASKED, additive_mask
from pocketpress.sources.aten.shapes import emit_permute


def scaled_dot_product_attention(b: Bound) -> str:
    """softmax(q k^T / sqrt(d) + mask) v (Vaswani et al. 2017, eq. 1)."""
    if b["dropout_p"]:
        raise b.refuse("attention dropout", "call .eval() on the network")
    query, key, value = (b.activation(name) for name in ("query", "key", "value"))
    rank = len(b.shape(key))
    scale = b["scale"] if b["scale"] is not None else 1 / math.sqrt(b.shape(query)[-1])
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    key = emit_permute(b, key, swapped, last=False)
    query = emit_binary(b, "mul", query, float(scale), last=False)
    shape = (*b.shape(query)[:-1], b.shape(key)[-1])
    scores = b.emit("matmul", [query, key], shape, last=False)
    mask = additive_mask(b, "attn_mask")
    if b["is_causal"]:
        mask = torch.full(shape[-2:], MASKED).triu(1)
    if mask is not None:
        scores = emit_binary(b, "add", scores, mask, last=False)
    weights = b.emit("softmax", [scores], shape, last=False, axis=rank - 1)
    return b.emit("matmul", [weights, value], b.out_shape)


HANDLERS = {"aten::scaled_dot_product_attention": scaled_dot_product_attention}
