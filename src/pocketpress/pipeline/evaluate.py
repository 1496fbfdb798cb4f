"""Run programs and artifacts over evaluation samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketpress.core.errors import DataError
from pocketpress.core.program import Program
from pocketpress.core.program.ir import Array
from pocketpress.core.record import Metric
from pocketpress.core.session import Session
from pocketpress.core.target import file_to_real
from pocketpress.data.metrics import Metric as MetricFunction
from pocketpress.measure.accuracy import compare_scores, compare_whole
from pocketpress.pipeline.feeds import Feed, Feeds
from pocketpress.pipeline.outputs import Outputs
from pocketpress.pipeline.prepare import stored
from pocketpress.pipeline.sequences import initial_states, run_sequence, singles
from pocketpress.verify.reference import interpret

Advance = Callable[[], None]


@dataclass(frozen=True)
class EvaluationSet:
    """Evaluation samples, and what the float network makes of them.

    Attributes:
        feeds: inputs of every sample.
        float_outputs: the float network's outputs of every sample.
    """

    feeds: Feeds
    float_outputs: Outputs

    @property
    def targets(self) -> Array | None:
        """Stacked targets, or None without labels."""
        return self.feeds.targets

    def rows(self, outputs: Outputs) -> Any:
        """Outputs as the metrics take them: of samples, of all steps, or of every sequence's last step."""
        if self.feeds.per_step:
            return stacked(singles(outputs))
        if self.feeds.sequences:
            return stacked([{name: value[-1] for name, value in o.items()} for o in outputs])
        return stacked(outputs)


def run_program(program: Program, feeds: Iterable[Feed], advance: Advance) -> Outputs:
    """Real-valued outputs of a program in the reference interpreter; of whole sequences with state."""
    results: Outputs = []
    for feed in feeds:
        step = _stepper(program, lambda f: interpreted(program, f))
        results.append(run_sequence(feed, step) if program.states else interpreted(program, feed))
        advance()
    return results


def interpreted(program: Program, feed: Mapping[str, Array]) -> Feed:
    """Real-valued outputs of one inference in the reference interpreter, states included."""
    values = interpret(program, stored(program, dict(feed)))
    return {name: _real(program, name, values[name]) for name in program.outputs}


def _stepper(program: Program, call: Callable[[Feed], Feed]) -> Callable[[Feed], Feed]:
    """A function of one step that keeps the states, which start anew."""
    kept = initial_states(program)

    def step(feed: Feed) -> Feed:
        results = call({**feed, **kept})
        kept.update({state.input: results[state.output] for state in program.states})
        return {name: results[name] for name in program.returned}

    return step


def _real(program: Program, name: str, value: Array) -> Array:
    quant = program.type(name).quant
    return value if quant is None else file_to_real(value, float(quant.step), quant.zero_point)


def run_session(session: Session, feeds: Iterable[Feed], advance: Advance) -> Outputs:
    """Real-valued outputs of an artifact in its runtime; of whole sequences with state."""
    results: Outputs = []
    for feed in feeds:
        session.reset()
        stateful = bool(session.signature.states)
        results.append(run_sequence(feed, lambda f: session.step(**f)) if stateful else session(**feed))
        advance()
    return results


def stacked(outputs: Outputs) -> Any:
    """Outputs as the metrics take them: (N, ...) without the batch axis of one."""
    names = list(outputs[0])
    arrays = {
        n: np.stack([np.asarray(o[n])[0] if np.asarray(o[n]).ndim else np.asarray(o[n]) for o in outputs])
        for n in names
    }
    return arrays[names[0]] if len(names) == 1 else arrays


def compare_metric(
    metric: MetricFunction,
    outputs: Outputs,
    evaluation: EvaluationSet,
    seed: int,
) -> Metric:
    """The task metric of an artifact against the float network on the same samples."""
    floats, ours = evaluation.rows(evaluation.float_outputs), evaluation.rows(outputs)
    count = evaluation.feeds.rows
    targets = evaluation.targets if metric.needs_targets else floats_as_target(floats)
    score, float_score = metric.evaluate(ours, targets), metric.evaluate(floats, targets)
    if score.per_sample is not None and float_score.per_sample is not None:
        return compare_scores(
            public_name(metric),
            score.per_sample,
            float_score.per_sample,
            unit=metric.unit,
            larger_is_better=metric.higher_is_better,
            seed=seed,
        )

    def on(values: Any) -> Callable[[Any], float]:
        def value(rows: Any) -> float:
            try:
                return float(metric.evaluate(_rows(values, rows), _rows(targets, rows)).value)
            except DataError:
                if len(rows) == count and (np.asarray(rows) == np.arange(len(rows))).all():
                    raise
                return float("nan")  # undefined on this resample, for example without one class

        return value

    return compare_whole(
        public_name(metric),
        on(ours),
        on(floats),
        count,
        unit=metric.unit,
        larger_is_better=metric.higher_is_better,
        seed=seed,
        resamples=200,
    )


def public_name(metric: MetricFunction) -> str:
    """The metric's name for people: of a user's function, its name without the path."""
    return metric.name.rpartition(":")[2] if metric.takes_all else metric.name


def floats_as_target(floats: Any) -> Array:
    """The float network's own outputs as the target of a metric that needs no labels."""
    return floats[next(iter(floats))] if isinstance(floats, Mapping) else np.asarray(floats)


def _rows(values: Any, rows: Any) -> Any:
    if values is None:
        return None
    if isinstance(values, Mapping):
        return {name: value[rows] for name, value in values.items()}
    return values[rows]
