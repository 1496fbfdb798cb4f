"""Press, prove and step through networks with state, in every runtime."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from examples.decoder.network import CONTEXT, untrained
from examples.decoder.text import ALPHABET, windows
from tests.conftest import Press
from tests.pipeline.stateful import write_stateful

import pocketpress
from pocketpress.core.record import Record
from pocketpress.pipeline.explain import explain
from pocketpress.sources.load import load_source

RUNTIMES = "litert,executorch,onnxruntime"
ALLOW = ("--allow-slower", "--allow-larger", "--no-measure")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stateful")
    write_stateful(path)
    return path


def pressed(pocketpress: Press, folder: Path, out: Path, *options: str) -> Record:
    done = pocketpress("press", *options, "--out", str(out), "--target", RUNTIMES, *ALLOW)
    assert done.code == 0, done.err + done.out
    return Record.read(out / "record.json")


def test_integers_over_long_sequences_in_every_runtime(
    pocketpress: Press, folder: Path, tmp_path: Path
) -> None:
    options = [f"{folder}/cell.py:cell", "--state", "h=h_next", "--data", f"{folder}/plain.npz"]
    record = pressed(pocketpress, folder, tmp_path, *options)
    assert record.signature is not None
    assert [(s.input, s.output) for s in record.signature.states] == [("h", "h_next")]
    for target in record.targets:
        assert target.parity is not None and target.drift is not None
        assert target.parity.equal == 1
        assert target.parity.samples == 12 * 40
        assert (target.drift.sequences, target.drift.steps, target.drift.grows) == (12, 40, False)
        assert min(s.sqnr_float_db for s in target.drift.segments) > 25
        assert target.metric is not None and target.metric.samples == 480
    assert all(pair.parity.equal == 1 for pair in record.between)
    kept = {s.name for s in record.skipped if "updates a state" in s.reason}
    assert "add h_next" in kept


def test_the_artifact_steps_as_torch_does(pocketpress_float: Record, tmp_float: Path, folder: Path) -> None:
    network, _ = vars_of(folder)["cell"]()
    x = np.random.default_rng(5).normal(size=(30, 1, 12)).astype(np.float32)
    for target in pocketpress_float.targets:
        assert target.artifact is not None
        with pocketpress.open(tmp_float / target.artifact) as session:
            for _ in range(2):
                session.reset()
                h = torch.full((1, 16), 0.25)
                for row in x:
                    got = session.step(x=row)
                    with torch.no_grad():
                        wanted = network(torch.from_numpy(row), h)
                    h = wanted["h_next"]
                    assert list(got) == ["scores"]
                    np.testing.assert_allclose(got["scores"], wanted["scores"].numpy(), atol=2e-5)


@pytest.fixture
def tmp_float(tmp_path: Path) -> Path:
    return tmp_path / "float"


@pytest.fixture
def pocketpress_float(pocketpress: Press, folder: Path, tmp_float: Path) -> Record:
    options = [f"{folder}/cell.py:declared", "--precision", "fp32", "--data", f"{folder}/labels.npz"]
    return pressed(pocketpress, folder, tmp_float, *options)


def vars_of(folder: Path) -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("stateful_cell", folder / "cell.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module)


def test_one_label_a_sequence_is_judged_at_its_end(pocketpress_float: Record) -> None:
    assert pocketpress_float.float_metric is not None
    assert (pocketpress_float.float_metric.name, pocketpress_float.float_metric.samples) == ("top1", 12)


def test_sequences_of_several_lengths_with_a_label_for_each_step(
    pocketpress: Press, folder: Path, tmp_path: Path
) -> None:
    options = [f"{folder}/cell.py:declared", "--precision", "fp32", "--data", f"{folder}/cell.py:samples"]
    for _ in range(2):  # the second time from the cache
        record = pressed(pocketpress, folder, tmp_path, *options)
        assert record.float_metric is not None
        assert (record.float_metric.name, record.float_metric.samples) == ("top1", 9 + 12 + 20 + 5)
        drift = record.targets[0].drift
        assert drift is not None and (drift.sequences, drift.steps) == (4, 20)


def test_two_artifacts_are_compared_step_by_step(
    pocketpress: Press, pocketpress_float: Record, tmp_float: Path, folder: Path
) -> None:
    names = [str(tmp_float / str(t.artifact)) for t in pocketpress_float.targets]
    done = pocketpress("compare", names[0], names[2], "--data", f"{folder}/labels.npz", "--json")
    assert done.code == 0, done.err
    assert f'"samples": {12 * 40}' in done.out


REFUSED = {
    "unknown output": (["--state", "h=x"], "a state names an output that the network does not have: got x"),
    "shape": (["--state", "h=scores"], "state h=scores changes its shape: got (1, 4); allowed: (1, 16)"),
    "no pair": (["--state", "h"], "--state is not a pair of names: got h; allowed: INPUT=OUTPUT"),
    "mask": (["--state", "h=h_next", "--mask", "50%"], "cannot be pressed with prune, factorise, mask"),
    "no data": (["--state", "h=h_next", "--data", "none"], "cannot be pressed with --data none"),
    "images": (["--state", "h=h_next", "--data", "."], "takes sequences, not single images"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_one_line(
    pocketpress: Press, folder: Path, options: list[str], message: str
) -> None:
    data = [] if "--data" in options else ["--data", f"{folder}/plain.npz"]
    done = pocketpress("press", f"{folder}/cell.py:cell", *data, *options, "--dry-run")
    assert done.code == 2
    assert message in done.line


def test_data_that_is_no_sequence_is_refused(pocketpress: Press, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", x=np.zeros((5, 12), np.float32))
    flat = ["--data", f"{tmp_path}/flat.npz", "--state", "h=h_next", "--dry-run"]
    done = pocketpress("press", f"{folder}/cell.py:cell", *flat)
    assert done.code == 2
    assert re.search(r"x has another shape than the network's input: got \(\)", done.line)


def text(count: int, seed: int) -> dict[str, np.ndarray]:
    pieces = windows(np.random.default_rng(seed).integers(0, len(ALPHABET), 5000), CONTEXT, count, seed)
    return {"token": pieces, "position": np.broadcast_to(np.arange(CONTEXT), pieces.shape).copy()}


@pytest.mark.slow
def test_a_decoder_with_a_cache_writes_what_it_writes_at_once(pocketpress: Press, tmp_path: Path) -> None:
    """Over the whole context, in every runtime, against torch's causal attention over the whole text."""
    np.savez(tmp_path / "text.npz", **text(2, 0))
    options = ["examples.decoder.network:untrained", "--data", f"{tmp_path}/text.npz", "--precision", "fp32"]
    root = str(Path(__file__).resolve().parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        record = pressed(pocketpress, tmp_path, tmp_path / "out", *options)
    network, *_ = untrained()
    tokens = text(1, 3)["token"]
    with torch.no_grad():
        wanted = network.whole(torch.from_numpy(tokens))[0].numpy()
    for target in record.targets:
        assert target.drift is not None and not target.drift.grows
        with pocketpress_open(tmp_path / "out" / str(target.artifact)) as session:
            got = [
                session.step(token=np.asarray([[token]]), position=np.asarray([[place]]))["scores"][0]
                for place, token in enumerate(tokens[0])
            ]
        np.testing.assert_allclose(np.stack(got), wanted, atol=2e-5)


pocketpress_open = pocketpress.open


@pytest.mark.slow
def test_a_decoder_in_integers(pocketpress: Press, tmp_path: Path) -> None:
    np.savez(tmp_path / "text.npz", **text(6, 0))
    root = str(Path(__file__).resolve().parents[2])
    options = ["examples.decoder.network:untrained", "--data", f"{tmp_path}/text.npz"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        record = pressed(pocketpress, tmp_path, tmp_path / "out", *options, "--precision", "w8a8-fast")
    for target in record.targets:
        assert target.parity is not None and target.drift is not None
        assert target.verdict == "pass", target.reasons
        assert target.drift.steps == CONTEXT and not target.drift.grows
        assert target.parity.sqnr_float_db is not None and target.parity.sqnr_float_db > 25


@pytest.mark.slow
def test_a_gpt_2_of_transformers_with_an_explicit_cache() -> None:
    """The step streams what GPT2LMHeadModel computes of the whole text."""
    pytest.importorskip("transformers")
    from tests.pipeline.gpt2 import CONTEXT as CACHE
    from tests.pipeline.gpt2 import VOCABULARY, whole

    from pocketpress.pipeline.evaluate import run_program

    source = load_source(f"{Path(__file__).parent}/gpt2.py:step")
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, size=(CACHE, 1, 1))
    sequence = {"token": tokens, "position": np.arange(CACHE).reshape(-1, 1, 1)}
    got = run_program(source.program, [sequence], lambda: None)[0]["scores"][:, 0]
    np.testing.assert_allclose(got, whole(tokens.reshape(1, -1)), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [("cell", "--state", "h=h_next"), ("sequence", "--stream", "1")], ids=["cell", "sequence"]
)
def test_mixed_precision_and_its_explanation(
    pocketpress: Press, folder: Path, tmp_path: Path, network: tuple[str, ...]
) -> None:
    """Layers are chosen by drops over whole sequences; every one of them has its line."""
    name, *states = network
    options = [f"{folder}/cell.py:{name}", *states, "--data", f"{folder}/plain.npz"]
    done = pocketpress(
        "press", *options, "--precision", "mixed", "--max-drop", "2%", "--out", str(tmp_path / "out"),
        "--target", "litert,onnxruntime", *ALLOW,
    )  # fmt: skip
    assert done.code == 0, done.err + done.out
    record = Record.read(tmp_path / "out" / "record.json")
    assert record.signature is not None and len(record.signature.states) == 1
    for target in record.targets:
        assert target.metric is not None and target.metric.samples == 480
        assert target.drift is not None and not target.drift.grows
    shown = pocketpress("explain", str(tmp_path / "out"))
    found = explain(record)
    assert shown.code == 0 and "weights" in shown.out
    assert found.layers == len(record.costs) > 0 and found.weight_bits
