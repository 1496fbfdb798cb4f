"""From a phone's counts to an entry: the same parity as Python's, and lies that do not fit are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketpress.core.errors import ArtifactError
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.core.targets import all_targets
from pocketpress.devices.phone.messages import (
    Agreement,
    Capabilities,
    OutputAgreement,
    Result,
    Sustained,
    Timings,
)
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.phone_entry import AUTOMATED, TOO_COARSE, described, entry_of, parity_of
from pocketpress.pipeline.bench.phone_tasks import Task, layout, packed
from pocketpress.pipeline.bench.reference import Reference
from pocketpress.pipeline.bench.subjects import Subject

SIGNATURE = Signature(
    inputs=(TensorSpec("x", (1, 2), "int8", scale=0.5, zero_point=3),),
    outputs=(
        TensorSpec("logits", (1, 3), "int8", scale=0.25, grid_scale=0.25),
        TensorSpec("score", (1, 1), "float32"),
    ),
)
RNG = np.random.default_rng(0)
REFERENCE = tuple(
    {
        "logits": RNG.integers(-100, 100, (1, 3)).astype(np.float32) * np.float32(0.25),
        "score": RNG.normal(size=(1, 1)).astype(np.float32),
    }
    for _ in range(4)
)
GOLDEN = Golden(
    tuple({"x": np.full((1, 2), i, np.float32)} for i in range(4)),
    REFERENCE,
    tuple({k: v + np.float32(0.01) for k, v in o.items()} for o in REFERENCE),
    "the integer reference of the press",
)
SUBJECT = Subject(Path("net.tflite"), all_targets()["litert"], "a" * 64)
TASK = Task("aaaaaaaaaaaaaaaa-auto", SUBJECT, "auto", Reference(SIGNATURE, GOLDEN), "aaaaaaaaaaaaaaaa")
CAPABILITIES = Capabilities(
    model="Pixel 7", platform="Android 14", browser="Chrome 126", cores=8, threads=True
)
STEADY = [[0.010, 0.011]] * 12


def counted(got: tuple[dict[str, Any], ...]) -> Agreement:
    """What the page counts, in the words of its own code."""
    outputs = []
    for spec in SIGNATURE.outputs:
        a = np.concatenate([np.asarray(o[spec.name], np.float64).reshape(-1) for o in got])
        b = np.concatenate([np.asarray(o[spec.name], np.float64).reshape(-1) for o in REFERENCE])
        f = np.concatenate([np.asarray(o[spec.name], np.float64).reshape(-1) for o in GOLDEN.floats or ()])
        step = spec.grid_scale or 1.0
        steps = np.abs(np.rint(a / step) - np.rint(b / step)) if spec.grid_scale else np.abs(a - b) / 1e-4
        outputs.append(
            OutputAgreement(
                name=spec.name,
                elements=a.size,
                equal=int((steps == 0).sum()),
                within_1=int((steps <= 1).sum()),
                max_steps=float(steps.max()),
                max_abs=float(np.abs(a - b).max()),
                signal=float((b**2).sum()),
                noise=float(((a - b) ** 2).sum()),
                float_signal=float((f**2).sum()),
                float_noise=float(((f - a) ** 2).sum()),
            )
        )
    same = sum(
        int(np.argmax(a["logits"]) == np.argmax(b["logits"])) for a, b in zip(got, REFERENCE, strict=True)
    )
    return Agreement(samples=len(got), argmax_equal=same, outputs=outputs)


def result(**fields: Any) -> Result:
    given: dict[str, Any] = {
        "phone": "p" * 16, "tab": "t" * 16, "task": TASK.name, "outcome": "measured",
        "runtime": "LiteRT.js 2.5.3", "backend": "wasm", "threads": 2, "load_s": 0.5,
        "agreement": counted(REFERENCE), "timings": Timings(seconds=STEADY, warmup=10, overhead_s=1e-6),
    }  # fmt: skip
    return Result(**{**given, **fields})


def entry(found: Result, capabilities: Capabilities = CAPABILITIES) -> Any:
    return entry_of(found, "pixel-7", capabilities, TASK, "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_parity_is_what_python_finds(steps: int) -> None:
    got = tuple({k: v.copy() for k, v in o.items()} for o in REFERENCE)
    got[1]["logits"][0, 2] += np.float32(0.25 * steps)
    ours, python = parity_of(counted(got), TASK), GOLDEN.compare(got, SIGNATURE)
    for name in type(python).model_fields:
        a, b = getattr(ours, name), getattr(python, name)
        assert a == (pytest.approx(b, rel=1e-9) if isinstance(b, float) else b), name


def test_a_good_measurement() -> None:
    found = entry(result())
    assert (found.verdict, found.steady, found.reasons) == ("pass", True, ())
    assert found.latency_s.median == pytest.approx(0.0105) and found.latency_s.runs == 24
    assert found.latency_s.threads == 2 and found.parity.equal == 1.0
    assert found.description == "Pixel 7, Android 14, Chrome 126, 8 cores"
    assert (found.name, found.kind, found.runtime, found.backend) == (
        "pixel-7", "browser", "LiteRT.js 2.5.3", "wasm",
    )  # fmt: skip


def test_unsteady_is_marked_and_kept() -> None:
    times = [[0.010]] * 6 + [[0.013]] * 6
    found = entry(result(timings=Timings(seconds=times, warmup=10, overhead_s=0)))
    assert found.steady is False and found.latency_s is not None
    assert any("differ by more than 10 %" in reason for reason in found.reasons)


def test_slower_than_float_fails() -> None:
    timings = Timings(seconds=STEADY, float_seconds=[[0.005, 0.005]] * 12, warmup=10, overhead_s=0)
    found = entry(result(timings=timings))
    assert found.verdict == "fail" and "slower than the float artifact" in found.reasons[0]
    assert found.latency_s.speedup == pytest.approx(0.0050 / 0.0105)


def test_other_numbers_fail() -> None:
    got = tuple({**o, "logits": o["logits"] + np.float32(2.0)} for o in REFERENCE)
    found = entry(result(agreement=counted(got)))
    assert found.verdict == "fail" and "of the outputs equal the reference" in " ".join(found.reasons)


def test_what_it_could_not_run() -> None:
    found = entry(result(outcome="refused", reason="no SIMD", timings=None, agreement=None, runtime=None))
    assert (found.verdict, found.reasons, found.latency_s) == ("skipped", ("no SIMD",), None)
    found = entry(result(outcome="tampered", reason="other bytes", timings=None, agreement=None))
    assert (found.verdict, found.reasons) == ("fail", ("other bytes",))


def test_a_clock_that_sees_nothing() -> None:
    found = entry(result(timings=Timings(seconds=[[0.0, 0.0]] * 12, warmup=10, overhead_s=0)))
    assert found.latency_s is None and TOO_COARSE in found.notes
    coarse = [[0.0, 0.0, 0.001]] * 12
    found = entry(result(timings=Timings(seconds=coarse, warmup=10, overhead_s=0)))
    assert found.latency_s.median == pytest.approx(0.001 / 3), "the mean of a block is finer than the clock"


def test_a_long_run() -> None:
    sustained = Sustained(seconds=300, runs=20_000, medians=[0.010, 0.012, 0.015], last=[0.015] * 100)
    found = entry(result(sustained=sustained))
    assert found.sustained_s.median == pytest.approx(0.015)
    assert "over 300 s without a pause from 10 ms to 15 ms" in found.notes


def test_a_browser_that_a_program_drives_is_no_phone() -> None:
    assert AUTOMATED in entry(result(), Capabilities(automated=True)).notes
    assert described(Capabilities(user_agent="x")) == "no threads"


LIES: list[dict[str, Any]] = [
    {"samples": 3},
    {"samples": 4, "argmax_equal": 5},
    {"outputs": counted(REFERENCE).outputs[:1]},
    {"outputs": list(reversed(counted(REFERENCE).outputs))},
    {"outputs": [o.model_copy(update={"elements": 99}) for o in counted(REFERENCE).outputs]},
]


@pytest.mark.parametrize("lie", LIES)
def test_what_does_not_fit_is_refused(lie: dict[str, Any]) -> None:
    agreement = counted(REFERENCE).model_copy(update=lie)
    with pytest.raises(ArtifactError, match="the phone compared something else"):
        entry(result(agreement=agreement))


def test_samples_on_the_wire() -> None:
    """Per sample: the input's integers, the reference's outputs, the float network's; nothing between."""
    content = packed(GOLDEN, SIGNATURE)
    assert len(content) == 4 * (2 + 2 * 4 * (3 + 1))
    assert content[34:36] == bytes([5, 5]), "sample 1: 1.0 / 0.5 + 3"
    assert np.array_equal(np.frombuffer(content[2:14], "<f4"), REFERENCE[0]["logits"].reshape(-1))
    described_layout = layout("g", GOLDEN, SIGNATURE)
    assert described_layout["inputs"] == [{"dtype": "int8", "elements": 2}]
    assert [o["grid_scale"] for o in described_layout["outputs"]] == [0.25, None]
