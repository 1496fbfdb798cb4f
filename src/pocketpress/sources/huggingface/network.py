"""Networks of transformers as modules that take tensors and return tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pocketpress.core.errors import SourceError


class _Network(torch.nn.Module):
    def __init__(self, network: torch.nn.Module, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.wanted = outputs

    def results(self, **inputs: Any) -> Any:
        """The wanted fields of the network's result: a tensor, or a tuple of them."""
        found = self.network(**inputs, return_dict=True)
        missing = [name for name in self.wanted if not isinstance(found.get(name), Tensor)]
        if missing:
            raise SourceError(f"the network returns no {missing[0]}", got=list(found))
        tensors = tuple(found[name] for name in self.wanted)
        return tensors[0] if len(tensors) == 1 else tensors


class ImageNetwork(_Network):
    """Pixels, normalised as the checkpoint's image processor says."""

    def __init__(
        self, network: torch.nn.Module, outputs: tuple[str, ...], *, reversed_channels: bool = False
    ) -> None:
        super().__init__(network, outputs)
        self.reversed_channels = reversed_channels

    def forward(self, pixel_values: Tensor) -> Any:
        """``pixel_values`` (1, C, H, W), RGB."""
        if self.reversed_channels:
            pixel_values = torch.cat(
                [pixel_values[:, c : c + 1] for c in reversed(range(pixel_values.shape[1]))], dim=1
            )
        return self.results(pixel_values=pixel_values)


class TextNetwork(_Network):
    """Token ids, a mask, and segments where the network tells them apart.

    ``offset`` is None, or where positions begin in networks that would count them from the ids themselves:
    they are constants here, which is the same for text that is padded at its end.
    """

    def __init__(
        self, network: torch.nn.Module, outputs: tuple[str, ...], *, offset: int | None = None
    ) -> None:
        super().__init__(network, outputs)
        self.offset = offset

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        """All int64, (1, tokens); the mask is 1 for tokens and 0 for padding."""
        given: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            given["token_type_ids"] = token_type_ids
        if self.offset is not None:
            given["position_ids"] = torch.arange(input_ids.shape[1])[None] + self.offset
        return self.results(**given)


class FeatureNetwork(_Network):
    """Spectrograms as ``input_features``."""

    def forward(self, input_features: Tensor) -> Any:
        """Spectrogram of the shape that the network's feature extractor makes."""
        return self.results(input_features=input_features)


class ValueNetwork(_Network):
    """Audio as ``input_values``."""

    def forward(self, input_values: Tensor) -> Any:
        """Spectrogram or samples, as the network's feature extractor makes them."""
        return self.results(input_values=input_values)


NETWORKS: dict[str, type[_Network]] = {
    "pixel_values": ImageNetwork,
    "input_ids": TextNetwork,
    "input_features": FeatureNetwork,
    "input_values": ValueNetwork,
}
"""By the network's main input."""
