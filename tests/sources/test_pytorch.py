"""Loading networks: factories, saved programs, weights and shapes."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.factory import find_factory, user_line
from pocketpress.sources.pytorch import _check_finite, load_pytorch
from pocketpress.verify.reference import interpret

CODE = """
import helper_of_{stem}
import torch
from torch import nn

def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()

def with_inputs():
    return plain(), (torch.zeros(1, 1, 5, 5),)

def with_one_input():
    return plain(), torch.zeros(1, 1, 5, 5)

class Two(nn.Module):
    def forward(self, image, scale):
        return image * scale

def two():
    return Two().eval(), (torch.zeros(1, 4), torch.zeros(4))

class Remembering(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 3, 2)

    def forward(self, x, state=None, cache=None, extra=None):
        y, state = self.rnn(x, state)
        return y if cache is None else y + cache["keys"][0] * cache["keys"][1], state

def remembering():
    torch.manual_seed(0)
    state, cache = (torch.rand(2, 1, 3), torch.rand(2, 1, 3)), {{"keys": [torch.rand(3), torch.rand(3)]}}
    states = {{"state_0": "output_1", "state_1": "output_2"}}
    return Remembering().eval(), (torch.rand(5, 1, 4), state, cache), states

def partly():
    torch.manual_seed(0)
    cache = {{"keys": [torch.rand(3), torch.rand(3)]}}
    return Remembering().eval(), (torch.rand(5, 1, 4), None, cache, None)

class Words(nn.Module):
    def __init__(self, causal):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 1)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(6))
        if not causal:
            self.mask = self.mask.flip(0, 1).contiguous()

    def forward(self, x):
        return self.decoder(x, self.encoder(x, mask=self.mask), tgt_mask=self.mask)

def words():
    torch.manual_seed(0)
    return Words(True).eval(), torch.rand(1, 6, 8)

def words_backwards():
    torch.manual_seed(0)
    return Words(False).eval(), torch.rand(1, 6, 8)

class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 3)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0])[0]

def sequences():
    return Packed().eval(), (torch.rand(5, 1, 4), torch.tensor([5]))

def numbers():
    return Two().eval(), (torch.zeros(1, 4), 3.0)

class Failing(nn.Module):
    def forward(self, x):
        return helper_of_{stem}.fail(x)

def failing():
    return Failing().eval(), (torch.zeros(1, 4),)

NOT_CALLABLE = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    stem = f"net_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"helper_of_{stem}.py").write_text(
        "def fail(x):\n    raise ValueError('wrong size\\nsecond line')\n"
    )
    path = tmp_path / f"{stem}.py"
    path.write_text(textwrap.dedent(CODE.format(stem=stem)))
    return path


@pytest.mark.parametrize("name", ["with_inputs", "with_one_input"])
def test_a_factory_with_example_inputs(file: Path, name: str) -> None:
    source = load_pytorch(f"{file}:{name}")
    assert source.name == name and source.parameters == 2 * 9 + 2 + 2 * 2
    assert source.program.type(source.program.inputs[0]).shape == (1, 1, 5, 5)
    assert source.program.outputs == ("output",)


def test_shapes_given_by_the_user_win(file: Path) -> None:
    for name in ("plain", "with_inputs"):
        source = load_pytorch(f"{file}:{name}", shapes=((1, 1, 9, 9),))
        assert source.program.type("output").shape == (1, 2, 7, 7)


def test_two_inputs_keep_their_names(file: Path) -> None:
    assert load_pytorch(f"{file}:two").program.inputs == ("image", "scale")


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("remembering", ("x", "state_0", "state_1", "cache_keys_0", "cache_keys_1")),
        ("partly", ("x", "cache_keys_0", "cache_keys_1")),
    ],
)
def test_a_pair_a_list_and_a_dictionary_are_an_input_each(file: Path, name: str, inputs: tuple[str]) -> None:
    program = load_pytorch(f"{file}:{name}").program
    assert program.inputs == inputs
    assert [s.input for s in program.states] == (["state_0", "state_1"] if name == "remembering" else [])
    module, examples = find_factory(f"{file}:{name}")()[:2]
    y, (h, c) = module(*examples)
    tensors = [e for e in torch.utils._pytree.tree_leaves(examples) if e is not None]
    got = interpret(program, dict(zip(inputs, (t.numpy() for t in tensors), strict=True)))
    for found, wanted in zip(got.values(), (y, h, c), strict=True):
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_weights_of_a_network_with_a_pair_as_input(file: Path, tmp_path: Path) -> None:
    state = {name: value * 0 for name, value in find_factory(f"{file}:remembering")()[0].state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    program = load_pytorch(f"{file}:partly", weights=tmp_path / "w.safetensors").program
    x, first, second = (
        np.ones((5, 1, 4), np.float32),
        np.full(3, 2.0, np.float32),
        np.full(3, 5.0, np.float32),
    )
    got = interpret(program, dict(zip(program.inputs, (x, first, second), strict=True)))
    np.testing.assert_array_equal(got["output_0"], np.full((5, 1, 3), 10.0))


@pytest.mark.parametrize("name", ["words", "words_backwards"])
def test_masks_of_transformer_layers(file: Path, name: str) -> None:
    """`torch.nn.TransformerEncoder` looks into its mask, which an export cannot."""
    program = load_pytorch(f"{file}:{name}").program
    module, x = find_factory(f"{file}:{name}")()
    got = interpret(program, {"x": x.numpy()})["output"]
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-5, atol=1e-5)


