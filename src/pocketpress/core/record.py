"""The record: what a press did, what it left alone and why, and what was measured.

One JSON file (``record.json``, described in ``docs/formats/record.md``).  A stage that did not run leaves
its field empty, so that a missing number is never mistaken for a good one.  Times are in seconds, sizes
in bytes, shares between 0 and 1, and a drop is positive when the artifact is worse than the float network,
whichever way the metric points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pocketpress.core.errors import ArtifactError
from pocketpress.core.files import write_atomically as write_atomically
from pocketpress.core.signature import Signature

FORMAT: Literal[1] = 1
MAX_RECORD_BYTES = 16 << 20

Verdict = Literal["pass", "fail", "vacuous", "not executed here", "skipped"]

Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(max_length=512)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Decibels = Annotated[
    float, Field(ge=-10_000, description='decibels; "Infinity" when there is no error at all')
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Interval = tuple[Finite, Finite]
Option = bool | int | Finite | Text | None


class Part(BaseModel):
    """Common rules: frozen, no unknown field, infinity written as the string "Infinity"."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class SkippedEntry(Part):
    """Something left alone, and why."""

    name: Name = Field(description="operator, stage or target that was left alone")
    reason: Text = Field(description="why, in words")


class Source(Part):
    """Where the network came from."""

    reference: Text = Field(description="as the user named it, for example `mynet.py:model`")
    kind: Name = Field(default="pytorch", description="`pytorch`, `pt2`, ...")
    sha256: Sha256 | None = Field(default=None, description="of the source file")
    weights: Text | None = Field(default=None, description="weight file, as the user named it")
    weights_sha256: Sha256 | None = Field(default=None, description="of the weight file")
    parameters: Count | None = Field(default=None, description="number of weights")
    multiply_accumulates: Count | None = Field(default=None, description="per inference")


class RecipeEntry(Part):
    """What was asked of the compression."""

    precision: Name = Field(description="`fp32`, `fp16` or `w8a8-static`")
    estimator: Name | None = Field(
        default=None, description="range estimator: `l3`, `min-max`, `percentile`, `mse`, or `file`"
    )
    options: dict[Name, Option] = Field(default_factory=dict, description="every other choice, by name")
    seed: int | None = Field(default=None, description="of everything random in the press")


class Host(Part):
    """The machine that built and measured."""

    cpu: Text | None = Field(default=None, description="processor model")
    architecture: Name | None = Field(default=None, description="`x86_64`, `arm64`, ...")
    cores: Count | None = Field(default=None, description="logical cores this process may use")
    memory_bytes: Count | None = Field(default=None, description="physical memory")
    os: Text | None = Field(default=None, description="system and release")
    python: Name | None = Field(default=None, description="interpreter version")
    packages: dict[Name, Name] = Field(default_factory=dict, description="versions by package name")


class DataSetEntry(Part):
    """One set of samples."""

    reference: Text = Field(description="as the user named it")
    kind: Name | None = Field(
        default=None, description="`folder`, `npz`, `parquet`, `callable` or `synthesised`"
    )
    samples: Count = Field(description="number of samples used")
    labelled: bool = Field(default=False, description="whether labels or target values were given")
    sha256: Sha256 | None = Field(default=None, description="of the samples as they reached the network")
    note: Text | None = Field(default=None, description="how much trust synthesised samples deserve")


class Data(Part):
    """The samples the press saw."""

    calibration: DataSetEntry | None = Field(default=None, description="for the ranges of activations")
    evaluation: DataSetEntry | None = Field(default=None, description="for parity and the task metric")


class FloatMetric(Part):
    """The task metric of the float network."""

    name: Name = Field(description="`top1`, `psnr`, ...")
    value: Finite = Field(description="in the metric's own unit")
    unit: Name = Field(default="", description="`share`, `dB` or empty")
    larger_is_better: bool = Field(default=True, description="direction of the metric")
    samples: Count = Field(description="number of evaluation samples")


