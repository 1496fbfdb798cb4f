"""Tiny checkpoints with random weights, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

BERT: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
    "initializer_range": 0.3,
}
WHISPER: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 8,
    "max_source_positions": 12,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "init_std": 0.3,
}
VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 8,
    "num_labels": 5,
    "initializer_range": 0.3,
}


def saved(folder: Path, network: str, config: str, **settings: Any) -> Path:
    """Save a network of seeded random weights; returns the folder."""
    torch.manual_seed(0)
    made = getattr(transformers, network)(getattr(transformers, config)(**settings))
    made.eval().save_pretrained(folder)
    return folder


def bert(folder: Path, network: str = "BertForSequenceClassification") -> Path:
    """A text network of two layers."""
    return saved(folder, network, "BertConfig", **BERT)


def vit(folder: Path, **processor: Any) -> Path:
    """An image classifier with its image processor."""
    saved(folder, "ViTForImageClassification", "ViTConfig", **VIT)
    kind = transformers.ViTImageProcessor
    kind(size={"height": 16, "width": 16}, **processor).save_pretrained(folder)
    return folder
