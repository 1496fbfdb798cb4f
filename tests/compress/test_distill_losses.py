"""Losses of fine-tuning, computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pocketpress.compress.distill.losses import Distillation, is_classifier, resolve_loss
from pocketpress.core.errors import DataError, UserError

SCORES = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
CLASSES = torch.tensor([1, 0])


def test_cross_entropy() -> None:
    """Probabilities 3/4 and 1/2 of the right class."""
    loss = resolve_loss("auto", SCORES, CLASSES)
    assert loss is not None
    assert float(loss(SCORES, CLASSES)) == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)


def test_a_network_that_ends_in_a_softmax_has_the_same_loss() -> None:
    loss = resolve_loss("cross-entropy", SCORES.softmax(1), CLASSES)
    assert loss is not None
    assert float(loss({"probabilities": SCORES.softmax(1)}, CLASSES)) == pytest.approx(
        -(math.log(0.75) + math.log(0.5)) / 2
    )


def test_kullback_leibler_with_temperature() -> None:
    """T = 2: teacher (1/2, 1/2), student (0.25, 0.75): 4 * sum p ln(p / q)."""
    student = torch.tensor([[0.0, 2 * math.log(3.0)]])
    teacher = torch.zeros(1, 2)
    wanted = 4 * (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75))
    assert float(Distillation(True, 2.0)(student, teacher)) == pytest.approx(wanted, rel=1e-5)
    assert float(Distillation(True, 2.0)(teacher, teacher)) == pytest.approx(0.0, abs=1e-7)


def test_several_outputs_are_weighed_by_their_power() -> None:
    """(1 - 2)^2 / 2^2 and (30 - 20)^2 / 20^2, each 1/4."""
    student = {"a": torch.tensor([[1.0]]), "b": torch.tensor([[30.0]])}
    teacher = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[20.0]])}
    assert float(Distillation(False)(student, teacher)) == pytest.approx(0.25)


def test_what_auto_chooses() -> None:
    assert resolve_loss("auto", SCORES, None) is None
    assert resolve_loss("none", SCORES, CLASSES) is None
    image = torch.rand(2, 3, 4, 4)
    loss = resolve_loss("auto", image, image + 1)
    assert loss is not None and float(loss(image, image + 1)) == pytest.approx(1.0)
    l1 = resolve_loss("l1", image, image + 2)
    assert l1 is not None and float(l1(image, image + 2)) == pytest.approx(2.0)


def test_classifiers_are_told_by_their_labels() -> None:
    assert is_classifier(SCORES, CLASSES) and is_classifier(
        torch.rand(1, 4, 5, 5), torch.zeros(1, 5, 5).long()
    )
    assert not is_classifier(SCORES, torch.tensor([1, 2]))
    assert not is_classifier(SCORES, CLASSES.float())
    assert not is_classifier((SCORES, SCORES), CLASSES)


def test_labels_that_are_missing_or_do_not_fit() -> None:
    with pytest.raises(DataError, match="--loss mse needs labels, and the fine-tuning data has none; give"):
        resolve_loss("mse", SCORES, None)
    with pytest.raises(
        DataError, match=r"do not fit cross-entropy: got .*from 0 to 7; allowed: .*0 to 1; use"
    ):
        resolve_loss("cross-entropy", SCORES, torch.tensor([0, 7]))
    with pytest.raises(DataError, match=r"do not fit mse: got \(2,\); allowed: \(2, 2\); use --loss none"):
        resolve_loss("mse", SCORES, CLASSES)
    with pytest.raises(UserError, match="unknown loss: got hinge; allowed: auto, cross-entropy"):
        resolve_loss("hinge", SCORES, CLASSES)
