"""A network that takes raw pixels computes what it computed on normalised ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.graph.same import ops
from tests.reference.networks import Net

from pocketpress.core.errors import UserError
from pocketpress.core.program import Program, check_program
from pocketpress.core.signature import Preprocessing
from pocketpress.graph.fold_preprocessing import fold_preprocessing
from pocketpress.verify.reference import interpret

IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
UNIT = Preprocessing()


def network(pad: int) -> Program:
    net = Net()
    return net.build(net.conv(net.input(1, 3, 6, 6), 4, pad=pad, name="y"))


def assert_same_on_pixels(before: Program, after: Program, prep: Preprocessing) -> None:
    check_program(after)
    pixels = np.random.default_rng(0).integers(0, 256, before.type("x").shape).astype(np.float32)
    mean, std = (np.asarray(v, np.float32).reshape(1, -1, 1, 1) for v in (prep.mean, prep.std))
    wanted = interpret(before, {"x": ((pixels * prep.scale - mean) / std).astype(np.float32)})["y"]
    got = interpret(after, {"x": pixels})["y"]
    np.testing.assert_allclose(got, wanted, atol=1e-5 * float(np.ptp(wanted)))


@pytest.mark.parametrize(("prep", "pad"), [(IMAGENET, 0), (UNIT, 1)])
def test_the_convolution_absorbs_what_it_can(prep: Preprocessing, pad: int) -> None:
    before = network(pad)
    after = fold_preprocessing(before, prep)
    assert ops(after) == ["conv2d"]
    assert_same_on_pixels(before, after, prep)


def test_a_mean_before_a_padded_convolution_cannot_be_absorbed() -> None:
    before = network(1)
    after = fold_preprocessing(before, IMAGENET)
    assert ops(after) == ["mul", "add", "conv2d"]
    assert_same_on_pixels(before, after, IMAGENET)


def test_two_readers_of_the_image() -> None:
    net = Net()
    x = net.input(1, 3, 6, 6)
    before = net.build(net.op("add", net.conv(x, 2, pad=0), net.conv(x, 2, pad=0), name="y"))
    assert_same_on_pixels(before, fold_preprocessing(before, IMAGENET), IMAGENET)


def test_two_inputs_are_refused() -> None:
    net = Net()
    program = net.build(net.op("add", net.input(1, 3, 4, 4), net.input(1, 3, 4, 4, name="z")))
    with pytest.raises(UserError, match=r"one image input.*leave --input-uint8 away"):
        fold_preprocessing(program, UNIT)


def test_other_channels_are_refused() -> None:
    net = Net()
    with pytest.raises(UserError, match="preprocessing does not fit the input"):
        fold_preprocessing(net.build(net.conv(net.input(1, 4, 5, 5), 2)), IMAGENET)


@pytest.mark.parametrize(
    ("pad", "kinds"), [(0, ["permute", "conv2d"]), (1, ["permute", "mul", "add", "conv2d"])]
)
def test_channels_last_images_fold_behind_their_permute(pad: int, kinds: list[str]) -> None:
    net = Net()
    x = net.op("permute", net.input(1, 6, 6, 3), axes=(0, 3, 1, 2))
    before = net.build(net.conv(x, 4, pad=pad, name="y"))
    after = fold_preprocessing(before, IMAGENET)
    assert ops(after) == ops(fold_preprocessing(before, replace(IMAGENET, layout="nhwc"))) == kinds
    pixels = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 3)).astype(np.float32)
    normalised = (pixels / 255 - np.float32(IMAGENET.mean)) / np.float32(IMAGENET.std)
    wanted = interpret(before, {"x": normalised.astype(np.float32)})["y"]
    np.testing.assert_allclose(
        interpret(after, {"x": pixels})["y"], wanted, atol=1e-5 * float(np.ptp(wanted))
    )