def test_a_module_on_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert callable(find_factory(f"{file.stem}:plain"))
    sys.modules.pop(file.stem)


def test_weights_change_the_function(file: Path, tmp_path: Path) -> None:
    module, _ = find_factory(f"{file}:with_inputs")()
    with torch.no_grad():
        for value in module.parameters():
            value.fill_(0.5)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    program = load_pytorch(f"{file}:with_inputs", weights=tmp_path / "w.safetensors").program
    x = torch.rand(1, 1, 5, 5)
    got = interpret(program, {program.inputs[0]: x.numpy()})["output"]
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_state_dicts_as_people_save_them(file: Path, tmp_path: Path, key: str | None) -> None:
    state = find_factory(f"{file}:plain")().state_dict()
    state.pop("1.num_batches_tracked")  # weights converted from elsewhere lack the counter
    torch.save(state if key is None else {key: state, "epoch": 3}, tmp_path / "w.pt")
    assert load_pytorch(f"{file}:with_inputs", weights=tmp_path / "w.pt").parameters > 0


def test_a_saved_program(file: Path, tmp_path: Path) -> None:
    module, inputs = find_factory(f"{file}:with_inputs")()
    torch.export.save(torch.export.export(module, inputs), tmp_path / "saved.pt2")
    source = load_pytorch(str(tmp_path / "saved.pt2"))
    assert source.name == "saved" and source.program.type("output").shape == (1, 2, 3, 3)
    x = torch.rand(1, 1, 5, 5)
    got = interpret(source.program, {source.program.inputs[0]: x.numpy()})["output"]
    np.testing.assert_allclose(got, module(x).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("numbers", "example inputs must be tensors: got ['float']"),
        (
            "NOT_CALLABLE",
            "has no function NOT_CALLABLE: got NOT_CALLABLE; allowed: failing, numbers, partly, plain, ",
        ),
        ("failing", "got ValueError: wrong size; fix "),
    ],
)
def test_mistakes_in_the_users_file(file: Path, name: str, text: str) -> None:
    with pytest.raises(SourceError) as caught:
        load_pytorch(f"{file}:{name}")
    assert text in str(caught.value)


def test_packed_sequences_are_refused_by_name(file: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_pytorch(f"{file}:sequences")
    text = str(caught.value)
    assert "nn.utils.rnn.pack_padded_sequence(x, lengths): packed sequences are not supported; give" in text


def test_the_line_is_the_innermost_one_of_the_user(file: Path) -> None:
    with pytest.raises(SourceError) as caught:
        load_pytorch(f"{file}:failing")
    assert f"helper_of_{file.stem}.py:2: raise ValueError" in str(caught.value)


def test_a_file_that_does_not_import(tmp_path: Path) -> None:
    path = tmp_path / "broken_file.py"
    path.write_text("import no_such_library_at_all\n")
    with pytest.raises(SourceError) as caught:
        find_factory(f"{path}:f")
    assert f"{path}:1: import no_such_library_at_all" in str(caught.value)
    path.write_text("def f(:\n")
    with pytest.raises(SourceError, match=r"importing .*broken_file.py failed: got SyntaxError"):
        find_factory(f"{path}:f")


def test_an_error_without_user_code_points_to_the_traceback() -> None:
    assert user_line(ValueError("x")) == "the traceback (-v)"


class Masked(torch.nn.Module):
    """Scores with a mask of minus infinity, as `generate_square_subsequent_mask` makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), float("-inf")).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x + self.mask, -1)


def test_a_mask_may_hold_minus_infinity_and_a_weight_may_not() -> None:
    module = Masked()
    _check_finite(module)
    module.weight = torch.nn.Parameter(torch.tensor([1.0, float("-inf")]))
    with pytest.raises(SourceError, match="weight weight holds NaN or infinity"):
        _check_finite(module)
    del module.weight
    module.mask[0, 0] = float("nan")
    with pytest.raises(SourceError, match="weight mask holds NaN or infinity: got 1 of 16"):
        _check_finite(module)