class Metric(Part):
    """The task metric of an artifact in its runtime, against the float network on the same samples."""

    name: Name = Field(description="`top1`, `psnr`, ...")
    value: Finite = Field(description="of the artifact in its runtime")
    float_value: Finite | None = Field(default=None, description="of the float network, same samples")
    drop: Finite | None = Field(default=None, description="how much worse; positive is worse")
    drop_ci95: Interval | None = Field(default=None, description="95 % interval of `drop`, paired")
    p_value: Share | None = Field(default=None, description="of the paired test of no difference")
    test: Name | None = Field(default=None, description="`mcnemar-exact`, `mcnemar`, `paired-bootstrap`")
    distinguishable: bool | None = Field(default=None, description="whether `drop_ci95` excludes zero")
    samples: Count = Field(description="number of pairs")
    samples_to_tell: Count | None = Field(
        default=None, description="samples that would tell a drop of this size from zero, where one exists"
    )
    unit: Name = Field(default="", description="`share`, `dB` or empty")
    larger_is_better: bool = Field(default=True, description="direction of the metric")
    words: Text | None = Field(default=None, description="the comparison as a sentence")


class Latency(Part):
    """Time of one inference after warm-up; float and compressed interleaved in one process."""

    median: Seconds = Field(description="of the artifact")
    p90: Seconds = Field(description="of the artifact")
    float_median: Seconds | None = Field(default=None, description="of the float artifact, same runtime")
    float_p90: Seconds | None = Field(default=None, description="of the float artifact, same runtime")
    speedup: Finite | None = Field(default=None, description="float time / artifact time, paired")
    speedup_ci95: Interval | None = Field(default=None, description="95 % interval of `speedup`")
    threads: Count = Field(description="threads given to the runtime")
    runs: Count = Field(description="timed inferences of each")
    warmup: Count = Field(default=0, description="untimed inferences of each before")
    timer_overhead: Seconds | None = Field(default=None, description="time of an empty measurement")


class FirstDifference(Part):
    """The first tensor, in execution order, that an artifact computes otherwise."""

    tensor: Name = Field(description="its name in the program")
    op: Name = Field(description="operator that computes it")
    max_lsb: Count | None = Field(default=None, description="largest difference in steps")
    equal: Share | None = Field(default=None, description="share of equal elements in that tensor")
    source: Text | None = Field(default=None, description="line of the user's code")
    note: Text | None = Field(default=None, description="explanation, where one is known")


class Parity(Part):
    """Agreement of two computations of the same program, element by element of the outputs."""

    samples: Count = Field(description="number of inputs compared")
    elements: Count = Field(description="number of output elements compared")
    equal: Share | None = Field(default=None, description="share of equal elements")
    within_1_lsb: Share | None = Field(default=None, description="share at most one step apart")
    max_lsb: Count | None = Field(default=None, description="largest difference in steps of the output grid")
    max_abs: Finite | None = Field(default=None, description="largest difference in real values")
    tolerance: Finite | None = Field(
        default=None, description="largest `max_abs` accepted, float programs only"
    )
    sqnr_reference_db: Decibels | None = Field(default=None, description="against the reference interpreter")
    required_sqnr_db: Decibels | None = Field(
        default=None,
        description="least `sqnr_float_db` accepted where runtimes round in their own ways: the "
        "reference's less 3 dB",
    )
    sqnr_float_db: Decibels | None = Field(default=None, description="against the float network")
    argmax_agreement: Share | None = Field(
        default=None, description="share of samples, against the reference"
    )
    vacuous: bool | None = Field(
        default=None, description="the outputs hardly depend on the input, so agreement proves nothing"
    )
    spread: Finite | None = Field(
        default=None, description="typical difference between outputs of different inputs, in steps or reals"
    )
    variant: Name | None = Field(
        default=None, description="documented variant of the reference, where one applies"
    )
    first_difference: FirstDifference | None = Field(default=None, description="where the two part ways")


class Segment(Part):
    """Error over some consecutive steps of all sequences, against the signal of whole sequences."""

    first: Count = Field(description="step, counted from 0")
    last: Count = Field(description="step, included")
    sqnr_float_db: Decibels = Field(description="against the float network")
    sqnr_reference_db: Decibels = Field(description="against the reference interpreter")


