"""The task metric as a judge of programs, before any artifact exists."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pocketpress.core.program import Program
from pocketpress.data.metrics import Metric
from pocketpress.pipeline.evaluate import EvaluationSet, floats_as_target, run_program
from pocketpress.pipeline.outputs import Outputs


@dataclass(frozen=True)
class MetricJudge:
    """Judges by the promise's own metric, on the samples on which artifacts are judged later.

    Attributes:
        evaluation: the samples, and what the float network makes of them.
        metric: the task metric.
    """

    evaluation: EvaluationSet
    metric: Metric

    @property
    def identity(self) -> str:
        """Of the samples and the metric, for the cache."""
        return hashlib.sha256(f"{self.evaluation.feeds.digest} {self.metric.name}".encode()).hexdigest()

    @property
    def float_outputs(self) -> Outputs:
        """Of the float network."""
        return self.evaluation.float_outputs

    def loss(self, outputs: Outputs) -> float:
        """How much the metric drops with these outputs."""
        lost = self._value(self.float_outputs) - self._value(outputs)
        return lost if self.metric.higher_is_better else -lost

    def _value(self, outputs: Outputs) -> float:
        targets = self.evaluation.targets
        if not self.metric.needs_targets:
            targets = floats_as_target(self.evaluation.rows(self.float_outputs))
        return self.metric.evaluate(self.evaluation.rows(outputs), targets).value

    def drop(self, program: Program) -> float:
        """How much the metric drops with this program, in the reference interpreter."""
        return self.loss(run_program(program, self.evaluation.feeds, lambda: None))
