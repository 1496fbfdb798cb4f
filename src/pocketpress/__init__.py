"""Pocketpress: one trained network in, the same numbers out on every phone.

    import pocketpress
    record = pocketpress.press("mynet.py:model", data="photos/", targets="android,web", out="pressed")
    session = pocketpress.open("pressed/mynet.tflite")
    outputs = session(x=array)

Importing this package loads no ML library.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pocketpress.core.buckets import BucketSession
    from pocketpress.core.record import Record
    from pocketpress.core.session import Session
    from pocketpress.pipeline.compare import Comparison
    from pocketpress.sources.source import Source

__version__ = "0.1.0"
__all__ = ["__version__", "compare", "load", "open", "open_buckets", "press"]


def load(
    spec: str, *, weights: str | Path | None = None, shapes: tuple[tuple[int, ...], ...] | None = None
) -> Source:
    """Read a network as a float program; see `sources.load.load_source`."""
    from pocketpress.sources.load import load_source

    return load_source(spec, weights=None if weights is None else Path(weights), shapes=shapes)


def press(source: str, **options: Any) -> Record:
    """Compress, lower, prove and measure.

    Args:
        source: factory specification, or a ``.pt2``, ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file.
        options: the fields of `pipeline.options.PressOptions`; ``shrink`` may be a dictionary of fields of
            `pipeline.shrink_options.ShrinkOptions` (prune, finetune, loss, ...).
    """
    from pocketpress.pipeline.options import PressOptions
    from pocketpress.pipeline.press import press as run
    from pocketpress.pipeline.shrink_options import ShrinkOptions

    if isinstance(options.get("shrink"), dict):
        options["shrink"] = ShrinkOptions(**options["shrink"])
    if isinstance(options.get("labels"), str):
        options["labels"] = (options["labels"],)
    for name in ("out", "weights", "cache"):
        if isinstance(options.get(name), str):
            options[name] = Path(options[name])
    return run(PressOptions(source=source, **options))


def open(artifact: str | Path, *, threads: int = 1, isolated: bool = False) -> Session:
    """Load an artifact as a function from named arrays to named arrays in real values.

    Args:
        artifact: path of a file (or folder, for Core ML) that Pocketpress made.
        threads: threads of the runtime.
        isolated: load it in a child process, so a file that crashes its runtime is an error and not a crash.

    Raises:
        ArtifactError: not an artifact, or a damaged one.
    """
    from pocketpress.core.session import Session
    from pocketpress.core.targets import check_exists, target_of

    path = Path(artifact)
    check_exists(path)
    spec = target_of(path)
    if isolated:
        from pocketpress.devices.isolated import open_isolated

        return Session(open_isolated(path, threads, spec=spec))
    return Session(spec.open_runner(path, threads))


def open_buckets(
    artifacts: Iterable[str | Path], *, mask: str = "attention_mask", threads: int = 1
) -> BucketSession:
    """Load artifacts of several lengths as one function of inputs of any length; see `core.buckets`.

    Args:
        artifacts: of one network and target, as ``--bucket`` made them.
        mask: name of the input that is 1 where an input counts.
        threads: threads of the runtime.

    Raises:
        ArtifactError: as `open`, or they do not belong together.
    """
    from pocketpress.core.buckets import BucketSession

    return BucketSession([open(artifact, threads=threads) for artifact in artifacts], mask)


def compare(a: str | Path, b: str | Path, *, data: str, **options: Any) -> Comparison:
    """Run two artifacts on the same samples; see `pipeline.compare.compare_artifacts`."""
    from pocketpress.pipeline.compare import compare_artifacts

    return compare_artifacts(Path(a), Path(b), data, **options)
