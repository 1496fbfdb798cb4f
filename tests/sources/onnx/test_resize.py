"""Resizing in all its forms, as programs: ONNX Runtime's numbers, torch's, and some by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from tests.sources.onnx.models import model, saved

from pocketpress.core.errors import UnsupportedError
from pocketpress.sources.load import load_source
from pocketpress.verify.reference import interpret

IMAGE = (1, 2, 7, 9)
SMALLER, LARGER, MIXED = [1, 2, 3, 4], [1, 2, 11, 20], [1, 2, 14, 5]


def network(shape: tuple[int, ...], constants: dict[str, Any], **attributes: Any) -> onnx.ModelProto:
    inputs = [name if name in constants else "" for name in ("roi", "scales", "sizes")]
    resize = helper.make_node("Resize", ["x", *inputs], ["y"], "up", **attributes)
    return model([resize], {"x": shape}, ["y"], constants, opset=19)


def image(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def computed(path: Path, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = interpret(load_source(str(path)).program, {"x": x})["y"]
    return found


HALF = {"coordinate_transformation_mode": "half_pixel"}
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize"}
SYMMETRIC = {"coordinate_transformation_mode": "half_pixel_symmetric"}
CORNERS = {"coordinate_transformation_mode": "align_corners"}
REGION = np.asarray([0, 0, 0.2, 0.3, 1, 1, 0.8, 0.75], np.float32)
BEYOND = np.asarray([0, 0, -0.3, 0.4, 1, 1, 0.5, 1.3], np.float32)
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "smooth and smaller": ({"sizes": SMALLER}, {"mode": "linear", "antialias": 1, **HALF}),
    "smooth, without what lies outside": (
        {"sizes": SMALLER},
        {"mode": "linear", "antialias": 1, "exclude_outside": 1, **HALF},
    ),
    "smooth in one axis": ({"sizes": MIXED}, {"mode": "linear", "antialias": 1, **HALF}),
    "smooth and larger": ({"sizes": LARGER}, {"mode": "linear", "antialias": 1, **HALF}),
    "smooth cubes": ({"sizes": SMALLER}, {"mode": "cubic", "antialias": 1, **HALF}),
    "smooth cubes, without what lies outside": (
        {"sizes": SMALLER},
        {"mode": "cubic", "antialias": 1, "exclude_outside": 1, **HALF},
    ),
    "cubes": ({"sizes": MIXED}, {"mode": "cubic", "exclude_outside": 1, **HALF}),
    "not larger": ({"sizes": [20, 12]}, {"axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}),
    "not smaller": (
        {"sizes": [20, 12]},
        {"axes": [2, 3], "mode": "linear", "keep_aspect_ratio_policy": "not_smaller"},
    ),
    "symmetric": ({"scales": [1, 1, 1.3, 0.7]}, {"mode": "linear", **SYMMETRIC}),
    "symmetric nearest": ({"scales": [1, 1, 0.7, 2.2]}, SYMMETRIC),
    "symmetric sizes": ({"sizes": LARGER}, {"mode": "linear", **SYMMETRIC}),
    "a region": ({"roi": REGION, "sizes": MIXED}, {"mode": "linear", **CROP}),
    "a region of cubes": ({"roi": REGION, "sizes": LARGER}, {"mode": "cubic", **CROP}),
    "a region of nearest": ({"roi": REGION, "sizes": LARGER}, CROP),
    "a single element of a region": ({"roi": REGION, "sizes": [1, 2, 1, 1]}, {"mode": "linear", **CROP}),
    "a region beyond the image": (
        {"roi": BEYOND, "sizes": LARGER},
        {"mode": "linear", "extrapolation_value": 10.0, **CROP},
    ),
    "a region beyond the image, of zeros": ({"roi": BEYOND, "sizes": LARGER}, {"mode": "linear", **CROP}),
    "corners": ({"sizes": MIXED}, {"mode": "linear", **CORNERS}),
    "corners of cubes": ({"sizes": MIXED}, {"mode": "cubic", **CORNERS}),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_numbers_of_onnx_runtime(tmp_path: Path, name: str) -> None:
    given, attributes = FORMS[name]
    kinds = {"roi": np.float32, "scales": np.float32, "sizes": np.int64}
    constants = {key: np.asarray(value, kinds[key]) for key, value in given.items()}
    path, x = saved(tmp_path, network(IMAGE, constants, **attributes)), image(IMAGE)
    (wanted,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
    np.testing.assert_allclose(computed(path, x), wanted, atol=2e-5)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_smooth_resizing_without_what_lies_outside_is_torchs(tmp_path: Path, mode: str) -> None:
    constants = {"sizes": np.asarray(SMALLER)}
    attributes = {"mode": mode, "antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5, **HALF}
    path, x = saved(tmp_path, network(IMAGE, constants, **attributes)), image(IMAGE)
    kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    wanted = F.interpolate(torch.from_numpy(x), SMALLER[2:], mode=kind, antialias=True)
    np.testing.assert_allclose(computed(path, x), wanted.numpy(), atol=2e-5)


def test_hand_computed_numbers(tmp_path: Path) -> None:
    """Two of four by a triangle of width 4: places 0.5 and 2.5; shares 1, 3, 3, 1 of 8."""
    constants = {"sizes": np.asarray([1, 1, 1, 2])}
    path = saved(tmp_path, network((1, 1, 1, 4), constants, mode="linear", antialias=1))
    x = np.asarray([8, 0, 16, 24], np.float32).reshape(1, 1, 1, 4)
    wanted = [(8 + 3 * 8 + 3 * 0 + 16) / 8, (0 + 3 * 16 + 3 * 24 + 24) / 8]
    np.testing.assert_allclose(computed(path, x).ravel(), wanted, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 2), (2, 5, 6, 3), (1, 2, 3, 4, 5)])
def test_any_axes_are_resized_one_after_the_other(tmp_path: Path, shape: tuple[int, ...]) -> None:
    constants = {"sizes": np.asarray([8, 3])}
    attributes = {"axes": [0, 1] if len(shape) < 4 else [1, 2], "mode": "linear", **HALF}
    path, x = saved(tmp_path, network(shape, constants, **attributes)), image(shape)
    moved = torch.from_numpy(x).movedim(attributes["axes"], (-2, -1))
    flat = moved.reshape(1, -1, *moved.shape[-2:])
    wanted = F.interpolate(flat, (8, 3), mode="bilinear").reshape(*moved.shape[:-2], 8, 3)
    back = wanted.movedim((-2, -1), attributes["axes"])
    np.testing.assert_allclose(computed(path, x), back.numpy(), atol=2e-5)


def test_what_is_not_said_or_disputed_is_refused(tmp_path: Path) -> None:
    for constants, attributes, text in (
        ({"sizes": np.asarray(MIXED)}, CROP, "roi of Resize; allowed: 8 numbers"),
        ({"scales": np.asarray([1, 1, 0.6, 0.6], np.float32)}, CORNERS, "whole sizes with align_corners"),
        ({"sizes": np.asarray([1, 2, 1 << 20, 1 << 20])}, {}, "size of Resize"),
    ):
        path = saved(tmp_path, network(IMAGE, constants, **attributes))
        with pytest.raises(UnsupportedError, match=text):
            load_source(str(path))