class Drift(Part):
    """How the error of a network with state develops from step to step, its own states running along."""

    sequences: Count = Field(description="number of sequences compared")
    steps: Count = Field(description="of the longest of them")
    segments: tuple[Segment, ...] = Field(default=(), max_length=64, description="in order of steps")
    growth_db: Finite | None = Field(
        default=None,
        description="error against the float network in the last quarter of the steps over that in the "
        "second; none for fewer than 8 steps",
    )
    grows: bool = Field(
        default=False, description="`growth_db` exceeds 3 dB and the error is not mere float rounding (60 dB)"
    )


class PairParity(Part):
    """Agreement between two targets' artifacts on the same inputs."""

    first: Name = Field(description="target name")
    second: Name = Field(description="target name")
    parity: Parity


class DeviceEntry(Part):
    """One artifact on one device: a phone's browser, a board, an emulated processor."""

    name: Name = Field(description="as typed after `--device`, or what the phone calls itself")
    kind: Name = Field(description="`host`, `arm64`, `ssh`, `adb` or `browser`")
    description: Text | None = Field(default=None, description="processor, system, browser: what it says")
    runtime: Name | None = Field(default=None, description="runtime and version that executed the artifact")
    backend: Name | None = Field(default=None, description="`cpu`, `wasm`, `wasm-threads`, `webgpu`")
    created: Name | None = Field(default=None, description="when it was measured, ISO 8601 in UTC")
    parity: Parity | None = Field(default=None, description="on the device, against the reference")
    latency_s: Latency | None = Field(default=None, description="none where the device is emulated")
    sustained_s: Latency | None = Field(default=None, description="the last tenth of a sustained run")
    load_s: Seconds | None = Field(default=None, description="time to load, the runtime being there")
    peak_rss_bytes: Count | None = Field(default=None, description="where the device tells")
    steady: bool | None = Field(
        default=None, description="whether repeated measurements agree; unsteady ones prove nothing"
    )
    notes: tuple[Text, ...] = Field(default=(), max_length=100)
    verdict: Verdict = Field(description="what was seen on this device")
    reasons: tuple[Text, ...] = Field(default=(), max_length=100, description="of the verdict, in words")


class TargetEntry(Part):
    """One target: its artifact, what was measured, and the verdict."""

    name: Name = Field(description="as typed after `--target`")
    title: Name | None = Field(default=None, description="for people")
    runtime: Name | None = Field(default=None, description="runtime and version that executed the artifact")
    artifact: Text | None = Field(default=None, description="file or folder name, relative to the record")
    stored_only: bool = Field(
        default=False, description="the precision makes the file smaller here; arithmetic is float32"
    )
    sha256: Sha256 | None = Field(default=None, description="of the artifact")
    size_bytes: Count | None = Field(default=None, description="of the artifact")
    size_compressed_bytes: Count | None = Field(default=None, description="zlib level 9, as stores ship it")
    float_size_bytes: Count | None = Field(default=None, description="the same network at fp32, same target")
    float_size_compressed_bytes: Count | None = Field(default=None, description="zlib level 9")
    executed: bool = Field(default=False, description="whether the artifact ran on this machine")
    metric: Metric | None = None
    latency_s: Latency | None = None
    load_s: Seconds | None = Field(default=None, description="time to load, the runtime being there")
    peak_rss_bytes: Count | None = Field(
        default=None, description="peak memory of a process that loads and runs"
    )
    memory_delta_bytes: Count | None = Field(
        default=None, description="what one more copy of the artifact adds, loaded and run"
    )
    float_peak_rss_bytes: Count | None = Field(default=None, description="the same for the float artifact")
    lower_s: Seconds | None = Field(default=None, description="time to write the artifact")
    parity: Parity | None = None
    drift: Drift | None = Field(default=None, description="of networks with state")
    devices: tuple[DeviceEntry, ...] = Field(
        default=(), max_length=256, description="the same artifact on other devices"
    )
    skipped: tuple[SkippedEntry, ...] = Field(default=(), max_length=10_000)
    notes: tuple[Text, ...] = Field(default=(), max_length=1000)
    verdict: Verdict = Field(description="what the measurements say")
    reasons: tuple[Text, ...] = Field(default=(), max_length=1000, description="of the verdict, in words")


