"""A tiny BERT, pressed from token indices and an attention mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Press

import pocketpress as library
from pocketpress.core.errors import ArtifactError

pytest.importorskip("transformers")

NET = """
import torch
from transformers import BertConfig, BertModel

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)


class Text(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        config = BertConfig(**SIZES, vocab_size=100, max_position_embeddings=32, initializer_range=0.3)
        self.bert = BertModel(config, add_pooling_layer=False)

    def forward(self, ids, mask=None):
        return self.bert(input_ids=ids, attention_mask=mask).last_hidden_state


def plain():
    return Text().eval(), (torch.zeros(1, 16, dtype=torch.int64),)


def masked():
    return Text().eval(), (*plain()[1], torch.ones(1, 16, dtype=torch.int64))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.py and data: 16 sentences of 4 to 16 tokens."""
    path = tmp_path_factory.mktemp("text")
    (path / "text_net.py").write_text(NET)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 100, (16, 16))
    mask = (np.arange(16) < rng.integers(4, 17, (16, 1))).astype(np.int64)
    np.savez(path / "plain.npz", ids=ids)
    np.savez(path / "masked.npz", ids=ids, mask=mask)
    return path


def pressed(pocketpress: Press, folder: Path, name: str, precision: str, out: Path) -> dict[str, object]:
    done = pocketpress(
        "press", f"{folder / 'text_net.py'}:{name}", "--data", folder / f"{name}.npz", "--no-measure",
        "--precision", precision, "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    record: dict[str, object] = json.loads((out / "record.json").read_text())
    return record


@pytest.mark.parametrize(("name", "precision"), [("plain", "fp32"), ("masked", "w8a8-fast")])
def test_every_runtime_computes_the_reference(
    pocketpress: Press, folder: Path, tmp_path: Path, name: str, precision: str
) -> None:
    """In int8 the float sums of attention are quantised again: one of them may round the other way."""
    record = pressed(pocketpress, folder, name, precision, tmp_path / "out")
    targets = {t["name"]: t for t in record["targets"]}  # type: ignore[attr-defined]
    assert record["verdict"] == "pass" and set(targets) == {"litert", "executorch", "onnxruntime", "coreml"}
    for target in ("litert", "executorch", "onnxruntime"):
        parity = targets[target]["parity"]
        required = 100 if precision == "fp32" else parity["required_sqnr_db"]
        assert parity["sqnr_reference_db"] >= required and parity["vacuous"] is False
        assert parity["sqnr_float_db"] > (100 if precision == "fp32" else 20)
    assert (tmp_path / "out" / f"{name}.mlpackage").is_dir()
    if precision != "fp32":
        skipped = [s["name"] for s in targets["executorch"]["skipped"]]
        assert {"embedding embedding", "cast to_cast"} <= set(skipped)


def test_the_artifact_computes_what_the_network_computes(
    pocketpress: Press, folder: Path, tmp_path: Path
) -> None:
    """Against torch itself, with padding that must not matter."""
    import torch

    pressed(pocketpress, folder, "masked", "fp32", tmp_path / "out")
    scope: dict[str, object] = {}
    exec(compile(NET, "text_net.py", "exec"), scope)
    network = scope["masked"]()[0]  # type: ignore[operator]
    with np.load(folder / "masked.npz") as data:
        ids, mask = data["ids"][:1], data["mask"][:1]
    assert 0 in mask
    with torch.no_grad():
        wanted = network(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
    for suffix in (".tflite", ".pte", ".onnx"):
        with library.open(tmp_path / "out" / f"masked{suffix}") as session:
            got = session(ids=ids, mask=mask)["output"]
            np.testing.assert_allclose(got, wanted, atol=2e-5)
            other = np.where(mask == 1, ids, 7)
            again = session(ids=other, mask=mask)["output"]
            np.testing.assert_allclose(again[mask == 1], got[mask == 1], atol=1e-6)
            with pytest.raises(ArtifactError, match="input ids is no row of its table: got 100"):
                session(ids=np.full((1, 16), 100), mask=mask)
