"""Shapes that no configuration says: the message shows one that the network takes."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

from transformers import BertConfig, Wav2Vec2Config

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.huggingface.inputs import example_inputs


@pytest.mark.parametrize(
    ("config", "name", "shown"),
    [
        (Wav2Vec2Config(), "input_values", "1,16000 for one second"),
        (BertConfig(), "input_features", "1,80,3000"),
    ],
)
def test_an_unknown_shape_names_one_of_the_kind(config: object, name: str, shown: str) -> None:
    with pytest.raises(UnsupportedError, match=f"input {name} is unknown; give --input, as --input {shown}"):
        example_inputs([name], config, None, None)
