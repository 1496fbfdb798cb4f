"""Loading: threads, damaged files, files that are not ours."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.targets.pytorch_mobile.test_lower import lowered, two_outputs

from pocketpress.core.errors import ArtifactError, DeviceError
from pocketpress.targets.pytorch_mobile.archive import SIGNATURE_RECORD
from pocketpress.targets.pytorch_mobile.spec import SPEC

IMAGE = np.zeros((1, 3, 9, 8), np.float32)


def refusal(path: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        SPEC.open_runner(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def rewritten(path: Path, change: dict[str, bytes | None]) -> Path:
    """The same archive with some records replaced, or dropped (None)."""
    out = path.with_name("changed.ptl")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            data = change.get(name.partition("/")[2], source.read(name))
            if data is not None:
                target.writestr(name, data)
    return out


def test_the_thread_count_of_the_process_is_put_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    runner = SPEC.open_runner(lowered(two_outputs(), tmp_path / "net.ptl"), threads=before + 1)
    runner.run([IMAGE])
    assert torch.get_num_threads() == before


def test_a_missing_file(tmp_path: Path) -> None:
    assert "cannot read gone.ptl" in refusal(tmp_path / "gone.ptl")


def test_truncation_is_refused(tmp_path: Path) -> None:
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    data = path.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(data[: int(len(data) * share)])
        assert "not a TorchScript archive" in refusal(path)


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path: Path) -> None:
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    data = bytearray(path.read_bytes())
    weight = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32).tobytes()
    data[bytes(data).index(weight[:32])] ^= 1
    path.write_bytes(bytes(data))
    assert "wrong checksum" in refusal(path)


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    assert "no Pocketpress signature" in refusal(rewritten(path, {SIGNATURE_RECORD: None}))


def test_damaged_bytecode_is_refused_by_the_runtime(tmp_path: Path) -> None:
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    assert "cannot load changed.ptl" in refusal(rewritten(path, {"bytecode.pkl": b"\x80\x02."}))


def test_a_python_call_in_a_pickle_is_not_made(tmp_path: Path) -> None:
    """The classic attack on pickles: call os.mkdir while loading."""
    trap = tmp_path / "made_by_the_pickle"
    path = lowered(two_outputs(), tmp_path / "net.ptl")
    attack = b"\x80\x02cos\nmkdir\n(X" + len(str(trap)).to_bytes(4, "little") + str(trap).encode() + b"tR."
    refusal(rewritten(path, {"data.pkl": attack}))
    assert not trap.exists()


def test_a_wrong_feed_and_a_closed_session_are_device_errors(tmp_path: Path) -> None:
    runner = SPEC.open_runner(lowered(two_outputs(), tmp_path / "net.ptl"))
    with pytest.raises(DeviceError, match="PyTorch Mobile failed to run"):
        runner.run([IMAGE[:, :2]])
    runner.close()
    with pytest.raises(DeviceError, match="closed"):
        runner.run([IMAGE])
