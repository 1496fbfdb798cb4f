"""From what a phone sent to an entry of the record: checked against what is known here, and judged."""

from __future__ import annotations

import numpy as np

from pocketpress.core.errors import ArtifactError
from pocketpress.core.record import DeviceEntry, Latency, Parity
from pocketpress.core.words import duration
from pocketpress.devices.phone.messages import Agreement, Capabilities, Result, Sustained, Timings
from pocketpress.measure.device_verdict import judged_on_device, marked_unsteady
from pocketpress.measure.latency import summarise
from pocketpress.measure.steady import is_steady
from pocketpress.pipeline.bench.golden import Golden
from pocketpress.pipeline.bench.phone_tasks import Task
from pocketpress.verify.parity import decibels

TOO_COARSE = "the browser's clock is too coarse to time this network"
AUTOMATED = "the browser is driven by a program: its times say nothing about a phone"


def entry_of(result: Result, name: str, capabilities: Capabilities, task: Task, created: str) -> DeviceEntry:
    """The entry of one result.

    Args:
        result: what the phone sent.
        name: what the phone is called.
        capabilities: what its browser says of itself.
        task: what it was asked.
        created: time stamp.

    Raises:
        ArtifactError: the result does not fit the task: another number of samples, outputs or elements.
    """
    notes = [*task.reference.notes, *result.notes]
    if capabilities.automated:
        notes.append(AUTOMATED)
    entry = DeviceEntry(
        name=name,
        kind="browser",
        description=described(capabilities),
        runtime=result.runtime,
        backend=result.backend,
        created=created,
        load_s=result.load_s,
        peak_rss_bytes=result.memory_bytes,
        verdict="skipped",
        reasons=(result.reason,) if result.reason else (),
    )
    if result.outcome == "tampered":
        return entry.model_copy(update={"verdict": "fail", "notes": tuple(notes)})
    if result.timings is None:
        return entry.model_copy(update={"notes": tuple(notes)})
    parity = None if result.agreement is None else parity_of(result.agreement, task)
    latency, steady = latency_of(result.timings, result.threads)
    if latency is None:
        notes.append(TOO_COARSE)
    if result.timings.discarded:
        notes.append(f"{result.timings.discarded} measurements discarded: the page was hidden meanwhile")
    sustained = None
    if result.sustained is not None:
        sustained = sustained_of(result.sustained, result.threads)
        notes.append(_drift(result.sustained))
    update = {
        "parity": parity, "latency_s": latency, "sustained_s": sustained, "steady": steady,
        "notes": tuple(notes), "verdict": "pass", "reasons": (),
    }  # fmt: skip
    subject = task.subject
    judged = judged_on_device(
        entry.model_copy(update=update), subject.limits, stored_only=subject.stored_only
    )
    return marked_unsteady(judged)


def described(capabilities: Capabilities) -> str:
    """What a browser says of itself, as one line."""
    c = capabilities
    parts = [
        c.model,
        c.platform,
        c.browser,
        f"{c.cores} cores" if c.cores else "",
        f"{c.memory_gb:g} GB or more" if c.memory_gb else "",
        "" if c.threads else "no threads",
        f"WebGPU {c.webgpu}" if c.webgpu else "",
    ]
    return ", ".join(part for part in parts if part) or c.user_agent or "a browser"


def parity_of(agreement: Agreement, task: Task) -> Parity:
    """The phone's counts as parity; everything that follows from the reference alone is computed here."""
    golden, signature = task.reference.golden, task.reference.signature
    if golden is None or signature is None:
        raise ArtifactError("a comparison that nobody asked for", got=task.name)
    _check_fits(agreement, golden, task)
    own = golden.compare(golden.outputs, signature)  # of the reference with itself: spread, tolerance
    counted = [
        o
        for o, spec in zip(agreement.outputs, signature.outputs, strict=True)
        if spec.grid_scale is not None or spec.exact
    ]
    elements = sum(o.elements for o in counted)
    floats = [o for o in agreement.outputs if o.float_noise is not None and o.float_signal is not None]
    return own.model_copy(
        update={
            "equal": sum(o.equal for o in counted) / elements if counted else None,
            "within_1_lsb": sum(o.within_1 for o in counted) / elements if counted else None,
            "max_lsb": int(max(o.max_steps for o in counted)) if counted else None,
            "max_abs": max(o.max_abs for o in agreement.outputs),
            "sqnr_reference_db": decibels(
                sum(o.signal for o in agreement.outputs), sum(o.noise for o in agreement.outputs)
            ),
            "sqnr_float_db": decibels(
                sum(o.float_signal or 0 for o in floats), sum(o.float_noise or 0 for o in floats)
            )
            if floats
            else None,
            "argmax_agreement": agreement.argmax_equal / agreement.samples,
        }
    )


def _check_fits(agreement: Agreement, golden: Golden, task: Task) -> None:
    signature = task.reference.signature
    assert signature is not None
    wanted = [(s.name, int(np.prod(s.shape, dtype=np.int64)) * len(golden.inputs)) for s in signature.outputs]
    got = [(o.name, o.elements) for o in agreement.outputs]
    if agreement.samples != len(golden.inputs) or agreement.argmax_equal > agreement.samples or got != wanted:
        raise ArtifactError(
            "the phone compared something else",
            got=f"{agreement.samples} samples of {str(got)[:100]}",
            allowed=f"{len(golden.inputs)} samples of {str(wanted)[:100]}",
        )


def latency_of(timings: Timings, threads: int) -> tuple[Latency | None, bool | None]:
    """Latency and whether it is steady; None where the clock saw no time pass."""
    own = np.asarray(timings.seconds, np.float64)
    floats = None if timings.float_seconds is None else np.asarray(timings.float_seconds, np.float64)
    if not _seen(own) or (floats is not None and not _seen(floats)):
        own, floats = own.mean(axis=1, keepdims=True), _means(floats)
    if not _seen(own) or (floats is not None and not _seen(floats)):
        return None, None
    latency = summarise(own, floats, threads=threads, warmup=timings.warmup, overhead_s=timings.overhead_s)
    return latency, is_steady(own)


def _seen(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    return bool(np.median(values, axis=1).min() > 0)


def _means(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    return None if values is None else values.mean(axis=1, keepdims=True)


def sustained_of(sustained: Sustained, threads: int) -> Latency:
    """Latency over the last tenth of a long run."""
    last = np.asarray(sustained.last, np.float64).reshape(-1, 1)
    return summarise(last, threads=threads, warmup=sustained.runs - len(sustained.last))


def _drift(sustained: Sustained) -> str:
    first, last = sustained.medians[0], sustained.medians[-1]
    text = f"over {sustained.seconds:.0f} s without a pause from {duration(first)} to {duration(last)}"
    return f"{text}; interrupted, the phone could cool" if sustained.interrupted else text
