"""Files are read in a child process first: what happens to it there is one clear line here."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources import vetted
from pocketpress.sources.load import load_source
from pocketpress.sources.vetted import check_readable


def relu(folder: Path) -> Path:
    return saved(folder, model([helper.make_node("Relu", ["x"], ["y"], "fine")], {"x": (1, 4)}, ["y"]))


def test_a_good_file_passes_and_what_is_no_file_is_left_to_its_reader(tmp_path: Path) -> None:
    check_readable("onnx", relu(tmp_path))
    check_readable("onnx", tmp_path / "missing.onnx")


def test_the_childs_error_is_the_readers_own(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(SourceError, match=r"bad\.onnx is not a readable ONNX file"):
        check_readable("onnx", path)
    old = model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1,)}, ["y"])
    old.opset_import[0].version = 6
    with pytest.raises(UnsupportedError, match="not supported: got 6; allowed: 7"):
        check_readable("onnx", saved(tmp_path, old))


def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="got its parser does not end; the file may be damaged"):
        check_readable("onnx", relu(tmp_path), seconds=0.001)


def test_a_child_that_fails_is_named_by_its_end(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its parser ends with exit status 1"):
        check_readable("no such kind", relu(tmp_path))
    error = vetted._problem(tmp_path, -signal.SIGSEGV, b"")
    assert (
        str(error) == f"{tmp_path} cannot be read: got its parser ends with SIGSEGV; the file may be damaged"
    )


def test_a_childs_answer_is_not_trusted(tmp_path: Path) -> None:
    """Only errors of the user's files, on one line."""
    for answer in (b"", b"nonsense", b'{"error": "InternalError", "message": "x"}', b'{"error": 3}', b"[]"):
        assert "exit status 2" in str(vetted._problem(tmp_path, vetted.REFUSED, answer)), answer
    said = vetted._problem(tmp_path, vetted.REFUSED, b'{"error": "SourceError", "message": "a\\nb"}')
    assert str(said) == "a b"


@pytest.mark.parametrize("dims", [[0, 5], [2, 2, 9]])
def test_sizes_that_lie_are_one_clear_line(tmp_path: Path, dims: list[int]) -> None:
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": (1, 4)}, ["y"])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, raw_data=np.ones(4, np.float32).tobytes())
    tensor.dims.extend(dims)
    proto.graph.initializer.append(tensor)
    path = tmp_path / "lies.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(SourceError) as caught:
        load_source(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -5])
def test_an_input_without_elements_is_refused(tmp_path: Path, size: int) -> None:
    proto = onnx.ModelProto.FromString(relu(tmp_path).read_bytes())
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = size
    path = tmp_path / "empty.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(SourceError, match="input x has no elements"):
        load_source(str(path))
