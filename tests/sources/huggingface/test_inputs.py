"""Shapes that no configuration says: the message shows one that the network takes."""

from __future__ import annotations

from typing import Any

import pytest

transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.huggingface.inputs import example_inputs


@pytest.mark.parametrize(
    ("config", "name", "shown"),
    [
        (transformers.Wav2Vec2Config(), "input_values", "1,16000 for one second"),
        (transformers.BertConfig(), "input_features", "1,80,3000"),
    ],
)
def test_an_unknown_shape_names_one_of_the_kind(config: object, name: str, shown: str) -> None:
    with pytest.raises(UnsupportedError, match=f"input {name} is unknown; give --input, as --input {shown}"):
        example_inputs([name], config, None, None)
