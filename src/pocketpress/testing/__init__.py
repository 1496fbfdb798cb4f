"""Public checks for authors of targets: operator cases, and a conformance check against the reference."""

from pocketpress.testing.case_builder import Case
from pocketpress.testing.cases import all_cases
from pocketpress.testing.conformance import CaseResult, check_target, expects, keeps_promise

__all__ = ["Case", "CaseResult", "all_cases", "check_target", "expects", "keeps_promise"]
