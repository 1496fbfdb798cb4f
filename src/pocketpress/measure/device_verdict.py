"""The verdict on one device: the same promises as on this machine, about what was seen there.

Size and accuracy are the artifact's and not the device's; an emulated device is not held to a latency.
"""

from __future__ import annotations

from pocketpress.core.record import DeviceEntry, Limits, TargetEntry
from pocketpress.measure.verdict import judge

UNSTEADY = "repeated measurements differ by more than 10 %: measure again on a cool, idle device"


def marked_unsteady(entry: DeviceEntry) -> DeviceEntry:
    """The same entry, saying so where its measurement did not repeat."""
    if entry.steady is not False or UNSTEADY in entry.reasons:
        return entry
    return entry.model_copy(update={"reasons": (*entry.reasons, UNSTEADY)[:100]})


def judged_on_device(
    entry: DeviceEntry, limits: Limits, *, stored_only: bool = False, timed: bool = True
) -> DeviceEntry:
    """The same entry with verdict and reasons filled in; one that was skipped stays so.

    Args:
        entry: what was measured.
        limits: what was promised.
        stored_only: the precision makes the file smaller here, not faster.
        timed: latency was to be measured; promises about it are left aside where it was not.
    """
    if entry.verdict == "skipped":
        return entry
    promised = {"max_size_bytes": None, "max_drop": None}
    if not timed:
        promised["max_latency_s"] = None
    seen = TargetEntry(
        name=entry.name,
        executed=True,
        stored_only=stored_only,
        parity=entry.parity,
        latency_s=entry.latency_s,
        verdict="pass",
    )
    found = judge(seen, limits.model_copy(update=promised))
    return entry.model_copy(
        update={"verdict": found.verdict, "reasons": (*entry.reasons, *found.reasons)[:100]}
    )
