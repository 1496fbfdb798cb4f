"""The shipped encoder: it loads by itself, looks at its input, and has only layers with integer kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from apps.photo.dataset import SHIPPED_PHOTOS, list_photos, read_photo
from apps.photo.degrade import PhotoError, degrade
from apps.photo.enhance import TABLES_FILE, look
from apps.photo.network import TABLES, WEIGHTS, PhotoEncoder, factory
from torch import nn


@pytest.fixture(scope="module")
def encoder() -> PhotoEncoder:
    return factory()[0]


def test_factory_returns_an_evaluated_module_and_an_example(encoder: PhotoEncoder) -> None:
    _, (example,) = factory()
    assert not encoder.training
    assert example.shape == (1, 256, 256, 3)
    with torch.no_grad():
        assert encoder(example).shape == (1, TABLES)


def test_weights_depend_on_photo_and_error(encoder: PhotoEncoder) -> None:
    errors = [PhotoError(), PhotoError(exposure_stops=1.5), PhotoError(saturation=0.4)]
    inputs = [
        look(degrade(read_photo(path), error)).network_input
        for path in list_photos(SHIPPED_PHOTOS)[:2]
        for error in errors
    ]
    with torch.no_grad():
        answers = encoder(torch.from_numpy(np.concatenate(inputs)))
    assert torch.isfinite(answers).all()
    distances = torch.cdist(answers, answers)[~torch.eye(len(inputs), dtype=torch.bool)]
    assert float(distances.min()) > 0.3


def test_only_layers_with_integer_kernels(encoder: PhotoEncoder) -> None:
    kinds = {type(module) for module in encoder.modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.BatchNorm2d, nn.ReLU6, nn.AdaptiveAvgPool2d, nn.Linear}


def test_the_pool_averages_an_odd_number_of_positions(encoder: PhotoEncoder) -> None:
    with torch.no_grad():
        assert encoder.features(torch.zeros(1, 3, 256, 256)).shape == (1, 256, 7, 7)


def test_shipped_files_are_small() -> None:
    assert WEIGHTS.stat().st_size + TABLES_FILE.stat().st_size < 3e6
