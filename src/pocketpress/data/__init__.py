"""Calibration and evaluation data, and metrics.

The API, in the order of use::

    prep = parse_preprocessing("imagenet,crop=192", signature)  # or None: see load_dataset
    data = load_dataset("photos/", signature, prep)         # folder, .npz, .parquet or module:function
    data.reference, data.kind, data.labelled, data.size     # size is None for an unsized iterator
    data.preprocessing                                      # as completed; save it in the signature
    data.skipped                                            # ((name, reason), ...) files left alone
    for sample in data.samples(limit=100, seed=0):          # lazy; a seeded choice, in stored order
        sample.inputs                                       # {input name: array with batch 1, real values}
        sample.target                                       # array without batch axis, or None
    data.raw_pixels().samples(...)                          # the same samples as uint8 pixels 0..255
    digest(data.samples(100, 0))                            # sha256 of what reached the network

    metric = resolve_metric("top1")                         # or psnr, agreement, f1:average=micro, file.py:f
    score = metric.evaluate(outputs, targets)               # outputs (N, ...) or {name: (N, ...)}
    score.value, score.per_sample                           # per_sample (N,) is None where no mean of samples
    metric.name, metric.higher_is_better, metric.unit       # unit "share" (0..1), "dB" or ""
    metric.needs_targets                                    # False: compare with the float network's outputs

Everything that can be wrong with data is a `DataError`, an unknown metric a `UserError`: one line each.
Nothing here imports torch before a metric is evaluated.
"""

from pocketpress.data.dataset import Dataset, RawSample, Reader, Sample, digest
from pocketpress.data.load import load_dataset
from pocketpress.data.metrics import Metric, Score, resolve_metric, suggest_metric
from pocketpress.data.preprocessing import apply, parse_preprocessing

__all__ = [
    "Dataset",
    "Metric",
    "RawSample",
    "Reader",
    "Sample",
    "Score",
    "apply",
    "digest",
    "load_dataset",
    "parse_preprocessing",
    "resolve_metric",
    "suggest_metric",
]