class StepTarget(Part):
    """What one step made of one target's artifact."""

    name: Name = Field(description="target name")
    size_bytes: Count | None = Field(default=None, description="of the artifact")
    size_compressed_bytes: Count | None = Field(default=None, description="zlib level 9, as stores ship it")
    latency_s: Latency | None = Field(
        default=None, description="paired with the float network as it was given"
    )
    metric: Metric | None = Field(default=None, description="in the runtime; last step only")


class StepEntry(Part):
    """One step of a stack (prune, fine-tune, quantise, ...), against the float network as it was given."""

    name: Name = Field(description="`float`, `prune`, `low-rank`, `mask`, `fine-tune` or the precision")
    detail: Text = Field(default="", description="what it did, in words")
    parameters: Count | None = Field(default=None, description="number of weights after it")
    multiply_accumulates: Count | None = Field(default=None, description="per inference, after it")
    zeros: Share | None = Field(default=None, description="share of weights that a mask holds at zero")
    metric: Metric | None = Field(default=None, description="of the float network after it, in PyTorch")
    targets: tuple[StepTarget, ...] = Field(default=(), max_length=64)
    notes: tuple[Text, ...] = Field(default=(), max_length=1000)
    seconds: Seconds | None = Field(default=None, description="time the step took, measuring left out")


class LayerError(Part):
    """Quantisation error at one tensor of the program, against the float network."""

    name: Name = Field(description="tensor")
    op: Name | None = Field(default=None, description="operator that computes it")
    sqnr_db: Decibels = Field(description="signal over quantisation noise; larger is better")
    source: Text | None = Field(default=None, description="line of the user's code")


class Histogram(Part):
    """Values of one activation on the calibration samples, in 32 equal bins."""

    low: Finite = Field(description="lower end of the first bin: the smallest value seen")
    high: Finite = Field(description="upper end of the last bin: the largest value seen")
    bars: Annotated[str, Field(pattern="^([0-9a-f]{2}){32}$")] = Field(
        description="heights of the bins, two hexadecimal digits each: log(1 + count), `ff` for the fullest"
    )


class LayerCost(Part):
    """What one layer is stored in, and what that costs."""

    name: Name = Field(description="tensor it computes")
    op: Name = Field(description="operator, or `input`")
    source: Text | None = Field(default=None, description="line of the user's code")
    weight_bits: Count | None = Field(default=None, description="stored bits of a weight")
    activation_bits: Count | None = Field(default=None, description="bits of its result; 32 is float")
    size_bytes: Count = Field(default=0, description="weights, scales and bias")
    multiply_accumulates: Count = Field(default=0, description="per inference")
    noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="output noise power over signal power when this layer alone is quantised"
    )
    noise_share: Share | None = Field(default=None, description="of the sum of `noise` over all layers")
    noise_without: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="the same when all layers but this one are quantised"
    )
    range: Interval | None = Field(default=None, description="real values that its integers reach")
    histogram: Histogram | None = Field(default=None, description="of its result")
    reason: Text | None = Field(default=None, description="why it is computed in float")


class Stage(Part):
    """One step of the press."""

    name: Name
    seconds: Seconds
    cached: bool = Field(default=False, description="whether the result came from the cache")
    note: Text | None = None


