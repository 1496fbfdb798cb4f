"""What a phone's page may send, and nothing else: every field has a type, and a limit.

All numbers here are a phone's own words.  Texts lose their control characters, so that none reaches the
terminal.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pocketpress.core.errors import ArtifactError

MAX_BODY_BYTES = 1 << 20
MAX_ROUNDS = 4000
MAX_BLOCK = 64


def _printable(text: str) -> str:
    kept = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(kept.split())


Line = Annotated[str, Field(max_length=300), AfterValidator(_printable)]
Identity = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{8,64}$")]
Task = Annotated[str, Field(pattern="^[a-z0-9-]{1,80}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Run = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
"""Seconds of one inference."""
Period = Annotated[float, Field(ge=0, le=24 * 3600, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Power = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rounds = Annotated[
    list[Annotated[list[Run], Field(min_length=1, max_length=MAX_BLOCK)]],
    Field(min_length=1, max_length=MAX_ROUNDS),
]


class Message(BaseModel):
    """Common rules: frozen, no unknown field, no coercion of texts to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Capabilities(Message):
    """What the browser says of itself and of the phone."""

    user_agent: Line = ""
    model: Line = ""
    platform: Line = ""
    browser: Line = ""
    cores: Annotated[int, Field(ge=0, le=4096)] = 0
    memory_gb: Annotated[float, Field(ge=0, le=4096, allow_inf_nan=False)] | None = None
    secure: bool = False
    isolated: bool = False
    simd: bool = False
    threads: bool = False
    webgpu: Line = ""
    automated: bool = False


class Hello(Message):
    """A page was opened, or came back."""

    phone: Identity
    tab: Identity
    name: Annotated[str, Field(max_length=64), AfterValidator(_printable)] = ""
    capabilities: Capabilities
    take_over: bool = False


class Beat(Message):
    """A page is alive, and does this."""

    phone: Identity
    tab: Identity
    task: Task | None = None
    doing: Line = ""
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    median_s: Run | None = None


class OutputAgreement(Message):
    """One output on the golden samples, compared on the phone (`verify.parity` says how).

    Attributes:
        elements: compared.
        equal: of those, not different at all, in steps of the output's grid.
        within_1: at most one step apart.
        max_steps: the largest difference in steps.
        max_abs: the same in real values.
        signal: sum of squares of the reference's outputs.
        noise: sum of squares of the differences from them.
        float_signal: sum of squares of the float network's outputs, where they were given.
        float_noise: sum of squares of the differences from those.
    """

    name: Annotated[str, Field(max_length=512)]
    elements: Count
    equal: Count
    within_1: Count
    max_steps: Annotated[float, Field(ge=0, le=2**31, allow_inf_nan=False)]
    max_abs: Power
    signal: Power
    noise: Power
    float_signal: Power | None = None
    float_noise: Power | None = None

    @model_validator(mode="after")
    def _counts(self) -> OutputAgreement:
        if not self.equal <= self.within_1 <= self.elements:
            raise ValueError("equal, within_1 and elements are not in order")
        return self


class Agreement(Message):
    """All outputs on the golden samples."""

    samples: Annotated[int, Field(ge=1, le=64)]
    argmax_equal: Annotated[int, Field(ge=0, le=64)]
    outputs: Annotated[list[OutputAgreement], Field(min_length=1, max_length=256)]


class Timings(Message):
    """Raw times; float and compressed in the same rounds.

    Attributes:
        seconds: per round, the timed inferences of a block.
        float_seconds: the same of the float artifact, or None.
        warmup: untimed inferences before.
        overhead_s: of an empty measurement.
        discarded: repeats thrown away because the page was hidden meanwhile.
    """

    seconds: Rounds
    float_seconds: Rounds | None = None
    warmup: Count
    overhead_s: Run
    discarded: Count = 0

    @model_validator(mode="after")
    def _shapes(self) -> Timings:
        shape = [len(block) for block in self.seconds]
        if len(set(shape)) != 1:
            raise ValueError("blocks differ in length")
        if self.float_seconds is not None and [len(b) for b in self.float_seconds] != shape:
            raise ValueError("float_seconds is not paired with seconds")
        return self


class Sustained(Message):
    """A long run without a pause.

    Attributes:
        seconds: how long it was.
        runs: inferences in it.
        medians: of equal parts of it, in order.
        last: times of the last tenth, thinned out evenly where there are many.
        interrupted: the page was hidden meanwhile, so that the phone could cool.
    """

    seconds: Period
    runs: Count
    medians: Annotated[list[Run], Field(min_length=1, max_length=1000)]
    last: Annotated[list[Run], Field(min_length=1, max_length=4000)]
    interrupted: bool = False


class Result(Message):
    """What became of one task.

    Attributes:
        outcome: ``measured``; ``refused`` when the phone cannot run the artifact; ``tampered`` when the bytes
            that arrived are not the ones that were announced; ``failed`` when something broke on the way.
        reason: of the last three, in words.
    """

    phone: Identity
    tab: Identity
    task: Task
    outcome: Literal["measured", "refused", "tampered", "failed"]
    reason: Annotated[str, Field(max_length=1000), AfterValidator(_printable)] = ""
    runtime: Annotated[str, Field(max_length=64), AfterValidator(_printable)] | None = None
    backend: Literal["wasm", "wasm-threads", "webgpu"] | None = None
    threads: Annotated[int, Field(ge=0, le=4096)] = 1
    download_s: Period | None = None
    load_s: Period | None = None
    first_number_s: Period | None = None
    memory_bytes: Count | None = None
    agreement: Agreement | None = None
    timings: Timings | None = None
    sustained: Sustained | None = None
    notes: Annotated[list[Line], Field(max_length=20)] = []

    @model_validator(mode="after")
    def _complete(self) -> Result:
        if (self.outcome == "measured") != (self.timings is not None):
            raise ValueError("outcome measured and timings go together")
        if self.outcome == "measured" and (self.runtime is None or self.backend is None):
            raise ValueError("outcome measured needs runtime and backend")
        if self.outcome != "measured" and not self.reason:
            raise ValueError(f"outcome {self.outcome} needs a reason")
        return self


class Bye(Message):
    """A page is being closed."""

    phone: Identity
    tab: Identity


M = TypeVar("M", bound=Message)


def parse(kind: type[M], body: bytes) -> M:
    """One message.

    Raises:
        ArtifactError: it is too long, not JSON, or not such a message.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ArtifactError("message is too long", got=f"{len(body)} bytes", allowed=MAX_BODY_BYTES)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = _printable(".".join(map(str, first["loc"])))[:200]
        raise ArtifactError(
            f"message {kind.__name__} is malformed at {where or 'the top'}", got=str(first["msg"])[:200]
        ) from None
