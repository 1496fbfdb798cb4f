"""Names of networks: what they say, what they refuse, and what stands beside trained weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.errors import SourceError, UserError
from pocketpress.zoo.cards import CARDS, TASKS
from pocketpress.zoo.names import parse, trained


def test_a_name_says_width_size_and_classes() -> None:
    choice = parse("zoo:mobilenet_v2,width=0.5,size=96,classes=10")
    assert (choice.card.title, choice.width, choice.size, choice.classes) == ("MobileNetV2", 0.5, 96, 10)
    assert choice.shape == (1, 3, 96, 96)
    assert str(parse("mobilenet_v2,size=224,width=1")) == "mobilenet_v2"


@given(st.sampled_from([0.25, 0.5, 1.4]), st.integers(32, 512), st.integers(1, 1000))
def test_the_shortest_name_means_the_same(width: float, size: int, classes: int) -> None:
    choice = parse(f"mobilenet_v2,width={width},size={size},classes={classes}")
    assert parse(str(choice)) == choice


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mobilenet", "no such network in the zoo: got mobilenet; allowed: mobilenet_v1,"),
        ("mobilenet_v2,depth=2", "no such option: got depth=2; allowed: width=NUMBER"),
        ("mobilenet_v2,width=wide", "width is not a number: got wide"),
        ("mobilenet_v2,width=9", "width out of range: got 9.0; allowed: 0.1 to 4"),
        ("mobilenet_v2,size=5", "size out of range: got 5; allowed: 32 to 512"),
        ("mobilenet_v2,size=32.5", "size is not a whole number: got 32.5"),
        ("mobilevit_xxs,size=100", "allowed: 32 to 512, multiples of 64"),
        ("mobilenet_v2,classes=0", "classes out of range: got 0"),
        ("shufflenet_v2,width=0.7", "no such width: got 0.7; allowed: 0.5, 1.0, 1.5, 2.0"),
    ],
)
def test_wrong_names_are_one_line(name: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(name)
    assert says in str(caught.value)


def test_a_shape_says_the_size() -> None:
    assert str(parse("mobilenet_v2").with_shape((1, 3, 64, 64))) == "mobilenet_v2,size=64"
    assert str(parse("gru").with_shape((1, 49, 10))) == "gru,size=49"
    assert str(parse("tiny_bert").with_shape((1, 16))) == "tiny_bert,size=16"
    with pytest.raises(UserError, match="takes another input"):
        parse("mobilenet_v2").with_shape((1, 3, 64, 32))
    with pytest.raises(UserError, match="takes another input"):
        parse("mobilenet_v2").with_shape((64,))


def test_weights_know_their_network(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    plain = parse("resnet8")
    assert trained(plain, None) == trained(plain, weights) == plain
    card = tmp_path / "network.json"
    card.write_text(json.dumps({"network": "resnet8,classes=3"}))
    assert str(trained(plain, weights)) == "resnet8,classes=3"
    for name, says in (("resnet20", "another network"), ("resnet8,classes=4", "allowed: resnet8,classes=3")):
        with pytest.raises(SourceError, match=says):
            trained(parse(name), weights)
    for text in ("", "[]", "{}", '{"network": "none"}', "[" * 5000):
        card.write_text(text)
        with pytest.raises(SourceError, match="does not name a network of the zoo"):
            trained(plain, weights)


def test_cards_are_consistent() -> None:
    for name, card in CARDS.items():
        assert card.name == name and card.task in TASKS
        assert str(parse(name)) == name
        for known in card.known:
            assert 0.3 < known.top1 < 1
            parse(f"{name},width={known.width},size={known.size}")
