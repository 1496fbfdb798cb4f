"""Checkpoints computed by the program are what transformers computes; hostile ones are one clear error."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.sources.huggingface.checkpoints import BERT, VIT, WHISPER, bert, saved, transformers, vit

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.core.signature import Preprocessing
from pocketpress.sources.huggingface.heads import find_head
from pocketpress.sources.huggingface.labels import class_labels
from pocketpress.sources.huggingface.load import ENCODER_ALONE, check_numbers, load_checkpoint
from pocketpress.sources.huggingface.names import parse
from pocketpress.sources.load import load_source
from pocketpress.sources.source import Source
from pocketpress.verify.reference import interpret

TEXT = ("input_ids", "attention_mask", "token_type_ids")
IDS = torch.tensor([[3, 7, 49, 0, 12, 5, 9, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]])


def computed(source: Source, *inputs: torch.Tensor) -> dict[str, Any]:
    given = dict(zip(source.program.inputs, (i.numpy() for i in inputs), strict=True))
    return interpret(source.program, given)


def close(got: Any, wanted: torch.Tensor) -> None:
    np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    ["BertForSequenceClassification", "BertForTokenClassification", "BertForMaskedLM", "BertModel"],
)
def test_a_text_network(tmp_path: Path, network: str) -> None:
    source = load_source(f"hf:{bert(tmp_path / 'net', network)}", shapes=((1, 8),))
    assert source.program.inputs == TEXT and source.name == "net" and source.preprocessing is None
    assert all(source.program.type(n).dtype == "int64" for n in TEXT)
    own = getattr(transformers, network).from_pretrained(tmp_path / "net").eval()
    result = own(input_ids=IDS, attention_mask=MASK, token_type_ids=1 - MASK)
    close(computed(source, IDS, MASK, 1 - MASK)["output"], result.get("logits", result[0]))


def test_two_outputs(tmp_path: Path) -> None:
    source = load_source(f"hf:{bert(tmp_path, 'BertForQuestionAnswering')}", shapes=((1, 8),) * 3)
    own = transformers.BertForQuestionAnswering.from_pretrained(tmp_path).eval()
    result = own(input_ids=IDS, attention_mask=MASK)
    got = computed(source, IDS, MASK, 0 * MASK)
    close(got["output_0"], result.start_logits)
    close(got["output_1"], result.end_logits)


def test_the_default_length_is_what_the_network_has_positions_for(tmp_path: Path) -> None:
    assert load_source(f"hf:{bert(tmp_path)}").program.type("input_ids").shape == (1, 20)
    with pytest.raises(
        SourceError, match="more tokens than the network has positions for: got 21; allowed: 20"
    ):
        load_source(f"hf:{tmp_path}", shapes=((1, 21),))
    with pytest.raises(SourceError, match="the network has 3 inputs: got 2 shapes; allowed: input_ids, "):
        load_source(f"hf:{tmp_path}", shapes=((1, 8), (1, 8)))
    with pytest.raises(SourceError, match="token ids have another shape"):
        load_source(f"hf:{tmp_path}", shapes=((8,),))


def test_networks_without_a_longest_text(tmp_path: Path) -> None:
    settings = {"vocab_size": 50, "d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 48}
    saved(tmp_path, "XLNetForSequenceClassification", "XLNetConfig", initializer_range=0.3, **settings)
    source = load_source(f"hf:{tmp_path}", shapes=((1, 8),))
    own = transformers.XLNetForSequenceClassification.from_pretrained(tmp_path).eval()
    close(computed(source, IDS, MASK)["output"], own(input_ids=IDS, attention_mask=MASK).logits)


def test_positions_counted_from_the_padding(tmp_path: Path) -> None:
    """RoBERTa counts positions from the ids; for text padded at its end constants do the same."""
    settings = {**BERT, "type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 22}
    saved(tmp_path, "RobertaForSequenceClassification", "RobertaConfig", **settings)
    source = load_source(f"hf:{tmp_path}", shapes=((1, 8),))
    assert source.program.inputs == TEXT[:2]
    assert load_source(f"hf:{tmp_path}").program.type("input_ids").shape == (1, 20)
    padded = torch.where(MASK.bool(), IDS + 2 * (IDS < 2), 1)
    own = transformers.RobertaForSequenceClassification.from_pretrained(tmp_path).eval()
    close(computed(source, padded, MASK)["output"], own(input_ids=padded, attention_mask=MASK).logits)


def test_a_distilled_network(tmp_path: Path) -> None:
    settings = {
        "vocab_size": 50,
        "dim": 32,
        "n_layers": 1,
        "n_heads": 4,
        "hidden_dim": 48,
        "initializer_range": 0.3,
    }
    saved(tmp_path, "DistilBertForSequenceClassification", "DistilBertConfig", **settings)
    source = load_source(f"hf:{tmp_path}", shapes=((1, 8),))
    own = transformers.DistilBertForSequenceClassification.from_pretrained(tmp_path).eval()
    close(computed(source, IDS, MASK)["output"], own(input_ids=IDS, attention_mask=MASK).logits)


LLAMA: dict[str, Any] = {
    **{key: value for key, value in BERT.items() if key != "max_position_embeddings"},
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
T5: dict[str, Any] = {"vocab_size": 50, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
GPT2: dict[str, Any] = {
    "vocab_size": 50,
    "n_embd": 32,
    "n_layer": 1,
    "n_head": 4,
    "n_positions": 20,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OPT: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "ffn_dim": 48,
    "max_position_embeddings": 20,
    "init_std": 0.3,
}


@pytest.mark.parametrize(
    ("network", "config", "settings", "field"),
    [
        ("GPT2LMHeadModel", "GPT2Config", GPT2, "logits"),
        ("LlamaForCausalLM", "LlamaConfig", LLAMA, "logits"),
        ("OPTForCausalLM", "OPTConfig", OPT, "logits"),
        ("ElectraForPreTraining", "ElectraConfig", {**BERT, "embedding_size": 16}, "logits"),
        ("BertForNextSentencePrediction", "BertConfig", BERT, "logits"),
        ("T5EncoderModel", "T5Config", T5, "last_hidden_state"),
    ],
)
def test_other_text_networks(
    tmp_path: Path, network: str, config: str, settings: dict[str, Any], field: str
) -> None:
    """For text that is padded at its end; what stands at masked places is compared by nobody."""
    saved(tmp_path, network, config, **settings)
    source = load_source(f"hf:{tmp_path}", shapes=((1, 8),))
    own = getattr(transformers, network).from_pretrained(tmp_path).eval()
    wanted = own(input_ids=IDS, attention_mask=MASK)[field]
    got = computed(source, IDS, MASK, *([0 * MASK] if len(source.program.inputs) == 3 else []))["output"]
    seen = slice(None) if wanted.dim() == 2 and wanted.shape[1] == 2 else slice(0, 5)
    close(got[:, seen], wanted[:, seen])


def test_speech_of_an_architecture_named_like_text(tmp_path: Path) -> None:
    settings = {
        **{key: BERT[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")},
        "num_hidden_layers": 1,
        "conv_dim": (16, 16),
        "conv_stride": (5, 4),
        "conv_kernel": (10, 8),
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 4,
        "initializer_range": 0.3,
    }
    saved(tmp_path, "Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", **settings)
    source = load_source(f"hf:{tmp_path}", shapes=((1, 800),))
    sound = torch.randn((1, 800), generator=torch.Generator().manual_seed(1))
    own = transformers.Wav2Vec2ForSequenceClassification.from_pretrained(tmp_path).eval()
    close(computed(source, sound)["output"], own(sound).logits)


def test_a_network_of_text_and_images_is_two(tmp_path: Path) -> None:
    half = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text, image = {**half, "vocab_size": 50}, {**half, "image_size": 16, "patch_size": 8}
    saved(tmp_path, "CLIPModel", "CLIPConfig", text_config=text, vision_config=image)
    with pytest.raises(
        UnsupportedError, match=r"text and images together .* CLIPVisionModel\.from_pretrained"
    ):
        load_source(f"hf:{tmp_path}")


def test_of_a_speech_network_the_encoder_is_taken(tmp_path: Path) -> None:
    saved(tmp_path, "WhisperForConditionalGeneration", "WhisperConfig", **WHISPER)
    source = load_source(f"hf:{tmp_path}")
    assert source.program.type("input_features").shape == (1, 8, 24)
    assert ("decoder", ENCODER_ALONE) in source.skipped
    mel = torch.randn((1, 8, 24), generator=torch.Generator().manual_seed(1))
    own = transformers.WhisperModel.from_pretrained(tmp_path).eval().get_encoder()
    close(computed(source, mel)["output"], own(mel).last_hidden_state)


def test_an_image_network_brings_its_preprocessing(tmp_path: Path) -> None:
    source = load_source(f"hf:{vit(tmp_path, image_mean=[0.1, 0.2, 0.3])}")
    assert source.preprocessing == Preprocessing(crop=(16, 16), mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    assert source.program.type("pixel_values").shape == (1, 3, 16, 16) and source.skipped == ()
    pixels = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    own = transformers.ViTForImageClassification.from_pretrained(tmp_path).eval()
    close(computed(source, pixels)["output"], own(pixels).logits)


def test_the_names_of_the_classes_come_along(tmp_path: Path) -> None:
    names = {0: "tench", 1: "goldfish", 2: "great  white\nshark", 3: "hen", 4: "Fußball"}
    saved(tmp_path, "ViTForImageClassification", "ViTConfig", **{**VIT, "id2label": names})
    found = load_source(f"hf:{tmp_path}")
    assert found.labels == {"output": ("tench", "goldfish", "great white shark", "hen", "Fußball")}
    edit(tmp_path / "config.json", id2label={str(i): f"LABEL_{i}" for i in range(5)})
    plain = load_source(f"hf:{tmp_path}")
    assert plain.labels == {} and plain.skipped == (), "placeholders are no names"


def test_heads_without_classes_have_no_names(tmp_path: Path) -> None:
    bert(tmp_path, "BertForMaskedLM")
    edit(tmp_path / "config.json", id2label={"0": "no", "1": "yes"})
    assert load_source(f"hf:{tmp_path}", shapes=((1, 8),)).labels == {}
    tagger = bert(tmp_path / "tagger", "BertForTokenClassification")
    edit(tagger / "config.json", id2label={"0": "O", "1": "B-PER"})
    assert load_source(f"hf:{tagger}", shapes=((1, 8),)).labels == {"output": ("O", "B-PER")}


NOT_ALL = "left out: it does not name every class"


@pytest.mark.parametrize(
    ("held", "labels", "note"),
    [
        ({"0": "a", "1": "b"}, ("a", "b"), None),
        ({"1": "b", "0": "a"}, ("a", "b"), None),
        (["a", "b"], ("a", "b"), None),
        (["LABEL_0", "LABEL_1"], None, None),
        ({"0": "LABEL_0", "1": "b"}, ("LABEL_0", "b"), None),
        (None, None, None),
        ({}, None, None),
        ([], None, None),
        ({"1": "a", "2": "b"}, None, NOT_ALL),
        ({"a": "0"}, None, NOT_ALL),
        ({"0": 7}, None, NOT_ALL),
        ([None], None, NOT_ALL),
        ("ab", None, NOT_ALL),
    ],
)
def test_names_by_number_or_in_order(held: Any, labels: tuple[str, ...] | None, note: str | None) -> None:
    found, notes = class_labels({"label_names": held}, "label_names")
    assert found == labels
    assert notes == (() if note is None else (("label_names", note),))


def test_channels_in_the_other_order(tmp_path: Path) -> None:
    vit(tmp_path)
    plain = load_source(f"hf:{tmp_path}")
    edit(tmp_path / "preprocessor_config.json", do_flip_channel_order=True)
    flipped = load_source(f"hf:{tmp_path}")
    pixels = torch.randn((1, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    got = computed(flipped, pixels.flip(1))["output"]
    np.testing.assert_array_equal(got, computed(plain, pixels)["output"])


def test_an_image_network_without_a_processor(tmp_path: Path) -> None:
    saved(tmp_path, "ViTForImageClassification", "ViTConfig", **VIT)
    source = load_source(f"hf:{tmp_path}")
    assert source.preprocessing is None and source.program.type("pixel_values").shape == (1, 3, 16, 16)


def edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    data.update(changes)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["BertForPreTraining"]}, "a task that cannot be pressed: got BertForPreTraining"),
        ({"architectures": "Bert"}, "architectures of config.json is malformed"),
        ({"model_type": "mine"}, "has no networks of this model_type: got mine"),
        ({"model_type": ["bert"]}, "has no networks of this model_type"),
        ({"model_type": ...}, "has no networks of this model_type"),
        ({"quantization_config": {"bits": 4}}, "the checkpoint is quantised already"),
        ({"num_hidden_layers": 10**7}, "num_hidden_layers of config.json is out of range: got 10000000"),
        ({"vocab_size": 10**8}, "describes a larger network than the file holds"),
        ({"num_hidden_layers": 3}, "missing ['bert.encoder.layer.2."),
        ({"hidden_size": 16}, "cannot be read: got "),
        ({"hidden_act": "__import__('os')"}, "cannot be read: got KeyError"),
    ],
)
def test_configurations_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    edit(bert(tmp_path) / "config.json", **changes)
    with pytest.raises((SourceError, UnsupportedError)) as caught:
        load_source(f"hf:{tmp_path}")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_code_beside_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    """Neither where transformers knows the network nor where it does not."""
    bert(tmp_path)
    hostile = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Net: pass\n"
    (tmp_path / "modeling_net.py").write_text(hostile)
    code = {"AutoConfig": "modeling_net.Net", "AutoModelForSequenceClassification": "modeling_net.Net"}
    edit(tmp_path / "config.json", auto_map=code, attn_implementation="someone/kernel")
    assert load_source(f"hf:{tmp_path}", shapes=((1, 8),)).name == tmp_path.name
    edit(tmp_path / "config.json", model_type="mine")
    with pytest.raises(UnsupportedError, match="it needs code of its own, which is not executed"):
        load_source(f"hf:{tmp_path}")
    assert not (tmp_path / "ran").exists()


def test_numbers_that_networks_loop_over() -> None:
    check_numbers({"hidden_size": 10**6, "depths": [2, 2], "layer_norm_eps": 1e-12, "layer_scale": True})
    for config in ({"depths": [1, 10**6]}, {"text_config": {"num_labels": 10**9}}, {"hidden_size": 2**40}):
        with pytest.raises(SourceError, match=r"of config\.json is out of range"):
            check_numbers(config)


def test_damaged_weights(tmp_path: Path) -> None:
    path = bert(tmp_path) / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-10], b"\xff" * 64, whole[:8] + b"[" + whole[9:]):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"cannot be read: got "):
            load_source(f"hf:{tmp_path}")


def test_mutated_configurations_are_read_or_refused(tmp_path: Path) -> None:
    path = bert(tmp_path) / "config.json"
    whole, chance = json.loads(path.read_text()), random.Random(0)
    values: list[Any] = [None, -1, 0, 3, 10**5, 1e308, "x", [], {}, True]
    for _ in range(60):
        path.write_text(json.dumps({**whole, chance.choice(sorted(whole)): chance.choice(values)}))
        try:
            load_checkpoint(parse(f"hf:{tmp_path}"), ((1, 8),))
        except PocketpressError as error:
            assert "\n" not in str(error) and error.exit_code == 2


def test_weights_cannot_be_given_besides(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a checkpoint holds its weights: got --weights w\.pt; leave"):
        load_source(f"hf:{tmp_path}", weights=Path("w.pt"))


def test_heads() -> None:
    assert find_head({}).auto == "AutoModel"
    assert find_head({"architectures": ["T5Model"], "is_encoder_decoder": True}).encoder
    assert (
        find_head({"architectures": ["ViTForImageClassification"]}).auto == "AutoModelForImageClassification"
    )
