"""Public checks for authors of targets (operator cases against the reference) and of devices."""

from pocketpress.testing.case_builder import Case
from pocketpress.testing.cases import all_cases
from pocketpress.testing.conformance import CaseResult, check_target, expects, keeps_promise
from pocketpress.testing.devices import DeviceResult, check_device

__all__ = [
    "Case",
    "CaseResult",
    "DeviceResult",
    "all_cases",
    "check_device",
    "check_target",
    "expects",
    "keeps_promise",
]
