"""Image processors become a declared preprocessing."""

from __future__ import annotations

from typing import Any

import pytest

from pocketpress.core.errors import SourceError
from pocketpress.core.signature import Preprocessing
from pocketpress.sources.huggingface.preprocessing import image_recipe, with_size
from pocketpress.sources.huggingface.timm_network import architecture_arguments, timm_preprocessing

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
NORMAL = {"do_normalize": True, "image_mean": MEAN, "image_std": STD}
SQUARE = {"height": 24, "width": 32}


@pytest.mark.parametrize(
    ("sizes", "resize", "crop"),
    [
        ({"size": SQUARE}, None, (24, 32)),
        ({"size": 24}, None, (24, 24)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": SQUARE}, 40, (24, 32)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 32}, 40, (32, 32)),
        ({"size": {"shortest_edge": 28}, "crop_pct": 0.875}, 32, (28, 28)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, None, (384, 384)),
        ({"size": SQUARE, "do_resize": False}, None, None),
        ({"size": 40, "do_center_crop": True, "crop_size": SQUARE}, 40, (24, 32)),
        ({"size": {"shortest_edge": 40}}, 40, None),
        ({}, None, None),
    ],
)
def test_sizes(sizes: dict[str, Any], resize: int | None, crop: tuple[int, int] | None) -> None:
    assert image_recipe(sizes).prep == Preprocessing(resize=resize, crop=crop)


def test_numbers() -> None:
    found = image_recipe({**NORMAL, "rescale_factor": 1 / 127.5, "resample": 3, "do_resize": True})
    assert found.prep == Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), scale=1 / 127.5)
    assert found.notes == (("resize", "the checkpoint asks for filter 3, images are resized bilinearly"),)
    assert image_recipe({**NORMAL, "do_normalize": False, "do_rescale": False}).prep == Preprocessing(
        scale=1.0
    )
    assert image_recipe({"do_flip_channel_order": True}).reversed_channels
    assert not found.reversed_channels


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"size": "large"}, "size"),
        ({"size": {"height": 8}}, "size"),
        ({"size": {"shortest_edge": 10**9}}, "size"),
        ({"size": True}, "size"),
        ({"do_center_crop": True, "crop_size": [8, 8]}, "crop_size"),
        ({**NORMAL, "image_mean": []}, "image_mean"),
        ({**NORMAL, "image_mean": ["a", 0, 0]}, "image_mean"),
        ({**NORMAL, "image_std": [0.0, 1.0, 1.0]}, "image_mean and image_std"),
        ({**NORMAL, "image_std": [1.0]}, "image_mean and image_std"),
        ({"rescale_factor": float("nan")}, "rescale_factor"),
        ({"size": {"shortest_edge": 8}, "crop_pct": "x"}, "crop_pct"),
    ],
)
def test_malformed(config: dict[str, Any], name: str) -> None:
    with pytest.raises(SourceError, match=f"^{name} of the checkpoint's image processor is malformed: got"):
        image_recipe(config)


def test_another_input_size_keeps_the_share_of_the_margin() -> None:
    margin = Preprocessing(resize=256, crop=(224, 224))
    assert with_size(margin, 112, 112) == Preprocessing(resize=128, crop=(112, 112))
    assert with_size(margin, 112, 168) == Preprocessing(resize=168, crop=(112, 168))
    assert with_size(Preprocessing(crop=(224, 224)), 96, 64) == Preprocessing(crop=(96, 64))


def test_timm() -> None:
    config = {"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "mean": MEAN, "std": STD}}
    prep, size = timm_preprocessing(config)
    assert prep == Preprocessing(resize=256, crop=(224, 224), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert size == (3, 224, 224)
    for changed in ({"input_size": [3]}, {"crop_pct": 0}, {"crop_pct": None}, {"mean": 3}):
        with pytest.raises(SourceError, match="malformed"):
            timm_preprocessing({"pretrained_cfg": {**config["pretrained_cfg"], **changed}})


def test_arguments_of_a_timm_network_are_of_its_form_only() -> None:
    given = {"img_size": 256, "in_chans": 1, "checkpoint_path": "x.pth", "pretrained": True, "num_classes": 3}
    assert architecture_arguments({"model_args": given}) == {"img_size": 256, "in_chans": 1}
    assert architecture_arguments({}) == {}
    with pytest.raises(SourceError, match="img_size of model_args"):
        architecture_arguments({"model_args": {"img_size": "256"}})
