"""A checkpoint of timm (``timm:NAME``), read from the hub's cache or a folder like any other."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.core.signature import Preprocessing
from pocketpress.sources.huggingface.folder import Opened, open_checkpoint, require_package
from pocketpress.sources.huggingface.inputs import Shape
from pocketpress.sources.huggingface.labels import class_labels
from pocketpress.sources.huggingface.load import Loaded
from pocketpress.sources.huggingface.names import Checkpoint
from pocketpress.sources.huggingface.preprocessing import image_recipe, number, with_size
from pocketpress.sources.safe_load import load_weights

_ARGUMENTS: dict[str, type | tuple[type, ...]] = {
    "global_pool": str, "img_size": (int, list), "in_chans": int, "patch_size": int,
}  # fmt: skip
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,100}")


def load_timm(checkpoint: Checkpoint, shapes: Sequence[Shape] | None = None) -> Loaded:
    """Read a checkpoint; timm makes the network, the safetensors file fills it.

    Raises:
        MissingExtraError: timm is not installed.
        SourceError: the checkpoint is not here, malformed, or does not fit.
    """
    require_package("timm")
    opened = open_checkpoint(checkpoint)
    module = _module(opened, checkpoint)
    prep, size = timm_preprocessing(opened.config)
    shape = tuple(shapes[0]) if shapes else (1, *size)
    if len(shape) != 4:
        raise SourceError("images have another shape", got=shape, allowed="(1, C, H, W)")
    prep = with_size(prep, shape[2], shape[3]) if prep.crop != shape[2:] else prep
    example = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    labels, notes = class_labels(opened.config, "label_names")
    return Loaded(module, (example,), prep, notes, opened.sha256(), labels)


def _module(opened: Opened, checkpoint: Checkpoint) -> torch.nn.Module:
    timm: Any = importlib.import_module("timm")

    name, classes = opened.config.get("architecture"), opened.config.get("num_classes")
    if not isinstance(name, str) or not _ARCHITECTURE.fullmatch(name) or not timm.is_model(name):
        raise UnsupportedError(f"timm {timm.__version__} has no such network", got=name)
    if not isinstance(classes, int) or not 0 <= classes <= 1 << 20:
        raise SourceError("num_classes of config.json is malformed", got=classes)
    module: torch.nn.Module = timm.create_model(
        name, pretrained=False, num_classes=classes, **architecture_arguments(opened.config)
    )
    if len(opened.weights) != 1:
        raise SourceError(f"{checkpoint.spec} is in several files", got=len(opened.weights), allowed=1)
    try:
        module.load_state_dict(load_weights(opened.weights[0]), strict=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()[:200]
        raise SourceError(f"the weights do not fit {checkpoint.spec}", got=first) from error
    return module.eval()


def architecture_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ``model_args`` says of the network's form; arguments that name files or download are left out.

    Raises:
        SourceError: malformed.
    """
    given = config.get("model_args")
    given = given if isinstance(given, Mapping) else {}
    for key, allowed in _ARGUMENTS.items():
        if key in given and not isinstance(given[key], allowed):
            raise SourceError(f"{key} of model_args in config.json is malformed", got=given[key])
    return {key: given[key] for key in _ARGUMENTS if key in given}


def timm_preprocessing(config: Mapping[str, Any]) -> tuple[Preprocessing, tuple[int, int, int]]:
    """Preprocessing and (channels, height, width) from ``pretrained_cfg``.

    Raises:
        SourceError: malformed.
    """
    held = config.get("pretrained_cfg")
    held = held if isinstance(held, Mapping) else {}
    size = held.get("input_size", [3, 224, 224])
    if not isinstance(size, list) or len(size) != 3 or not all(isinstance(s, int) and s > 0 for s in size):
        raise SourceError("input_size of config.json is malformed", got=size, allowed="[C, height, width]")
    share = number(held, "crop_pct", 1.0)
    if not 0.1 <= share <= 1:
        raise SourceError("crop_pct of config.json is malformed", got=share, allowed="0.1 to 1")
    recipe = image_recipe(
        {
            "do_resize": True,
            "size": {"shortest_edge": int(min(size[1:]) / share)},
            "do_center_crop": True,
            "crop_size": {"height": size[1], "width": size[2]},
            "do_normalize": True,
            "image_mean": held.get("mean", [0.5] * size[0]),
            "image_std": held.get("std", [0.5] * size[0]),
        }
    )
    return recipe.prep, (size[0], size[1], size[2])
