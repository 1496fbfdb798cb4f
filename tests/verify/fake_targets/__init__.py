"""Two targets that are the reference interpreter; one of them computes one operator wrongly."""

from __future__ import annotations

from pocketpress.core.target import TargetSpec


def _spec(name: str) -> TargetSpec:
    return TargetSpec(
        name=name,
        title=name,
        suffix=f".{name}",
        package=f"tests.verify.fake_targets.{name}",
        requires=(),
        groups=(),
        precisions=("fp32", "w8a8-static"),
    )


FAITHFUL = _spec("faithful")
BROKEN = _spec("broken")
