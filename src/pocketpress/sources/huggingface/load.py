"""A checkpoint of transformers as a live network with example inputs."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pocketpress.core.errors import PocketpressError, SourceError, UnsupportedError
from pocketpress.core.signature import Preprocessing
from pocketpress.sources.huggingface.folder import Opened, open_checkpoint, require_package
from pocketpress.sources.huggingface.heads import HEADS, Head, find_head
from pocketpress.sources.huggingface.inputs import Shape, example_inputs, input_names, position_offset
from pocketpress.sources.huggingface.labels import class_labels
from pocketpress.sources.huggingface.names import Checkpoint
from pocketpress.sources.huggingface.network import NETWORKS
from pocketpress.sources.huggingface.preprocessing import ImageRecipe, image_recipe, with_size

LARGEST = 2**31 - 1
MOST = {
    "num_labels": 1 << 20,
    **dict.fromkeys(("layer", "depth", "block", "group", "stage", "expert", "num_feed_forward"), 1024),
}
"""Largest whole number in ``config.json``, by a part of its key: those that networks loop over."""
ENCODER_ALONE = "generates step by step, with a loop around it: the encoder alone is pressed"
_CODE = ("auto_map", "attn_implementation", "_attn_implementation", "custom_pipelines", "trust_remote_code")
"""Keys of ``config.json`` that lead to code; they are dropped."""


@dataclass(frozen=True)
class Loaded:
    """What became of a checkpoint.

    Attributes:
        module: takes tensors, returns tensors; in evaluation mode.
        examples: inputs for it.
        preprocessing: how images become its input, if the checkpoint says so.
        notes: what was left out or is done otherwise, with reasons.
        sha256: of the weights.
        labels: names of the first output's classes, if the checkpoint says so.
    """

    module: torch.nn.Module
    examples: tuple[torch.Tensor, ...]
    preprocessing: Preprocessing | None
    notes: tuple[tuple[str, str], ...]
    sha256: str
    labels: tuple[str, ...] | None = None


def load_checkpoint(checkpoint: Checkpoint, shapes: Sequence[Shape] | None = None) -> Loaded:
    """Read a checkpoint from the cache or a folder.

    Args:
        checkpoint: which.
        shapes: of the inputs, instead of the configuration's.

    Raises:
        MissingExtraError: transformers is not installed.
        SourceError: the checkpoint is not here, malformed, or does not fit its configuration.
        UnsupportedError: a kind of network or task that transformers, or this module, does not have.
    """
    require_package("transformers")
    opened = open_checkpoint(checkpoint)
    head = find_head(opened.config)
    if head == HEADS["Model"]:
        _check_single(opened.config)
    network, notes = _network(opened, head, checkpoint)
    main = str(getattr(network, "main_input_name", "input_ids"))
    if main not in NETWORKS:
        raise UnsupportedError(f"networks on {main} cannot be pressed", allowed=list(NETWORKS))
    recipe = _recipe(opened) if main == "pixel_values" else None
    names = input_names(main, network.config)
    crop = None if recipe is None else recipe.prep.crop
    examples = example_inputs(names, network.config, shapes, crop)
    prep = None if recipe is None else _fitted(recipe.prep, examples[0])
    extra: dict[str, Any] = {}
    if main == "pixel_values":
        extra["reversed_channels"] = recipe is not None and recipe.reversed_channels
    if main == "input_ids":
        extra["offset"] = position_offset(network.config)
    module = NETWORKS[main](network, head.outputs, **extra).eval()
    labels, unnamed = class_labels(opened.config, "id2label") if head.classes else (None, ())
    prepared = recipe.notes if recipe is not None else ()
    return Loaded(module, examples, prep, (*notes, *prepared, *unnamed), opened.sha256(), labels)


def _check_single(config: Mapping[str, Any]) -> None:
    """A network of text and images is two networks, which are compared outside."""
    if all(isinstance(config.get(part), Mapping) for part in ("text_config", "vision_config")):
        kind = str((config.get("architectures") or [config.get("model_type")])[0])
        half = f"{kind.removesuffix('Model')}VisionModel"
        raise UnsupportedError(
            "a network of text and images together cannot be pressed",
            got=kind,
            next_step=f"press its halves: {half}.from_pretrained(…).save_pretrained(folder)",
        )


def _fitted(prep: Preprocessing, example: torch.Tensor) -> Preprocessing | None:
    if example.dim() != 4:
        return None
    height, width = int(example.shape[2]), int(example.shape[3])
    return prep if prep.crop == (height, width) else with_size(prep, height, width)


def _recipe(opened: Opened) -> ImageRecipe | None:
    found = opened.json("preprocessor_config.json")
    if found is None:
        nested = (opened.json("processor_config.json") or {}).get("image_processor")
        found = nested if isinstance(nested, dict) else None
    return None if found is None else image_recipe(found)


def _network(opened: Opened, head: Head, checkpoint: Checkpoint) -> tuple[Any, tuple[tuple[str, str], ...]]:
    """The network in float32, with every weight from the file."""
    with _quiet():
        try:
            import transformers

            config = _config(transformers, opened)
            auto = _auto(transformers, head, config)
            _check_size(auto, config, opened, checkpoint)
            network, info = auto.from_pretrained(
                opened.path,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except PocketpressError:
            raise
        except Exception as error:
            raise SourceError(f"{checkpoint.spec} cannot be read", got=_reason(error)) from error
    missing = sorted(map(str, info.get("missing_keys") or ()))
    wrong = sorted(str(m[0]) for m in info.get("mismatched_keys") or ())
    notes: list[tuple[str, str]] = []
    if head.encoder:
        network, missing = network.get_encoder(), [m for m in missing if "decoder" not in m]
        notes.append(("decoder", ENCODER_ALONE))
    if missing or wrong:
        raise SourceError(
            f"the weights of {checkpoint.spec} do not fit its config.json",
            got=f"{len(missing)} missing {missing[:1]}, {len(wrong)} of another shape {wrong[:1]}",
            next_step="download the checkpoint again, or fine-tune the head it lacks",
        )
    left = sorted(map(str, info.get("unexpected_keys") or ()))
    if left:
        notes.append((left[0], f"{len(left)} tensors of the checkpoint belong to no layer of the network"))
    network.config.use_cache = False
    return network.eval(), tuple(notes)


def _config(transformers: Any, opened: Opened) -> Any:
    kind = opened.config.get("model_type")
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    if not isinstance(kind, str) or kind not in known:
        more = "; it needs code of its own, which is not executed" if "auto_map" in opened.config else ""
        raise UnsupportedError(
            f"transformers {transformers.__version__} has no networks of this model_type{more}", got=kind
        )
    if opened.config.get("quantization_config") is not None:
        raise UnsupportedError(
            "the checkpoint is quantised already", next_step="give the float checkpoint it was made of"
        )
    check_numbers(opened.config)
    return known[kind].from_dict(_without_code(opened.config))


def _auto(transformers: Any, head: Head, config: Any) -> Any:
    """The class that loads the network."""
    auto = getattr(transformers, head.auto)
    if head.otherwise is None or type(config) in auto._model_mapping:
        return auto
    return getattr(transformers, head.otherwise)


def _without_code(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_code(item) for key, item in value.items() if key not in _CODE}
    return [_without_code(item) for item in value] if isinstance(value, list) else value


def check_numbers(config: Mapping[str, Any]) -> None:
    """A few bytes must not ask for a million layers or labels.

    Raises:
        SourceError: a number that no network needs.
    """
    for key, value in config.items():
        items = value if isinstance(value, list) else [value]
        most = next((limit for part, limit in MOST.items() if part in key), LARGEST)
        for item in items:
            if isinstance(item, Mapping):
                check_numbers(item)
            elif isinstance(item, int) and abs(item) > most:
                raise SourceError(f"{key} of config.json is out of range", got=item, allowed=f"up to {most}")


def _check_size(auto: Any, config: Any, opened: Opened, checkpoint: Checkpoint) -> None:
    """The network that the configuration describes is about as large as the file (nothing is allocated)."""
    from safetensors import safe_open

    stored = 0
    for path in opened.weights:
        with safe_open(path, "pt") as file:
            stored += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    with torch.device("meta"):
        described = sum(p.numel() for p in auto.from_config(config).parameters())
    if described > 2 * stored + (1 << 20):
        raise SourceError(
            f"config.json of {checkpoint.spec} describes a larger network than the file holds",
            got=f"{described} weights",
            allowed=f"about {stored}",
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and warnings of transformers: errors say what matters."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _reason(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:300]
