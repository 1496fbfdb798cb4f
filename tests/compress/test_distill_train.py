"""Fine-tuning: it learns, keeps its masks, and goes on where it stopped as if nothing had happened."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pocketpress.compress.distill.checkpoint import Checkpoint
from pocketpress.compress.distill.examples import Augmentation, Examples, batch_count, batches
from pocketpress.compress.distill.losses import cross_entropy
from pocketpress.compress.distill.train import TrainOptions, fine_tune, mirror_is_safe
from pocketpress.core.errors import ArtifactError, DataError, UserError

OPTIONS = TrainOptions(epochs=3, batch=16, learning_rate=0.05, augment=False)


def networks() -> tuple[nn.Module, nn.Module]:
    """A teacher, and a student with other weights."""
    torch.manual_seed(0)

    def network() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 4),
        ).eval()  # fmt: skip

    return network(), network()


def examples(count: int = 64) -> Examples:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, 8, 8, generator=generator)
    return Examples((x,), torch.randint(4, (count,), generator=generator))


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def test_distillation_alone_brings_the_student_to_the_teacher() -> None:
    teacher, student = networks()
    data = Examples(examples().inputs)
    before = weights(teacher)
    progress = fine_tune(student, teacher, data, None, True, replace(OPTIONS, epochs=20))
    assert len(progress.losses) == 20 and progress.losses[-1] < progress.losses[0] / 3
    assert not student.training
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not torch.equal(student[1].running_mean, torch.zeros(8))  # batch-norm was trained


def test_the_same_seed_gives_the_same_network() -> None:
    """Whatever the global generator did before; and it goes on as if nothing had happened."""
    teacher, student = networks()
    other = copy.deepcopy(student)
    for network in (student, other):
        before = torch.rand(3)
        state = torch.get_rng_state()
        fine_tune(network, teacher, examples(), cross_entropy, True, OPTIONS)
        assert torch.equal(torch.get_rng_state(), state) and before.ndim
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in student.state_dict().items())


def test_masked_weights_stay_zero() -> None:
    teacher, student = networks()
    mask = (torch.rand(8, 3, 3, 3) < 0.5).float()
    with torch.no_grad():
        student[0].weight.mul_(mask)
    fine_tune(student, teacher, examples(), cross_entropy, True, OPTIONS, masks={"0.weight": mask})
    assert bool((student[0].weight[mask == 0] == 0).all())
    assert bool((student[0].weight[mask == 1] != 0).all())


@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_is_the_same_as_uninterrupted(tmp_path: Path, stop: int) -> None:
    teacher, student = networks()
    whole, fresh = copy.deepcopy(student), copy.deepcopy(student)
    checkpoint = Checkpoint(tmp_path / "c.pt", "job", resume=True)
    steps = []
    fine_tune(whole, teacher, examples(), cross_entropy, True, OPTIONS)

    class Stopped(Exception):
        pass

    def save(state: dict[str, Any]) -> None:
        checkpoint.write({"training": state})
        if len(state["losses"]) == stop:
            raise Stopped

    with pytest.raises(Stopped):
        fine_tune(student, teacher, examples(), cross_entropy, True, OPTIONS, save=save)
    state = checkpoint.read()
    assert state is not None
    progress = fine_tune(
        fresh, teacher, examples(), cross_entropy, True, OPTIONS,
        state=state["training"], advance=lambda: steps.append(1),
    )  # fmt: skip
    assert len(progress.losses) == 3 and len(steps) == 3 * 4
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], value, rtol=0, atol=0)


def test_a_checkpoint_of_another_job_or_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.pt"
    assert Checkpoint(path, "a", resume=True).read() is None
    Checkpoint(path, "a").write({"x": torch.ones(2)})
    assert [p.name for p in path.parent.iterdir()] == ["c.pt"]
    assert Checkpoint(path, "a").read() is None  # not asked to resume
    with pytest.raises(ArtifactError, match=r"of another command, network or data: got .*leave --resume out"):
        Checkpoint(path, "b", resume=True).read()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="cannot read the checkpoint"):
        Checkpoint(path, "a", resume=True).read()


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.pt"
    for write in (lambda: torch.save(Evil(), path), lambda: path.write_bytes(pickle.dumps(Evil()))):
        write()
        with pytest.raises(ArtifactError, match="cannot read the checkpoint"):
            Checkpoint(path, "a", resume=True).read()
    assert not (tmp_path / "touched").exists()


def test_batches_never_hold_one_sample() -> None:
    """Batch-norm cannot train on one."""
    generator = torch.Generator().manual_seed(0)
    for count, size, limit, expected in ((9, 4, None, [4, 4]), (10, 4, None, [4, 4, 2]), (10, 4, 7, [4, 3])):
        found = [len(rows) for rows in batches(count, size, limit, generator)]
        assert found == expected and len(found) == batch_count(count, size, limit)


def test_crops_and_mirrors_move_pixels_and_invent_none() -> None:
    images = torch.arange(2 * 1 * 8 * 8, dtype=torch.uint8).reshape(2, 1, 8, 8)
    moved = Augmentation(torch.Generator().manual_seed(0), 1, mirror=True).apply(images)
    assert moved.shape == images.shape and moved.dtype == torch.uint8
    for before, after in zip(images, moved, strict=True):
        assert set(after.reshape(-1).tolist()) <= set(before.reshape(-1).tolist())
        shifts = [
            torch.equal(torch.roll(t, (i, j), (1, 2))[:, 1:-1, 1:-1], after[:, 1:-1, 1:-1])
            for t in (before, before.flip(-1))
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        ]
        assert sum(shifts) == 1


class LeftOrRight(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., :4].sum((1, 2, 3)), x[..., 4:].sum((1, 2, 3))
        return torch.stack([left, right], 1)


def test_mirroring_asks_the_teacher() -> None:
    x = torch.rand(32, 1, 8, 8)
    y = LeftOrRight()(x).argmax(1)
    assert not mirror_is_safe(LeftOrRight(), Examples((x,), y))
    assert mirror_is_safe(LeftOrRight(), Examples((x,)))


def test_pixels_become_real_values_by_the_table() -> None:
    table = torch.stack([torch.arange(256) / 255, torch.arange(256) * 2.0])
    pixels = torch.tensor([[[[0, 255]], [[3, 4]]]], dtype=torch.uint8)
    (real,) = Examples((pixels,), table=table).batch(torch.tensor([0]))
    assert real.tolist() == [[[[0.0, 1.0]], [[6.0, 8.0]]]]
    (last,) = Examples((pixels.permute(0, 2, 3, 1),), table=table, channels_last=True).batch(
        torch.tensor([0])
    )
    assert torch.equal(last.permute(0, 3, 1, 2), real)


@pytest.mark.parametrize("able", [True, False])
def test_bfloat16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    monkeypatch.setattr("pocketpress.compress.distill.train.has_bfloat16", lambda where: able)
    teacher, student = networks()
    progress = fine_tune(student, teacher, examples(), None, True, replace(OPTIONS, bfloat16=True))
    assert student[0].weight.dtype == torch.float32 and progress.losses[-1] < progress.losses[0]
    assert progress.notes == (() if able else ("in float32: this processor has no bfloat16 arithmetic",))


def test_a_diverging_loss_and_too_few_samples() -> None:
    teacher, student = networks()
    with pytest.raises(UserError, match=r"diverged: .*use a smaller --learning-rate"):
        data = Examples((torch.full((4, 3, 8, 8), float("inf")),))
        fine_tune(student, teacher, data, None, True, OPTIONS)
    with pytest.raises(DataError, match="too few fine-tuning samples: got 1; allowed: at least 2"):
        fine_tune(student, teacher, examples(1), cross_entropy, True, OPTIONS)
    with pytest.raises(DataError, match="differ in number"):
        Examples((torch.zeros(3, 1),), torch.zeros(2))
    with pytest.raises(DataError, match="no fine-tuning samples"):
        Examples((torch.zeros(0, 1),))
