"""One artifact per length, and a session that takes the shortest that fits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import Press

import pocketpress as library
from pocketpress.core.errors import ArtifactError, DataError
from pocketpress.core.record import Record
from pocketpress.core.signature import Signature, TensorSpec
from pocketpress.data.buckets import Bucket, BucketReader
from pocketpress.data.dataset import RawSample

NETWORK = '''
import torch
from torch import nn


class Tagger(nn.Module):
    """Scores of every token, by attention to the tokens that count."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.read = nn.Linear(16, 48)
        self.head = nn.Linear(16, 5)

    def forward(self, input_ids, attention_mask):
        q, k, v = self.read(self.table(input_ids)).chunk(3, -1)
        mask = (attention_mask != 0)[:, None, :]
        x = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return {"tags": self.head(x)}


def tagger():
    torch.manual_seed(0)
    ids = torch.zeros(1, 24, dtype=torch.int64)
    return Tagger().eval(), (ids, torch.ones_like(ids))


def network():
    return tagger()[0]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tags.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 25, size=60)
    mask = (np.arange(24) < lengths[:, None]).astype(np.int64)
    np.savez(
        tmp_path / "tags.npz", input_ids=rng.integers(0, 20, size=mask.shape) * mask, attention_mask=mask
    )
    return tmp_path


@pytest.mark.slow
def test_every_length_gives_what_the_network_gives(pocketpress: Press, folder: Path) -> None:
    options = [f"{folder}/tags.py:tagger", "--bucket", "16,8,24", "--data", f"{folder}/tags.npz"]
    options += ["--target", "litert,executorch,onnxruntime", "--precision", "fp32", "--no-measure"]
    done = pocketpress("press", *options, "--out", f"{folder}/out")
    assert done.code == 0, done.err
    records = {n: Record.read(folder / "out" / str(n) / "record.json") for n in (8, 16, 24)}
    used = [r.data.evaluation.samples for r in records.values() if r.data.evaluation is not None]
    assert used == sorted(used) and used[-1] == 60 and 0 < used[0] < used[1] < 60
    spec: dict[str, object] = {}
    exec(NETWORK, spec)
    network = spec["network"]()  # type: ignore[operator]
    for suffix in (".tflite", ".pte", ".onnx"):
        with library.open_buckets(
            folder / "out" / str(n) / f"tagger{suffix}" for n in (24, 8, 16)
        ) as session:
            assert session.lengths == (8, 16, 24)
            for length in (1, 8, 9, 17, 24):
                ids = np.random.default_rng(length).integers(0, 20, size=(1, length))
                got = session(input_ids=ids)["tags"]
                with torch.no_grad():
                    x = torch.from_numpy(ids)
                    wanted = network(x, torch.ones_like(x))["tags"].numpy()
                np.testing.assert_allclose(got, wanted, atol=1e-5)
            half = np.ones((1, 9), np.int64)
            half[0, 5:] = 0
            ids = np.arange(9)[None]
            hidden = session(input_ids=ids, attention_mask=half)["tags"][:, :5]
            np.testing.assert_allclose(hidden, session(input_ids=ids[:, :5])["tags"], atol=1e-5)
            with pytest.raises(ArtifactError, match="the input is too long: got 25; allowed: at most 24"):
                session(input_ids=np.zeros((1, 25), np.int64))
            with pytest.raises(ArtifactError, match=re.escape("not of one length: got [3, 4]")):
                session(input_ids=np.zeros((1, 3)), attention_mask=np.zeros((1, 4)))


def test_artifacts_that_do_not_belong_together(pocketpress: Press, folder: Path) -> None:
    options = [f"{folder}/tags.py:tagger", "--bucket", "8,24", "--data", f"{folder}/tags.npz"]
    options += ["--target", "onnxruntime", "--precision", "fp32", "--no-measure"]
    assert pocketpress("press", *options, "--out", f"{folder}/out").code == 0
    one = folder / "out" / "8" / "tagger.onnx"
    with pytest.raises(ArtifactError, match="buckets need artifacts of several lengths"):
        library.open_buckets([one])
    with pytest.raises(ArtifactError, match="no input of the artifacts is the mask: got attention_mask"):
        library.open_buckets([one, one])
    with pytest.raises(
        ArtifactError, match="no input of the artifacts is the mask: got seen; allowed: input_ids"
    ):
        library.open_buckets([one, folder / "out" / "24" / "tagger.onnx"], mask="seen")


REFUSED = {
    "words": (["--bucket", "short"], "--bucket is not a list of lengths: got short"),
    "one": (["--bucket", "8"], "--bucket needs several lengths: got (8,)"),
    "state": (["--bucket", "8,16", "--state", "a=b"], "--bucket has no states"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(pocketpress: Press, folder: Path, options: list[str], message: str) -> None:
    done = pocketpress("press", f"{folder}/tags.py:tagger", "--data", f"{folder}/tags.npz", *options)
    assert done.code == 2
    assert message in done.line


def test_a_network_without_a_mask_is_refused(pocketpress: Press, trained: Path) -> None:
    done = pocketpress("press", "net.py:factory", "--data", "calib.npz", "--bucket", "8,16", "--dry-run")
    assert done.code == 2
    assert "--bucket needs an input attention_mask" in done.line


class Listed:
    labelled, size, skipped = False, 2, ()

    def read(self, indices: object) -> list[RawSample]:
        masks = ([1, 1, 0, 0], [1, 1, 1, 0])
        return [RawSample(str(i), {"x": np.arange(4), "m": np.asarray(m)}) for i, m in enumerate(masks)]


def test_samples_that_fit_are_cut_and_others_left_out() -> None:
    axes = {"x": (1,), "m": (1,)}

    def read(length: int) -> list[RawSample]:
        specs = tuple(TensorSpec(n, (1, length), "int64") for n in ("x", "m"))
        reader = BucketReader(Listed(), Bucket(length, 4, axes, "m"), Signature(specs, ()))  # type: ignore[arg-type]
        return list(reader.read(None))

    assert [dict(s.inputs)["x"].tolist() for s in read(2)] == [[0, 1]]  # type: ignore[call-overload]
    assert len(read(3)) == 2
    with pytest.raises(DataError, match="no sample is as short as 1"):
        read(1)
