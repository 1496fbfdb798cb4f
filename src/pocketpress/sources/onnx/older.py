"""Steps of operator sets before 13 in today's form.

The importer's functions read what only moved from attributes to inputs (axes, splits, paddings) from either.
Here is what means something else, or has another name; every entry of the table is an operator's change in
the ONNX operator changelog.  Nothing is converted in the file: names stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.steps.call import Known
from pocketpress.sources.steps.graph import Step

Rewrite = Callable[[Step, dict[str, Known]], Step]
CHANGED_LAST = 13
"""The newest operator set that `CHANGES` speaks of."""
FLATTENED = "flattened"
"""Attribute of a softmax over all axes from ``axis`` on, as it was before operator set 13."""


def modernized(steps: Sequence[Step], known: dict[str, Known], version: int) -> list[Step]:
    """Rewrite the steps whose operators have changed since.

    Args:
        steps: of the default domain's operator set ``version``.
        known: arrays by name; former attributes that are inputs today are added.
        version: of the operator set.

    Raises:
        UnsupportedError: a form that was dropped and cannot be said today.
    """
    if version >= CHANGED_LAST:
        return list(steps)
    found = []
    for step in steps:
        before, rewrite = CHANGES.get(step.op, (0, _as_it_is))
        found.append(rewrite(step, known) if version < before else step)
    return found


def _as_it_is(step: Step, known: dict[str, Known]) -> Step:
    return step


def _to_input(step: Step, known: dict[str, Known], attribute: str, default: float | None) -> str | None:
    """The name of a new known number; None where there is none."""
    value = step.attributes.get(attribute, default)
    if value is None:
        return None
    name = f"{step.outputs[0]} {attribute}"
    known[name] = np.asarray(value, np.float32)
    return name


def _without(step: Step, *attributes: str) -> Mapping[str, object]:
    return {name: value for name, value in step.attributes.items() if name not in attributes}


def _softmax(step: Step, known: dict[str, Known]) -> Step:
    """Set 13: one axis, the last by default; before, all from ``axis`` (1 by default) on, as one."""
    return replace(step, attributes={"axis": step.attributes.get("axis", 1), FLATTENED: 1})


def _clip(step: Step, known: dict[str, Known]) -> Step:
    ends = (_to_input(step, known, "min", None), _to_input(step, known, "max", None))
    return replace(step, inputs=(step.inputs[0], *ends), attributes={})


def _pad(step: Step, known: dict[str, Known]) -> Step:
    value = _to_input(step, known, "value", 0.0)
    return replace(step, inputs=(step.inputs[0], None, value), attributes=_without(step, "value"))


def _upsample(step: Step, known: dict[str, Known]) -> Step:
    """Set 10 renamed it; factors are an attribute in set 7 and an input in set 9."""
    scales = step.inputs[1] if len(step.inputs) > 1 else _to_input(step, known, "scales", None)
    return _resize(replace(step, op="Resize", inputs=(step.inputs[0], scales)), known)


def _resize(step: Step, known: dict[str, Known]) -> Step:
    """Set 11 added the region, and names for what was the only way: places are ``x / scale``."""
    mode = step.attributes.get("mode", "nearest")
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}
    return replace(step, inputs=(step.inputs[0], None, step.inputs[1]), attributes=attributes)


def _batch_norm(step: Step, known: dict[str, Known]) -> Step:
    """Set 9 dropped means of single places, set 14 made training an attribute; outputs showed it before."""
    if not step.attributes.get("spatial", 1):
        raise UnsupportedError(
            f"node {step.name}: spatial of {step.op}", got=0, allowed="1: one mean per channel"
        )
    training = any(step.outputs[1:])
    return replace(step, attributes={**_without(step, "spatial", "momentum"), "training_mode": int(training)})


CHANGES: dict[str, tuple[int, Rewrite]] = {
    "BatchNormalization": (14, _batch_norm),
    "Clip": (11, _clip),
    "LogSoftmax": (13, _softmax),
    "Pad": (11, _pad),
    "Resize": (11, _resize),
    "Softmax": (13, _softmax),
    "Upsample": (10, _upsample),
}
"""The operator set that changed an operator, and what one of an older set is today."""
