"""Opening files: damaged ones, thread counts, several at once, closing; what the runtime itself returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.networks import mobile_network

from pocketpress.core.errors import ArtifactError, UserError
from pocketpress.core.session import Session
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch import run
from pocketpress.targets.executorch.container import SIGNATURE_METHOD, read_container
from pocketpress.targets.executorch.lower import lower
from pocketpress.targets.executorch.run import open_runner
from pocketpress.verify.reference import interpret

IMAGE = np.random.default_rng(3).normal(size=(1, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    program = mobile_network()
    path = tmp_path / "net.pte"
    lower(program, signature_of(program, precision="w8a8-static"), path)
    return path


def expected() -> np.ndarray:
    return interpret(mobile_network(), {"x": IMAGE})["y"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ArtifactError, match=r"not an ExecuTorch program|truncated"):
        open_runner(path, 1)


def test_every_changed_byte_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for position in np.linspace(0, len(data) - 1, 60).astype(int):
        changed = bytearray(data)
        changed[position] ^= 0x41
        with pytest.raises(ArtifactError):
            read_container(bytes(changed))


def test_other_files_and_missing_ones(tmp_path: Path) -> None:
    other = tmp_path / "other.pte"
    other.write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(ArtifactError, match="not an ExecuTorch program"):
        open_runner(other, 1)
    with pytest.raises(ArtifactError, match="cannot read artifact"):
        open_runner(tmp_path / "absent.pte", 1)


def test_no_threads(path: Path) -> None:
    with pytest.raises(UserError, match="threads"):
        open_runner(path, 0)


def test_programs_with_other_thread_counts_live_side_by_side(path: Path) -> None:
    one, two = open_runner(path, 1), open_runner(path, 2)
    for runner, threads in ((one, 1), (two, 2), (one, 1), (one, 1), (two, 2)):
        np.testing.assert_array_equal(runner.run([IMAGE])[0], expected())
        assert run._runtime()._threadpool_get_thread_count() == threads
    one.close()
    np.testing.assert_array_equal(two.run([IMAGE])[0], expected())
    two.close()


def test_results_are_copies_and_inputs_are_not_kept(path: Path) -> None:
    runner = open_runner(path, 1)
    image = IMAGE.copy()
    first = runner.run([image])[0]
    kept = first.copy()
    image[:] = 5
    runner.run([-IMAGE])
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(first, expected())
    runner.close()


def test_read_only_and_strided_inputs(path: Path) -> None:
    runner = open_runner(path, 1)
    frozen = IMAGE.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(runner.run([frozen])[0], expected())
    strided = np.ascontiguousarray(IMAGE.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(runner.run([strided])[0], expected())
    runner.close()


def test_closed_runner_says_so(path: Path) -> None:
    runner = open_runner(path, 1)
    runner.close()
    runner.close()
    with pytest.raises(ArtifactError, match="closed"):
        runner.run([IMAGE])


def test_session_names_inputs_and_outputs(path: Path) -> None:
    with Session(open_runner(path, 1)) as session:
        assert session.signature.precision == "w8a8-static"
        assert session.signature.outputs[0].grid_scale is not None
        np.testing.assert_array_equal(session(x=IMAGE)["y"], expected())


def test_the_runtime_itself_returns_the_signature(path: Path) -> None:
    """An app without Pocketpress calls the method and gets the JSON text."""
    data = path.read_bytes()
    program = run._runtime()._load_program_from_buffer(data)
    texts = program.load_method(SIGNATURE_METHOD)([])
    assert json.loads(texts[0])["inputs"][0]["name"] == "x"


def test_loading_is_silent(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_runner(path, 2).close()
    open_runner(path, 1).close()
    assert capfd.readouterr() == ("", "")


def test_a_file_that_the_runtime_refuses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message carries XNNPACK's own complaint."""
    from pocketpress.targets.executorch import graph

    monkeypatch.setattr(graph, "HEADER_MAGIC", b"XH99")
    program = mobile_network()
    lower(program, signature_of(program, precision="w8a8-static"), path)
    with pytest.raises(ArtifactError, match=r"cannot load the program: got .*XNN"):
        open_runner(path, 1)
