"""What is measured: artifacts by path, and those of a press."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devices.test_runtimes import card, lowered
from tests.devices.test_store import entry
from tests.report import sample

from pocketpress.core.digest import sha256_of
from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.record import Record, TargetEntry
from pocketpress.pipeline.bench.keep import keep
from pocketpress.pipeline.bench.phone_tasks import PhoneOptions, prepare_work
from pocketpress.pipeline.bench.subjects import find_subjects


@pytest.fixture
def pressed(tmp_path: Path) -> Path:
    """A press of two targets that write the same bytes, as fp32 does for LiteRT and LiteRT.js."""
    made = lowered(card("litert"), tmp_path, quantized=False)
    out = tmp_path / "pressed"
    out.mkdir()
    targets = []
    for name, suffix in (("litert", ".tflite"), ("litert-web", ".web.tflite")):
        path = out / f"net{suffix}"
        path.write_bytes(made.read_bytes())
        targets.append(TargetEntry(name=name, artifact=path.name, sha256=sha256_of(path), verdict="pass"))
    sample.record().model_copy(update={"targets": tuple(targets), "between": ()}).write(out / "record.json")
    return out


def test_two_targets_may_write_the_same_bytes(pressed: Path) -> None:
    web, plain = sorted(find_subjects([pressed]), key=lambda subject: -len(subject.name))
    assert (web.spec.name, plain.spec.name) == ("litert-web", "litert") and web.sha256 == plain.sha256
    assert keep(web, entry(name="host"), None) == ()
    devices = {t.name: [d.name for d in t.devices] for t in Record.read(pressed / "record.json").targets}
    assert devices == {"litert": [], "litert-web": ["host"]}


def test_a_phone_measures_the_same_bytes_once(pressed: Path) -> None:
    work = prepare_work(PhoneOptions((pressed,), backends=("wasm", "wasm")))
    assert len(work.job["tasks"]) == len(work.tasks) == 1
    assert [task.subject.name for task in work.tasks.values()] == ["net.tflite"]
    assert work.refused == (("net.web.tflite", "the same bytes as net.tflite"),)


def test_what_is_nothing_to_measure(pressed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the same artifact twice: got .*net\.tflite; leave one out$"):
        find_subjects([pressed, pressed / "net.tflite"])
    with pytest.raises(
        ArtifactError, match=r"no such artifact: got .*; allowed: net.tflite, net.web.tflite; "
    ):
        find_subjects([pressed / "net.onnx"])
    (pressed / "net.web.tflite").unlink()
    with pytest.raises(ArtifactError, match=r"no such artifact: got .*net.web.tflite; allowed: net.tflite; "):
        find_subjects([pressed])
