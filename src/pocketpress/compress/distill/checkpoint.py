"""Where a fine-tuning stands, on disk: plain tensors and numbers, read without running code."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pocketpress.core.errors import ArtifactError
from pocketpress.core.files import write_atomically


@dataclass(frozen=True)
class Checkpoint:
    """A file that keeps the state of one job.

    Attributes:
        path: of the file.
        fingerprint: of everything the job depends on; a state of another job is not read.
        resume: go on from the file if it is there.
    """

    path: Path
    fingerprint: str
    resume: bool = False

    def read(self) -> dict[str, Any] | None:
        """The state to go on from, or None.

        Raises:
            ArtifactError: the file is damaged, or belongs to another job.
        """
        if not self.resume or not self.path.is_file():
            return None
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise ArtifactError(
                "cannot read the checkpoint", got=self.path, next_step="delete it, or leave --resume out"
            ) from error
        if not isinstance(state, dict) or state.get("fingerprint") != self.fingerprint:
            raise ArtifactError(
                "the checkpoint is of another command, network or data",
                got=self.path,
                next_step="repeat the command it was written by, or leave --resume out",
            )
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Write atomically.

        Raises:
            DeviceError: the disk refuses.
        """
        whole = {**state, "fingerprint": self.fingerprint}
        write_atomically(
            self.path, lambda file: torch.save(whole, file), parents=True, next_step="check the free space"
        )
