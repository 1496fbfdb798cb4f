"""Training samples in memory, as fine-tuning takes them."""

from __future__ import annotations

import numpy as np
import torch

from pocketpress.compress.distill.examples import Examples
from pocketpress.core.errors import DataError
from pocketpress.core.program.ir import Array
from pocketpress.data import Dataset
from pocketpress.data.preprocessing import normalisation_table
from pocketpress.pipeline.events import Events

MAX_BYTES = 4 << 30
"""Samples kept in memory; a larger set is sampled at random."""


def load_examples(data: Dataset, seed: int, events: Events, most: int | None = None) -> Examples:
    """Read a data set; images stay uint8 pixels until a batch is made of them.

    Args:
        data: what to read.
        seed: of the choice, when not all are read.
        events: told about progress.
        most: samples that are used at all; more are not read.

    Raises:
        DataError: no samples, samples that do not fit, or labels of different shapes.
    """
    images = data.kind in ("folder", "parquet") and data.preprocessing is not None
    source = data.raw_pixels() if images else data
    first = next(iter(source.samples(1, seed)))
    each = sum(v.nbytes for v in first.inputs.values())
    limit = min(max(2, MAX_BYTES // max(each, 1)), most or MAX_BYTES)
    total = None if data.size is None else min(data.size, limit)
    columns: dict[str, list[Array]] = {name: [] for name in first.inputs}
    targets: list[Array] = []
    with events.stage("read training data", total) as advance:
        for sample in source.samples(limit, seed):
            for name, value in sample.inputs.items():
                columns[name].append(value)
            if sample.target is not None:
                targets.append(sample.target)
            advance()
    inputs = tuple(torch.from_numpy(np.concatenate(values)) for values in columns.values())
    labels = _labels(targets, len(inputs[0]), data.reference)
    if not images:
        return Examples(inputs, labels)
    assert data.preprocessing is not None
    table = torch.from_numpy(normalisation_table(data.preprocessing))
    return Examples(inputs, labels, table, data.preprocessing.layout == "nhwc")


def _labels(targets: list[Array], count: int, name: str) -> torch.Tensor | None:
    if not targets:
        return None
    if len(targets) != count:
        raise DataError(
            f"some samples of {name} have no label", got=f"{len(targets)} labels of {count} samples"
        )
    if len({t.shape for t in targets}) > 1:
        raise DataError(f"labels of {name} have different shapes", got=sorted({t.shape for t in targets}))
    return torch.from_numpy(np.stack(targets))