class Limits(Part):
    """What was promised; None promises nothing."""

    max_drop: Finite | None = Field(
        default=None, description="largest drop, in the metric's unit (shares: 0.01 = 1 point)"
    )
    max_size_bytes: Count | None = Field(default=None, description="largest artifact")
    max_latency_s: Seconds | None = Field(default=None, description="largest median latency on this machine")
    allow_slower: bool = Field(default=False, description="an artifact slower than float may pass")
    allow_larger: bool = Field(default=False, description="an artifact larger than float may pass")
    allow_difference: bool = Field(default=False, description="an artifact out of parity may pass")
    allow_vacuous: bool = Field(default=False, description="outputs that hardly depend on the input may pass")
    min_equal: Share = Field(
        default=0.99, description="least share of output elements equal to the reference"
    )
    max_lsb: Count | None = Field(default=None, description="largest difference from the reference in steps")


class Record(Part):
    """A whole press."""

    format: Literal[1] = FORMAT
    pocketpress: Name = Field(description="version that wrote the record")
    created: Name | None = Field(default=None, description="ISO 8601 in UTC, as given by the caller")
    source: Source
    signature: Signature | None = Field(default=None, description="inputs and outputs of the artifacts")
    recipe: RecipeEntry
    limits: Limits = Field(default_factory=Limits)
    host: Host = Field(default_factory=Host)
    data: Data = Field(default_factory=Data)
    float_metric: FloatMetric | None = None
    verdict: Verdict = Field(description="the worst of the targets'")
    targets: tuple[TargetEntry, ...] = Field(default=(), max_length=64)
    between: tuple[PairParity, ...] = Field(
        default=(), max_length=4096, description="parity between runtimes"
    )
    steps: tuple[StepEntry, ...] = Field(
        default=(), max_length=1000, description="what each step of a stack gained and cost"
    )
    layers: tuple[LayerError, ...] = Field(default=(), max_length=100_000, description="error per layer")
    costs: tuple[LayerCost, ...] = Field(
        default=(), max_length=20_000, description="bits, bytes and noise per layer, in order of execution"
    )
    stages: tuple[Stage, ...] = Field(default=(), max_length=1000, description="time per step")
    skipped: tuple[SkippedEntry, ...] = Field(
        default=(), max_length=10_000, description="stages that did not run"
    )

    def to_json(self) -> str:
        """Serialise: two-space indent, final newline, infinity as a string."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, name: str = "record") -> Record:
        """Parse untrusted JSON.

        Raises:
            ArtifactError: too large, not JSON, of another format, or a field does not fit.
        """
        if len(text) > MAX_RECORD_BYTES:
            raise ArtifactError(f"{name} is too large", got=f"{len(text)} bytes", allowed=MAX_RECORD_BYTES)
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _one_line(error, name) from None

    def write(self, path: Path) -> None:
        """Write atomically: the old file or the new one is on disk, never a part.

        Raises:
            DeviceError: no room, no permission, or no such folder.
        """
        write_atomically(path, self.to_json().encode())

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            ArtifactError: the file is missing, too large, or not a record of a known format.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_RECORD_BYTES + 1)
        except OSError as error:
            raise ArtifactError("cannot read record", got=f"{path}: {error.strerror}") from error
        return cls.from_json(content, name=path.name)


def worst(verdicts: tuple[Verdict, ...]) -> Verdict:
    """The verdict of a press: fail, then vacuous, then skipped, then not executed here, then pass.

    A press whose other targets ran is not degraded by one that cannot run on this machine.
    """
    if any(verdict == "pass" for verdict in verdicts):
        verdicts = tuple(verdict for verdict in verdicts if verdict != "not executed here")
    order: tuple[Verdict, ...] = ("fail", "vacuous", "skipped", "not executed here", "pass")
    return next((verdict for verdict in order if verdict in verdicts), "skipped")


def _one_line(error: ValidationError, name: str) -> ArtifactError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))[:200]
    if first["type"] == "json_invalid":
        return ArtifactError(f"{name} is not JSON", got=str(first["msg"])[:200])
    if where == "format":
        return ArtifactError(
            f"{name} has another format",
            got=repr(first.get("input"))[:40],
            allowed=FORMAT,
            next_step="read it with the version of pocketpress that wrote it",
        )
    return ArtifactError(
        f"{name} is malformed at {where or 'the top'}",
        got=repr(first.get("input"))[:80],
        next_step=str(first["msg"])[:200],
    )
