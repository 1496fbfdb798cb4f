"""Read spoken digits from a parquet file with the columns `wav`, `digit`, `speaker` and `take`.

The split: one speaker is never heard in training, and of the others the first ten takes of every digit are
not.  So the test set says how well the network knows its speakers, and how well it hears a stranger.
"""

from __future__ import annotations

import argparse
import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from examples.keywords.features import RATE_HZ, Array, log_mel, one_second
from numpy.typing import NDArray

STRANGER = "theo"
"""The speaker that training never hears."""
TEST_TAKES = 10
"""Takes 0 to 9 of the other speakers are for the test."""


@dataclass(frozen=True)
class Recordings:
    """Sounds with samples in [-1, 1], their digits, and whether the speaker is the stranger."""

    sounds: Sequence[Array]
    digits: NDArray[np.int64]
    is_stranger: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuse labels of another length than sounds."""
        if not len(self.sounds) == len(self.digits) == len(self.is_stranger):
            raise ValueError(
                f"got {len(self.sounds)} sounds, {len(self.digits)} digits and {len(self.is_stranger)} "
                "speakers; they must be as many"
            )

    def chosen(self, mask: NDArray[np.bool_]) -> Recordings:
        """Those where ``mask`` is true."""
        kept = [sound for sound, wanted in zip(self.sounds, mask, strict=True) if wanted]
        return Recordings(kept, self.digits[mask], self.is_stranger[mask])

    def features(self) -> Array:
        """Of the second around each recording, shape (N, 49, 40)."""
        return np.stack([log_mel(one_second(sound)) for sound in self.sounds])

    def save(self, path: Path) -> None:
        """Write an .npz: `x` float32 (N, 49, 40), `y` int64 (N,)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=self.features(), y=self.digits)


def read_recordings(path: Path) -> tuple[Recordings, Recordings]:
    """Those to train with, and those to test with."""
    table = parquet.read_table(path, columns=["wav", "digit", "speaker", "take"])
    sounds = [_samples(blob) for blob in table["wav"].to_pylist()]
    stranger = np.asarray([name == STRANGER for name in table["speaker"].to_pylist()])
    recordings = Recordings(sounds, table["digit"].to_numpy().astype(np.int64), stranger)
    for_test = stranger | (table["take"].to_numpy() < TEST_TAKES)
    return recordings.chosen(~for_test), recordings.chosen(for_test)


def _samples(blob: bytes) -> Array:
    with wave.open(io.BytesIO(blob)) as file:
        found = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if found != (RATE_HZ, 1, 2):
            raise ValueError(
                f"got a recording of {found} (rate, channels, bytes); allowed: {(RATE_HZ, 1, 2)}"
            )
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return samples.astype(np.float32) / np.float32(32768)


def main() -> None:
    """Write the features of a part of the recordings as .npz for the press command."""
    parser = argparse.ArgumentParser(description="Write features of spoken digits as .npz with x and y.")
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--part", choices=("train", "test"), default="train")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    train, test = read_recordings(given.parquet)
    (train if given.part == "train" else test).save(given.out)


if __name__ == "__main__":
    main()
