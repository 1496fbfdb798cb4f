"""Opening and running artifacts, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from tests.targets.litert.cases import feeds_for, small_mobilenet

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.session import Session
from pocketpress.core.signature import signature_of
from pocketpress.targets.litert.graph import Graph
from pocketpress.targets.litert.lower import lower, to_bytes
from pocketpress.targets.litert.run import open_runner
from pocketpress.verify.reference.interpret import interpret


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    program = small_mobilenet()
    path = tmp_path / "net.tflite"
    lower(program, signature_of(program, precision="w8a8-static"), path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_gives_real_values_by_name(artifact: Path, threads: int) -> None:
    program = small_mobilenet()
    feeds = feeds_for(program)
    with Session(open_runner(artifact, threads)) as session:
        got = session(**feeds)
    np.testing.assert_array_equal(got["logits"], interpret(program, feeds)["logits"])


def test_results_of_an_earlier_call_do_not_change(artifact: Path) -> None:
    runner = open_runner(artifact)
    feeds = feeds_for(small_mobilenet())
    (first,) = runner.run([feeds["image"]])
    kept = first.copy()
    runner.run([feeds["image"] * 0])
    np.testing.assert_array_equal(first, kept)


def test_a_wrong_shape_below_the_session_is_a_device_error(artifact: Path) -> None:
    with pytest.raises(DeviceError, match="LiteRT failed to run"):
        open_runner(artifact).run([np.zeros((1, 3, 5, 5), np.float32)])


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such artifact"):
        open_runner(tmp_path / "absent.tflite")


@pytest.mark.parametrize("content", [b"", b"x" * 63, b"PK\x03\x04" * 100, bytes(4096)])
def test_other_formats(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"is not a \.tflite file"):
        open_runner(path)


def test_every_truncation_is_noticed_before_the_runtime_sees_it(artifact: Path) -> None:
    content = artifact.read_bytes()
    for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        artifact.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ArtifactError):
            open_runner(artifact)


def test_a_tflite_file_of_someone_else(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.constant("x", np.zeros(100, np.float32))
    path = tmp_path / "a.tflite"
    content = graph.pack([("x", x)], [("x", x)], "{}").replace(
        b"pocketpress.signature", b"someoneelse.signature"
    )
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="carries no Pocketpress signature"):
        open_runner(path)


def test_a_signature_that_belongs_to_another_network(tmp_path: Path) -> None:
    program = small_mobilenet()
    other = signature_of(program, precision="fp32")
    renamed = type(other)(other.inputs, (*other.outputs, other.outputs[0]))
    path = tmp_path / "a.tflite"
    path.write_bytes(to_bytes(program, renamed))
    with pytest.raises(ArtifactError, match="differ from the embedded signature"):
        open_runner(path)


def test_nothing_is_written_to_standard_error(artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_runner(artifact).run([feeds_for(small_mobilenet())["image"]])
    assert capfd.readouterr().err == ""
