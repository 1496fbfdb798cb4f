"""Do the runtimes compute the same integers, and what does it cost?

    python -m benchmarks.same_integers --out results/same_integers.json

Every network is pressed with tied scales and without, the ranges estimated alike; all artifacts
run on the held-out pictures and are compared, element by element, with the integer reference and with each
other.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe, run
from benchmarks.subjects import SUBJECTS
from benchmarks.workplace import OURS, Workplace
from pocketpress.core.record import Record


@dataclass(frozen=True)
class Agreement:
    """Outputs of one artifact against the reference's, or another's.

    Attributes:
        first: the runtime.
        second: another runtime, or "reference".
        pictures: compared.
        elements: compared.
        equal: share of equal integers.
        within_1_lsb: share at most one step apart.
        max_lsb: largest difference in steps.
    """

    first: str
    second: str
    pictures: int
    elements: int
    equal: float | None
    within_1_lsb: float | None
    max_lsb: int | None


@dataclass(frozen=True)
class Variant:
    """One network, pressed one way.

    Attributes:
        tied: with tied scales.
        estimator: of the ranges, as the press chose it.
        agreements: every runtime with the reference, and every two runtimes.
        sqnr_float_db: of every runtime, against the float network.
        metric: name, value and float value per runtime on the labelled pictures; None without labels.
        vacuous: whether agreement would prove nothing (outputs that hardly depend on the input).
    """

    tied: bool
    estimator: str | None
    agreements: tuple[Agreement, ...]
    sqnr_float_db: dict[str, float | None]
    metric: dict[str, dict[str, Any]] | None
    vacuous: bool


def main() -> None:
    parser = argparse.ArgumentParser(description="Share of equal integers between runtimes.")
    parser.add_argument("--networks", default=",".join(SUBJECTS))
    parser.add_argument("--out", type=Path, required=True, help="result file (JSON)")
    parser.add_argument("--work", type=Path, help="keep all files here; a temporary folder by default")
    parser.add_argument("--calibration", type=int, default=64, help="pictures")
    parser.add_argument("--held-out", type=int, default=100, help="pictures to compare")
    parser.add_argument("--labelled", type=int, default=2000, help="pictures where there are labels")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.networks.split(","):
            place = Workplace((given.work or Path(scratch)).absolute() / name, name)
            labelled = place.subject.labels(1) is not None
            place.prepare(given.calibration, given.labelled if labelled else given.held_out)
            tied = variant(place, tied=True, estimator="auto")
            untied = variant(place, tied=False, estimator=tied.estimator or "auto")
            found.append(
                {
                    "network": name,
                    "weights": SUBJECTS[name].weights,
                    "trained": SUBJECTS[name].trained,
                    "variants": [asdict(tied), asdict(untied)],
                }
            )
    result = {"benchmark": "same_integers", "format": 1, **describe(), "networks": found}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


def variant(place: Workplace, *, tied: bool, estimator: str) -> Variant:
    """Press in a child process and read its record."""
    flags = () if tied else ("--untied",)
    run("benchmarks.produce", OURS, place.name, str(place.folder), "--estimator", estimator, *flags)
    text = (place.produced(OURS, untied=not tied) / "record.json").read_text()
    return read_record(Record.model_validate_json(text), tied)


def read_record(record: Record, tied: bool) -> Variant:
    """What a record says of agreement."""
    ran = [t for t in record.targets if t.parity is not None]
    agreements = [_agreement(t.name, "reference", t.parity) for t in ran]
    agreements += [_agreement(p.first, p.second, p.parity) for p in record.between]
    scores = {t.name: t.metric for t in ran if t.metric is not None}
    labelled = record.data.evaluation is not None and record.data.evaluation.labelled
    return Variant(
        tied,
        record.recipe.estimator,
        tuple(agreements),
        {t.name: t.parity.sqnr_float_db for t in ran if t.parity is not None},
        {name: _score(metric) for name, metric in scores.items()} if labelled else None,
        any(bool(t.parity and t.parity.vacuous) for t in ran),
    )


def _agreement(first: str, second: str, parity: Any) -> Agreement:
    return Agreement(
        first,
        second,
        parity.samples,
        parity.elements,
        parity.equal,
        parity.within_1_lsb,
        parity.max_lsb,
    )


def _score(metric: Any) -> dict[str, Any]:
    kept = ("name", "value", "float_value", "drop", "drop_ci95")
    return {key: value for key, value in metric.model_dump(mode="json").items() if key in kept}


if __name__ == "__main__":
    main()
