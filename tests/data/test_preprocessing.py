"""Hand-computed pixels, the parser, and its one-line errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketpress.core.errors import DataError
from pocketpress.core.signature import Preprocessing, Signature, TensorSpec
from pocketpress.data.preprocessing import (
    PRESETS,
    apply,
    complete,
    normalisation_table,
    parse_preprocessing,
    resize_and_crop,
    to_pixels,
)


def signature(*shape: int) -> Signature:
    return Signature((TensorSpec("x", shape, "float32"),), (TensorSpec("y", (1, 10), "float32"),))


def test_unit_divides_by_255() -> None:
    image = np.array([[[0, 51, 255]]], dtype=np.uint8)
    assert apply(image, Preprocessing()).reshape(-1).tolist() == [0.0, np.float32(0.2), 1.0]


def test_normalisation_is_pixel_over_255_minus_mean_over_std() -> None:
    image = np.full((2, 2, 3), 128, dtype=np.uint8)
    got = apply(image, Preprocessing(mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0)))
    expected = [(128 / 255 - 0.5) / 0.5, (128 / 255 - 0.25) / 0.5, 128 / 255 / 2]
    assert got.shape == (3, 2, 2)
    np.testing.assert_allclose(got[:, 0, 0], expected, rtol=1e-7)


def test_layouts_hold_the_same_values() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    planar, interleaved = apply(image, Preprocessing()), apply(image, Preprocessing(layout="nhwc"))
    assert planar.shape == (3, 5, 4) and interleaved.shape == (5, 4, 3)
    np.testing.assert_array_equal(planar, interleaved.transpose(2, 0, 1))


@pytest.mark.parametrize(("height", "width"), [(100, 150), (150, 100), (100, 100), (333, 100)])
def test_shorter_side_is_resized_and_the_centre_kept(height: int, width: int) -> None:
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    image = np.repeat(np.tile(ramp, (height, 1))[:, :, None], 3, axis=2)
    got = resize_and_crop(image, Preprocessing(resize=50, crop=(40, 40)))
    assert got.shape == (40, 40, 3)
    centre = got[:, 19:21].mean()
    assert abs(centre - 127.5) < 4


def test_without_resize_the_image_is_resized_straight_to_the_crop() -> None:
    image = np.zeros((10, 30, 3), dtype=np.uint8)
    image[:, :15] = 200
    got = resize_and_crop(image, Preprocessing(crop=(6, 6)))
    assert got.shape == (6, 6, 3)
    assert got[0, 0, 0] == 200 and got[0, 5, 0] == 0


def test_resize_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 1), dtype=np.uint8)
    stripes[:, ::2] = 255
    got = resize_and_crop(stripes, Preprocessing(crop=(8, 8), mean=(0.0,), std=(1.0,)))
    assert abs(int(got[4, 4, 0]) - 128) < 8


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_level_survives_the_way_to_the_network_and_back(name: str) -> None:
    prep = PRESETS[name]
    pixels = np.tile(np.arange(256, dtype=np.uint8), (3, 1))[:, :, None]
    values = np.stack([normalisation_table(prep)[c][pixels[c]] for c in range(3)])
    np.testing.assert_array_equal(to_pixels(values, prep, "sample"), pixels)


def test_values_that_were_never_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="not pixels normalised as declared"):
        to_pixels(np.full((3, 1, 1), 0.5013, np.float32), Preprocessing(), "sample 3")
    with pytest.raises(DataError, match="raw pixels are wanted: got float32"):
        to_pixels(np.zeros((3, 1, 1), np.float32), None, "sample 3")


def test_parser_reads_every_key() -> None:
    text = "resize=256,crop=224x192,mean=0.485:0.456:0.406,std=0.2:0.3:0.4,layout=nchw,scale=1/127.5"
    prep = parse_preprocessing(text)
    assert prep == Preprocessing(256, (224, 192), (0.485, 0.456, 0.406), (0.2, 0.3, 0.4), "nchw", 1 / 127.5)


def test_preset_follows_the_networks_size() -> None:
    prep = parse_preprocessing("imagenet", signature(1, 3, 192, 192))
    assert (prep.resize, prep.crop) == (219, (192, 192))
    assert parse_preprocessing("imagenet") == PRESETS["imagenet"]


def test_grey_and_channels_last_come_from_the_network() -> None:
    assert parse_preprocessing("minus1to1", signature(1, 1, 28, 28)).mean == (0.5,)
    assert parse_preprocessing("unit", signature(1, 28, 28, 3)).layout == "nhwc"
    assert parse_preprocessing("mean=0.5,std=0.25", signature(1, 1, 28, 28)).std == (0.25,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imagnet", "unknown preprocessing: got imagnet; allowed: imagenet, unit, minus1to1, resize=…"),
        ("blur=3", "unknown preprocessing: got blur=3"),
        ("resize=big", "preprocessing resize is malformed: got resize=big"),
        ("mean=0.5:x:0.5", "preprocessing mean is malformed"),
        ("std=0:1:1", "std must be positive"),
        ("mean=0:0,std=1:1:1", "mean has 2 entries and std 3"),
        ("layout=hwc", "allowed: nchw, nhwc"),
        ("resize=100,crop=224", "resize is smaller than crop: got resize=100"),
        ("crop=0", "out of range"),
        ("resize=999999999", "out of range"),
        ("mean=nan:0:0", "not a finite number"),
        ("scale=1/0", "preprocessing scale is malformed"),
    ],
)
def test_parser_errors_are_one_line(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_preprocessing(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_preprocessing_must_fit_the_network() -> None:
    with pytest.raises(
        DataError, match="crop differs from the network's input: got 224x224; allowed: 192x192"
    ):
        complete(PRESETS["imagenet"], signature(1, 3, 192, 192).inputs[0])
    with pytest.raises(DataError, match="mean and std differ from the network's channels: got 3; allowed: 1"):
        parse_preprocessing("imagenet", signature(1, 1, 224, 224))
    with pytest.raises(DataError, match="is not an image in nchw"):
        complete(None, signature(1, 40).inputs[0])


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    try:
        parse_preprocessing(text)
    except DataError as error:
        assert "\n" not in str(error)
