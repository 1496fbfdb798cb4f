"""Lower a network of the zoo with random weights to every runtime, weigh it and time it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketpress.core.errors import DeviceError, PocketpressError, UserError
from pocketpress.core.precision import parse_precision
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.signature import Signature, signature_of
from pocketpress.core.target import TargetSpec
from pocketpress.core.targets import all_targets, resolve_targets
from pocketpress.core.timing import TimingPlan
from pocketpress.data import Dataset, RawSample
from pocketpress.devices.isolated import Child
from pocketpress.graph.affine_to_depthwise import affine_to_depthwise
from pocketpress.graph.average_pool_to_depthwise import average_pool_to_depthwise
from pocketpress.measure.latency import summarise
from pocketpress.measure.size import measure_size
from pocketpress.pipeline.cache import Cache
from pocketpress.pipeline.calibration import draw
from pocketpress.pipeline.events import Events
from pocketpress.pipeline.options import PressOptions
from pocketpress.pipeline.prepare import prepare, simplified
from pocketpress.pipeline.prove import file_feeds
from pocketpress.pipeline.quantization import quantize
from pocketpress.pipeline.zoo.store import Store, Timing
from pocketpress.sources.load import load_source
from pocketpress.zoo.build import noise
from pocketpress.zoo.names import PREFIX, Choice

NOISE_SAMPLES = 4
"""Random inputs that ranges are taken from: they decide numbers, and not what the kernels do."""
BUDGET_S = 1.5
TARGETS = "litert,executorch,onnxruntime"
PRECISIONS = ("fp32", "w8a8-static")
MAX_FAILURE = 300


@dataclass(frozen=True)
class _Noise:
    """Random inputs as a reader of samples."""

    inputs: Array
    labelled: bool = False
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Samples at ``indices``, or all."""
        for index in range(self.size) if indices is None else indices:
            yield RawSample(f"noise {index}", self.inputs[index])


def measurable(names: str, precision: str) -> tuple[TargetSpec, ...]:
    """Those of the targets that have the precision and execute on this machine.

    Raises:
        UserError: none of them does.
        MissingExtraError: one is not installed.
    """
    family = parse_precision(precision).family
    able = [s for s in resolve_targets(names) if family in s.families and s.obstacle() is None]
    if not able:
        having = sorted(
            s.name for s in all_targets().values() if family in s.families and s.obstacle() is None
        )
        raise UserError(
            f"no target is executed here at {precision}", got=names, allowed=having or None,
            next_step=None if having else "use another --precision",
        )  # fmt: skip
    for spec in able:
        spec.check_installed()
    return tuple(able)


def measure(
    choice: Choice, targets: Sequence[TargetSpec], precisions: Sequence[str], threads: int, events: Events
) -> list[Timing]:
    """Size and latency of a network with random weights, on random inputs.

    Args:
        choice: the network.
        targets: to lower to and to run in.
        precisions: names; all of a target are timed against each other in one process.
        threads: of every runtime.
        events: told about progress.

    Returns:
        One row per target and precision; a network that cannot be lowered has its reason there.
    """
    if not targets:
        return []
    with events.stage(f"measure {choice}", len(targets) + len(precisions)) as advance:
        programs: dict[str, Program | str] = {}
        source: Program | None = None
        for precision in precisions:
            try:
                if source is None:
                    loaded = load_source(f"{PREFIX}{choice}")
                    source = simplified(loaded.program, None, False)
                programs[precision] = _prepared(choice, source, tuple(targets), precision, threads)
            except DeviceError:
                raise
            except PocketpressError as error:
                programs[precision] = str(error)
            advance()
        rows: list[Timing] = []
        for spec in targets:
            rows += _in_target(choice, spec, programs, threads)
            advance()
    return rows


def _prepared(
    choice: Choice, program: Program, targets: tuple[TargetSpec, ...], precision: str, threads: int
) -> Program:
    """The program at a precision; learned rounding, which changes no kernel, is left out."""
    signature = signature_of(program, precision="fp32")
    data = Dataset("noise", "noise", signature, None, _Noise(noise(choice, NOISE_SAMPLES).numpy()))
    options = PressOptions(
        f"{PREFIX}{choice}", data="noise", precision=precision, estimator="min-max", rounding_steps=0,
        threads=threads,
    )  # fmt: skip
    if parse_precision(precision).activations in ("float", "dynamic"):
        return prepare(program, targets, options, data, Cache(None), Events()).program
    ready = affine_to_depthwise(average_pool_to_depthwise(program))
    return quantize(ready, targets, options, draw(data, options, ready), Events()).program


def _in_target(
    choice: Choice, spec: TargetSpec, programs: dict[str, Program | str], threads: int
) -> list[Timing]:
    rows: dict[str, Timing] = {}
    with tempfile.TemporaryDirectory() as folder, Child() as child:
        pairs, sizes = [], []
        for precision, program in programs.items():
            row = Timing(network=str(choice), target=spec.name, precision=precision)
            if isinstance(program, str):
                rows[precision] = row.model_copy(update={"failure": program[:MAX_FAILURE]})
                continue
            path = Path(folder) / f"{precision}{spec.suffix}"
            signature = signature_of(program, precision=precision)
            try:
                spec.lower(program, signature, path)
                runner = child.open(path, spec, threads)
            except DeviceError:
                raise
            except PocketpressError as error:
                rows[precision] = row.model_copy(update={"failure": str(error)[:MAX_FAILURE]})
                continue
            rows[precision] = row
            sizes.append(measure_size(path).raw_bytes)
            pairs.append((runner, _feeds(choice, signature)))
        timed = [precision for precision, row in rows.items() if row.failure is None]
        if pairs:
            plan = TimingPlan(warmup=3, budget_s=BUDGET_S, processor=threads == 1)
            times = child.time(pairs, plan)
            for index, precision in enumerate(timed):
                found = summarise(times.seconds[index], threads=threads, warmup=times.warmup)
                facts = {"median_s": found.median, "p90_s": found.p90, "runs": found.runs}
                rows[precision] = rows[precision].model_copy(update={"size_bytes": sizes[index], **facts})
    return [rows[precision] for precision in programs]


def _feeds(choice: Choice, signature: Signature) -> list[Array]:
    values = noise(choice, 1).numpy()
    return file_feeds(signature, {spec.name: values for spec in signature.inputs})


def measured(
    choice: Choice, targets: Sequence[TargetSpec], precisions: Sequence[str], store: Store, events: Events
) -> list[Timing]:
    """As `measure`, taking what the store has and keeping what it lacks; failures are tried again."""
    name = str(choice)
    wanted = [(spec, precision) for spec in targets for precision in precisions]
    known = {row.key for row in store.found.timings if row.failure is None}
    lacking = [(s, p) for s, p in wanted if (name, s.name, p) not in known]
    specs = [s for s in targets if any(s is lack for lack, _ in lacking)]
    missing = [p for p in precisions if any(p == lack for _, lack in lacking)]
    if lacking:
        store.add(measure(choice, specs, missing, store.found.threads, events))
    rows = (store.found.find(name, spec.name, precision) for spec, precision in wanted)
    return [row for row in rows if row is not None]
