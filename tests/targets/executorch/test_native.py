"""The runtime's library without PyTorch: the same bits as through its Python module, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.targets.executorch.networks import mobile_network

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.core.program import ProgramBuilder, TensorType
from pocketpress.core.signature import signature_of
from pocketpress.targets.executorch import native, run
from pocketpress.targets.executorch.lower import lower
from pocketpress.targets.executorch.run import open_runner
from pocketpress.targets.executorch.spec import SPEC
from pocketpress.testing import all_cases, check_target, keeps_promise
from pocketpress.verify.reference import interpret

IMAGE = np.random.default_rng(3).normal(size=(1, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    program = mobile_network()
    path = tmp_path / "net.pte"
    lower(program, signature_of(program, precision="w8a8-static"), path)
    return path


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_has_torch", lambda: False)


def test_the_same_bits_as_through_the_python_module(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = open_runner(path, 1).run([IMAGE])
    monkeypatch.setattr(run, "_has_torch", lambda: False)
    runner = open_runner(path, 1)
    got = [runner.run([IMAGE])[0] for _ in range(3)]
    runner.close()
    for values in got:
        np.testing.assert_array_equal(values, usual[0])
    np.testing.assert_array_equal(got[0], interpret(mobile_network(), {"x": IMAGE})["y"])


def test_several_inputs_and_outputs_of_other_ranks(tmp_path: Path, without_torch: None) -> None:
    builder = ProgramBuilder()
    a, b = builder.input("a", TensorType((2, 3))), builder.input("b", TensorType((4,)))
    first = builder.node("add", [a, a], TensorType((2, 3)), clamp=None, name="twice")
    second = builder.node("mul", [b, b], TensorType((4,)), clamp=None, name="square")
    program = builder.build([second, first])
    lower(program, signature_of(program, precision="fp32"), tmp_path / "net.pte")
    runner = open_runner(tmp_path / "net.pte", 1)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = runner.run([values, np.asarray([1, 2, 3, -4], np.float32)])
    runner.close()
    np.testing.assert_array_equal(got[0], [1, 4, 9, 16])
    np.testing.assert_array_equal(got[1], [[0, 2, 4], [6, 8, 10]])


def test_results_are_copies(path: Path, without_torch: None) -> None:
    runner = open_runner(path, 1)
    first = runner.run([IMAGE])[0]
    kept = first.copy()
    runner.run([-IMAGE])
    np.testing.assert_array_equal(first, kept)
    runner.close()


def test_another_number_of_threads_loads_it_again(path: Path, without_torch: None) -> None:
    one = open_runner(path, 1)
    two = open_runner(path, 2)
    np.testing.assert_array_equal(one.run([IMAGE])[0], two.run([IMAGE])[0])
    one.close()
    two.close()


def test_wrong_inputs_are_refused_and_the_next_call_works(path: Path, without_torch: None) -> None:
    runner = open_runner(path, 1)
    with pytest.raises(ArtifactError, match="could not run"):
        runner.run([IMAGE[:, :, :16]])
    with pytest.raises(ArtifactError, match="could not run"):
        runner.run([IMAGE, IMAGE])
    assert runner.run([IMAGE])[0].shape == (1, 10)
    runner.close()


def test_a_program_the_runtime_refuses(path: Path) -> None:
    data = bytearray(path.read_bytes())
    signature = open_runner(path, 1).signature
    data[64:4096] = bytes(4032)
    with pytest.raises(ArtifactError, match="cannot load the program"):
        native.NativeProgram(bytes(data), signature)


def test_another_release_is_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = open_runner(path, 1).signature
    monkeypatch.setattr(native, "_EXECUTE", native._EXECUTE + "x")
    with pytest.raises(DeviceError, match="cannot be used without PyTorch"):
        native.NativeProgram(path.read_bytes(), signature)


def test_a_released_program_is_destroyed_once(path: Path) -> None:
    program = native.NativeProgram(path.read_bytes(), open_runner(path, 1).signature)
    program.release()
    program.release()


@pytest.mark.slow
def test_every_case_keeps_its_promise(without_torch: None) -> None:
    broken = {}
    for case in all_cases():
        result = check_target(SPEC, case)
        if not keeps_promise(SPEC, case, result):
            broken[case.id] = result
    assert broken == {}


def test_a_process_without_torch_runs_it(path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from pathlib import Path\n"
        "from pocketpress.targets.executorch import run; run._has_torch = lambda: False\n"
        f"runner = run.open_runner(Path({str(path)!r}), 1)\n"
        "print(runner.run([np.ones((1, 3, 32, 32), np.float32)])[0].shape)\n"
        "assert 'executorch.extension.pybindings._C' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 10)", done.stderr
