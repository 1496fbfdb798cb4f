"""`docs/pruning.md` names every option, and its example runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import torch

from pocketpress.compress.distill.losses import NAMED
from pocketpress.compress.distill.train import MIRROR_MARGIN, TrainOptions
from pocketpress.pipeline.shrink_options import IMPORTANCES, ShrinkOptions

PAGE = (Path(__file__).parents[2] / "docs" / "pruning.md").read_text(encoding="utf-8")
PYTHON_ONLY = {"distill_weight", "temperature"}


def test_every_option_importance_and_loss_is_documented() -> None:
    renamed = {"samples": "finetune-samples", "augment": "no-augment"}
    names = [
        renamed.get(f.name, f.name.replace("_", "-"))
        for f in fields(ShrinkOptions)
        if f.name not in PYTHON_ONLY
    ]
    assert [n for n in names if f"--{n}" not in PAGE] == []
    assert [n for n in (*IMPORTANCES, *NAMED) if f"`{n}`" not in PAGE] == []


def test_the_numbers_are_those_of_the_code() -> None:
    from pocketpress.compress.distill.train import ADAMW_RATE, SGD_RATE

    options = ShrinkOptions()
    assert f"{options.distill_weight:g} distillation" in PAGE and f"T = {options.temperature:g}" in PAGE
    assert f"rate {SGD_RATE:g}" in PAGE and f"AdamW with {ADAMW_RATE:g}" in PAGE
    assert f"weight decay {TrainOptions().weight_decay:g}" in PAGE
    assert f"at most {100 * MIRROR_MARGIN:g} points fewer" in PAGE


def test_the_loss_example_is_a_loss() -> None:
    scope: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], scope)
    function = scope["smoothed"]
    assert callable(function)
    assert function(torch.zeros(2, 4), torch.tensor([0, 3])).numel() == 1
