"""Train the decoder on captions: ``python -m examples.decoder.train --text train.en.gz``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from examples.decoder.network import CONTEXT, WEIGHTS, Decoder
from examples.decoder.text import Tokens, read_tokens, windows
from safetensors.torch import save_file
from torch import nn

BATCH = 32
LEARNING_RATE = 3e-3


def train(tokens: Tokens, steps: int, seed: int) -> Decoder:
    """Predict every next letter, AdamW with a one-cycle schedule."""
    torch.manual_seed(seed)
    network = Decoder().train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for step in range(steps):
        batch = torch.from_numpy(windows(tokens, CONTEXT + 1, BATCH, seed * steps + step))
        scores = network.whole(batch[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: {loss.item():.3f} nats a letter", flush=True)
    return network.eval()


def main() -> None:
    """Train and save the weights as float16."""
    parser = argparse.ArgumentParser(description="Train the decoder on captions.")
    parser.add_argument("--text", type=Path, required=True, help="captions, one a line, .gz")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    network = train(read_tokens(given.text), given.steps, given.seed)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half() for name, value in network.state_dict().items()}, given.out)


if __name__ == "__main__":
    main()
