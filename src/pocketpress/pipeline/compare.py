"""Two artifacts on the same samples: do they compute the same, and which is faster?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pocketpress.core.errors import ArtifactError
from pocketpress.core.record import Latency, Metric, Parity
from pocketpress.core.session import Session
from pocketpress.core.signature import Signature
from pocketpress.core.targets import check_exists, target_of
from pocketpress.data import load_dataset, resolve_metric, suggest_metric
from pocketpress.devices.isolated import Child, IsolatedRunner
from pocketpress.measure.latency import summarise
from pocketpress.measure.size import Size, measure_size
from pocketpress.pipeline.evaluate import EvaluationSet, compare_metric, run_session
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.feeds import Feeds
from pocketpress.pipeline.prove import file_feeds
from pocketpress.pipeline.sequences import singles
from pocketpress.pipeline.single_inputs import first_inference
from pocketpress.pipeline.stateful import judged_alone
from pocketpress.verify.parity import compare


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        a: path of the first artifact.
        b: path of the second.
        parity: ``b`` against ``a``.
        metric: of ``b``; its ``float_value`` is that of ``a``.
        latency: of ``b``; its ``float_median`` is that of ``a``.
        sizes: of both.
    """

    a: str
    b: str
    parity: Parity
    metric: Metric | None
    latency: Latency
    sizes: tuple[Size, Size]


def compare_artifacts(
    a: Path,
    b: Path,
    data: str,
    *,
    metric: str | None = None,
    samples: int = 100,
    threads: int = 1,
    seed: int = 0,
    events: Events | None = None,
) -> Comparison:
    """Load both in one child process, run them on the same samples, time them interleaved.

    Raises:
        ArtifactError: not artifacts, or artifacts of different networks.
        DataError: the data does not fit.
    """
    events = events or Events()
    for path in (a, b):
        check_exists(path)
    with Child() as child:
        first, second = _open(child, a, threads), _open(child, b, threads)
        _check_alike(first.signature, second.signature)
        dataset = load_dataset(data, first.signature, first.signature.preprocessing)
        pixels = any(spec.dtype == "uint8" for spec in first.signature.inputs)
        feeds = Feeds(dataset.raw_pixels() if pixels else dataset, samples, seed)
        with events.stage("run", 2 * len(feeds)) as advance:
            ours = run_session(Session(first), feeds, advance)
            theirs = run_session(Session(second), feeds, advance)
        feed = first_inference(first.signature, feeds.first(1)[0])
        times = child.time([(r, file_feeds(r.signature, feed)) for r in (second, first)])
    latency = summarise(
        times.seconds[0], times.seconds[1], threads=threads, warmup=times.warmup, overhead_s=times.overhead_s
    )
    scores = None
    if metric is not None or feeds.targets is not None:
        sample = judged_alone(next(iter(dataset.samples(1, seed))), first.signature)
        function = resolve_metric(metric or suggest_metric(first.signature, sample))
        scores = compare_metric(function, theirs, EvaluationSet(feeds, ours), seed)
    signature = first.signature
    if signature.states:
        ours, theirs = singles(ours), singles(theirs)
        signature = replace(signature, outputs=signature.returned, states=())
    parity = compare(theirs, ours, signature)
    return Comparison(str(a), str(b), parity, scores, latency, (measure_size(a), measure_size(b)))


def _open(child: Child, path: Path, threads: int) -> IsolatedRunner:
    try:
        return child.open(path, target_of(path), threads)
    except ArtifactError as error:
        if path.name in str(error):
            raise
        raise ArtifactError(f"{path}: {error}") from error


def _check_alike(first: Signature, second: Signature) -> None:
    def shape(signature: Signature) -> list[tuple[str, tuple[int, ...]]]:
        states = [(f"{s.input}={s.output}", ()) for s in signature.states]
        return [*((s.name, s.shape) for s in (*signature.inputs, *signature.outputs)), *states]

    if shape(first) != shape(second):
        raise ArtifactError(
            "the artifacts have different signatures",
            got=f"{shape(first)} and {shape(second)}",
            next_step="compare artifacts of the same network",
        )
