"""The record: round trip, bad files, atomic writes, and the page that documents it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.record import (
    MAX_RECORD_BYTES,
    Latency,
    LayerError,
    Metric,
    Parity,
    RecipeEntry,
    Record,
    SkippedEntry,
    Source,
    TargetEntry,
    Verdict,
    worst,
)
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec

ROOT = Path(__file__).resolve().parents[2]


def small_record() -> Record:
    target = TargetEntry(
        name="litert",
        artifact="net.tflite",
        size_bytes=1000,
        executed=True,
        metric=Metric(
            name="top1", value=0.88, float_value=0.89, drop=0.01, drop_ci95=(-0.002, 0.022), samples=900
        ),
        latency_s=Latency(median=0.001, p90=0.0012, float_median=0.004, speedup=4.0, threads=1, runs=50),
        parity=Parity(samples=3, elements=30, equal=1.0, max_lsb=0, sqnr_reference_db=float("inf")),
        skipped=(SkippedEntry(name="softmax_1", reason="computed in float"),),
        verdict="pass",
    )
    return Record(
        pocketpress="0.1.0",
        created="2024-01-02T03:04:05Z",
        source=Source(reference="net.py:model"),
        signature=Signature(
            inputs=(TensorSpec("image", (1, 3, 4, 4), "float32"),),
            outputs=(TensorSpec("logits", (1, 10), "float32", grid_scale=0.1, grid_zero_point=-3),),
            preprocessing=Preprocessing(crop=(4, 4)),
            precision="w8a8-static",
        ),
        recipe=RecipeEntry(precision="w8a8-static", options={"tied_scales": True, "percentile": 99.9}),
        verdict="pass",
        targets=(target,),
        layers=(LayerError(name="conv_1", sqnr_db=31.5),),
    )


def test_round_trip_through_a_file_keeps_every_field(tmp_path: Path) -> None:
    record = small_record()
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_the_file_is_strict_json_with_the_documented_names() -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    data = json.loads(small_record().to_json(), parse_constant=refuse)
    target = data["targets"][0]
    assert data["format"] == 1
    assert target["parity"]["sqnr_reference_db"] == "Infinity"
    assert target["metric"]["drop_ci95"] == [-0.002, 0.022]
    assert {
        "artifact",
        "size_bytes",
        "metric",
        "latency_s",
        "parity",
        "skipped",
        "verdict",
        "reasons",
    } <= set(target)
    assert data["float_metric"] is None


def test_options_keep_their_types() -> None:
    options = {"flag": True, "count": 3, "ratio": 0.5, "name": "mse", "none": None}
    record = small_record().model_copy(update={"recipe": RecipeEntry(precision="fp32", options=options)})
    read = Record.from_json(record.to_json()).recipe.options
    assert {k: (type(v), v) for k, v in read.items()} == {k: (type(v), v) for k, v in options.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ('{"format": 1', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is malformed at the top"),
        ('{"format": 2}', "has another format: got 2; allowed: 1"),
        ("{}", "is malformed at pocketpress"),
    ],
)
def test_text_that_is_no_record_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Record.from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('"verdict": "pass",\n      "reasons"', '"verdict": "fine",\n      "reasons"', "targets.0.verdict"),
        ('"size_bytes": 1000', '"size_bytes": -1', "targets.0.size_bytes"),
        ('"equal": 1.0', '"equal": 1.5', "targets.0.parity.equal"),
        ('"sqnr_db": 31.5', '"sqnr_db": NaN', "layers.0.sqnr_db"),
        ('"median": 0.001', '"median": Infinity', "targets.0.latency_s.median"),
        ('"name": "litert"', '"name": "litert", "surprise": 1', "targets.0.surprise"),
        ('"artifact": "net.tflite"', '"artifact": "' + "x" * 5000 + '"', "targets.0.artifact"),
    ],
)
def test_a_field_that_does_not_fit_is_named(old: str, new: str, where: str) -> None:
    text = small_record().to_json()
    assert text.count(old) == 1
    with pytest.raises(ArtifactError, match=f"malformed at {where}"):
        Record.from_json(text.replace(old, new))


def test_a_file_over_the_limit_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + (1 << 30))
    with pytest.raises(ArtifactError, match="too large"):
        Record.read(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read record: got .*No such file"):
        Record.read(tmp_path / "record.json")


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    path.write_text("old")

    def no_room(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(DeviceError, match=r"cannot write record\.json: got No space left on device"):
        small_record().write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(fd: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_record().write(tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No such file or directory"):
        small_record().write(tmp_path / "absent" / "record.json")


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        small_record().targets[0].verdict = "fail"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (("pass", "fail", "vacuous"), "fail"),
        (("pass", "vacuous"), "vacuous"),
        (("pass", "not executed here"), "pass"),
        (("not executed here",), "not executed here"),
        (("pass", "skipped"), "skipped"),
        ((), "skipped"),
    ],
)
def test_the_worst_verdict_counts(verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
    assert worst(verdicts) == expected


def test_the_format_page_is_what_the_models_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "record_doc.py", "--check"], check=False, capture_output=True
    )
    assert done.returncode == 0, "run: python scripts/record_doc.py"


def test_the_models_import_no_ml_library() -> None:
    code = "import sys, pocketpress.core.record; print([m for m in ('torch', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
