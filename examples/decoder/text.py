"""Captions as tokens: small letters, digits and marks; samples are texts of fixed length."""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

ALPHABET = "\n abcdefghijklmnopqrstuvwxyz0123456789.,-'\"?"
Tokens = npt.NDArray[np.int64]


def read_tokens(path: Path) -> Tokens:
    """All lines of a text (.gz), one after the other; letters outside the alphabet become "?"."""
    text = gzip.decompress(path.read_bytes()).decode().lower()
    known = {letter: index for index, letter in enumerate(ALPHABET)}
    return np.asarray([known.get(letter, known["?"]) for letter in text], np.int64)


def windows(tokens: Tokens, length: int, count: int, seed: int) -> Tokens:
    """``count`` random pieces (count, length)."""
    starts = np.random.default_rng(seed).integers(0, len(tokens) - length, size=count)
    return np.stack([tokens[start : start + length] for start in starts])


def main() -> None:
    """Write sequences as .npz for the press command: tokens, positions, and the token after each as ``y``."""
    parser = argparse.ArgumentParser(description="Write sequences of a caption file as .npz.")
    parser.add_argument("--text", type=Path, required=True, help="captions, one a line, .gz")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    pieces = windows(read_tokens(given.text), given.length + 1, given.count, given.seed)
    positions = np.broadcast_to(np.arange(given.length), (given.count, given.length))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(given.out, token=pieces[:, :-1], position=positions, y=pieces[:, 1:])


if __name__ == "__main__":
    main()
