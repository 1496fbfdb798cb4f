from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import class_folders, npz, signature

from pocketpress.core.errors import DataError
from pocketpress.data import Sample, digest, load_dataset

NETWORK = signature((1, 3, 8, 8))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(DataError, match="not a kind of data that can be read"):
        load_dataset(str(tmp_path / "a.csv"), NETWORK)
    with pytest.raises(DataError, match="no such data: got photos"):
        load_dataset("photos", NETWORK)


def test_images_need_a_network_of_one_image_input(tmp_path: Path) -> None:
    root = str(class_folders(tmp_path / "d"))
    with pytest.raises(DataError, match="images feed a network of one input: got 2 inputs"):
        load_dataset(root, signature((1, 3, 8, 8), (1, 4)))
    with pytest.raises(DataError, match="is not an image in nchw"):
        load_dataset(root, signature((1, 40)))


def test_a_limit_must_be_positive(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d")), NETWORK)
    with pytest.raises(DataError, match="sample limit must be positive: got 0"):
        next(data.samples(0))


def test_a_limit_beyond_the_data_gives_all(tmp_path: Path) -> None:
    data = load_dataset(str(class_folders(tmp_path / "d")), NETWORK)
    assert digest(data.samples(1000, seed=4)) == digest(data.samples())


def test_the_digest_sees_values_shapes_and_targets() -> None:
    base = Sample({"x": np.zeros((1, 4), np.float32)}, np.asarray(1))
    others = [
        Sample({"x": np.ones((1, 4), np.float32)}, np.asarray(1)),
        Sample({"x": np.zeros((1, 2, 2), np.float32)}, np.asarray(1)),
        Sample({"x": np.zeros((1, 4), np.float32)}, np.asarray(2)),
        Sample({"x": np.zeros((1, 4), np.float32)}, None),
        Sample({"z": np.zeros((1, 4), np.float32)}, np.asarray(1)),
    ]
    assert len({digest([s]) for s in [base, *others]}) == 6
    assert digest([base]) == digest([base])


def test_reading_data_imports_neither_torch_nor_pyarrow(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.zeros((2, 3, 8, 8), np.float32))
    code = (
        "import sys\n"
        "from tests.data.builders import signature\n"
        "from pocketpress.data import load_dataset, resolve_metric\n"
        f"list(load_dataset({str(path)!r}, signature((1, 3, 8, 8))).samples())\n"
        "resolve_metric('top1')\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'pyarrow', 'torchmetrics')))\n"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
