"""Everything a press can be told, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pocketpress.core.errors import UserError
from pocketpress.core.precision import parse_precision
from pocketpress.core.program.state import State
from pocketpress.core.record import Limits
from pocketpress.data.buckets import Bucket
from pocketpress.pipeline.shrink_options import ShrinkOptions

SYNTHESISED = "none"
"""As calibration data: no data; inputs are synthesised."""


@dataclass(frozen=True)
class PressOptions:
    """What to press, how, and what is promised.

    Attributes:
        source: factory specification, or a ``.pt2``, ``.onnx``, ``.tflite``, ``.keras`` or ``.h5`` file.
        targets: comma-separated target or group names.
        out: folder for the artifacts, ``record.json`` and ``report.html``.
        weights: weights file for the factory's network.
        shapes: input shapes when the factory gives no example inputs.
        states: outputs that are inputs of the next step, besides those that the factory declares.
        stream: time axis of the inputs of a network of whole sequences, to press it as one of single steps.
        bucket: which of several lengths this press is (`pipeline.buckets`).
        data: calibration data, or `SYNTHESISED` to make it from the network's batch-norm statistics.
        evaluation: evaluation data; the calibration data when None.
        metric: metric name or callable; chosen from the data when None.
        precision: a name of `core.precision`.
        estimator: range estimator, "auto" to let the calibration data choose, or "file" for the scales of an
            8-bit TFLite file.
        tied: scales on which all runtimes round alike.
        preprocess: preprocessing text; None for what the data needs.
        labels: files with the names of an output's classes, ``FILE`` or ``OUTPUT=FILE`` each; ``none`` alone
            for no names.  Empty: what the source or a folder of class folders says.
        input_uint8: the artifact takes raw pixels.
        calibration_samples: samples that ranges are found on, at most; None for 512, fewer of large ones.
        qat_epochs: epochs of quantisation-aware training on the data of ``shrink.finetune``.
        rounding_samples: samples that learned rounding sees at most, besides those of calibration.
        rounding_steps: gradient steps per block of learned rounding; 0 for none, None for the default.
        evaluation_samples: at most so many; None for all.
        parity_samples: evaluation samples compared with the integer reference.
        threads: threads of every runtime.
        seed: of every random choice.
        devices: other devices to execute every artifact on, comma-separated, as after ``--device``.
        limits: promises; breaking one is the verdict ``fail``.
        measure: run latency and memory measurements.
        cache: folder of the content-keyed cache, or None for none.
        created: time stamp for the record, given by the caller.
        shrink: steps on the live network before it is exported: prune, factorise, mask, fine-tune.
    """

    source: str
    targets: str = "litert,executorch,onnxruntime,coreml"
    out: Path = Path("pressed")
    weights: Path | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None
    states: tuple[State, ...] = ()
    stream: int | None = None
    bucket: Bucket | None = None
    data: str | None = None
    evaluation: str | None = None
    metric: str | None = None
    precision: str = "w8a8-static"
    estimator: str = "auto"
    tied: bool = True
    preprocess: str | None = None
    labels: tuple[str, ...] = ()
    input_uint8: bool = False
    calibration_samples: int | None = None
    rounding_samples: int = 1024
    rounding_steps: int | None = None
    qat_epochs: int = 0
    evaluation_samples: int | None = 1000
    parity_samples: int = 100
    threads: int = 1
    seed: int = 0
    devices: str = ""
    limits: Limits = field(default_factory=Limits)
    measure: bool = True
    cache: Path | None = None
    created: str | None = None
    shrink: ShrinkOptions = field(default_factory=ShrinkOptions)

    def __post_init__(self) -> None:
        wanted = parse_precision(self.precision)
        if wanted.activations == "int16" and self.input_uint8:
            raise UserError(
                "16-bit activations cannot start from raw pixels",
                next_step="leave --input-uint8 out, or --precision w8a8-static",
            )
        if wanted.needs_data and self.data is None:
            raise UserError(
                f"{self.precision} needs calibration data",
                next_step="give --data (images, .npz, .parquet or module:function; none synthesises it), "
                "or --precision fp16",
            )
        if wanted.name == "mixed" and self.limits.max_drop is None and self.limits.max_size_bytes is None:
            raise UserError(
                "--precision mixed needs a promise to keep", next_step="give --max-drop or --max-size"
            )
        if self.qat_epochs and (self.shrink.finetune is None or not wanted.trainable):
            raise UserError(
                "--qat-epochs trains integers on labelled or unlabelled data",
                got=f"--precision {self.precision}, --finetune {self.shrink.finetune}",
                next_step="give --finetune DATA and --precision w8a8-static, w4a8 or w8a16",
            )
        if self.stream is not None and (self.states or self.stream < 0):
            raise UserError(
                "--stream finds the states itself, along an axis that is counted from 0",
                got=f"--stream {self.stream}, {len(self.states)} states",
                next_step="leave --state out",
            )
        self._check_synthesised()
        for name in ("calibration_samples", "parity_samples", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1", got=value)

    def _check_synthesised(self) -> None:
        if self.evaluation == SYNTHESISED:
            raise UserError("evaluation needs real data", got="--eval none", next_step="leave --eval out")
        if self.data != SYNTHESISED or self.evaluation is not None:
            return
        for option, given in (("--metric", self.metric), ("--max-drop", self.limits.max_drop)):
            if given is not None:
                raise UserError(
                    f"{option} needs real samples; synthesised ones say nothing about accuracy",
                    next_step="give --eval (images, .npz, .parquet or module:function)",
                )
