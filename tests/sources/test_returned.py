"""What networks return: dataclasses and mappings are read, and name the outputs; others are refused."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pocketpress.core.errors import SourceError
from pocketpress.sources.pytorch import export_module
from pocketpress.verify.reference import interpret

X = torch.arange(3.0)[None]


@dataclasses.dataclass
class Found:
    scores: Tensor
    loss: Tensor | None
    boxes: Any


class Pair(NamedTuple):
    flow: Tensor
    mask: Tensor


class Attributes(collections.OrderedDict[str, Any]):
    """As configuration libraries have them."""


class Opaque:
    def __init__(self, scores: Tensor) -> None:
        self.scores = scores


class Returning(nn.Module):
    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(x)


RETURNED: dict[str, tuple[Callable[[Tensor], Any], list[str]]] = {
    "dataclass": (lambda x: Found(x * 2, None, x + 1), ["scores", "boxes"]),
    "dataclass-nested": (lambda x: Found(x * 2, None, {"first": x + 1}), ["output_0", "output_1"]),
    "named-tuple": (lambda x: Pair(x * 2, x + 1), ["flow", "mask"]),
    "ordered": (lambda x: collections.OrderedDict(out=x * 2, aux=x + 1), ["out", "aux"]),
    "default": (lambda x: collections.defaultdict(list, out=x * 2, aux=x + 1), ["out", "aux"]),
    "own-mapping": (lambda x: Attributes(out=x * 2, aux=x + 1), ["out", "aux"]),
    "beside-numbers": (lambda x: {"out": x * 2, "stride": 8, "none": None, "aux": x + 1}, ["out", "aux"]),
    "nested": (lambda x: [(x * 2,), {"aux": x + 1}], ["output_0", "output_1"]),
}


@pytest.mark.parametrize(("make", "names"), RETURNED.values(), ids=RETURNED.keys())
def test_fields_and_keys_name_the_outputs(make: Callable[[Tensor], Any], names: list[str]) -> None:
    program = export_module(Returning(make).eval(), (torch.zeros(1, 3),), "net.py:make").program
    found = interpret(program, {program.inputs[0]: X.numpy()})
    assert list(found) == names
    torch.testing.assert_close(torch.from_numpy(found[names[0]]), X * 2)
    torch.testing.assert_close(torch.from_numpy(found[names[1]]), X + 1)


def test_an_object_in_which_nothing_says_where_tensors_are_is_refused() -> None:
    with pytest.raises(
        SourceError, match=r"the network returns a Opaque; allowed: tensors, and tuples.* a dict"
    ):
        export_module(Returning(Opaque).eval(), (X,), "net.py:make")


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize(
    ("network", "where"),
    [
        (torch.jit.trace(Scripted(), X), "the network"),
        (nn.Sequential(torch.jit.script(Scripted()), nn.ReLU()), "0"),
    ],
    ids=["whole", "layer"],
)
def test_torchscript_is_refused_by_the_layers_name(network: nn.Module, where: str) -> None:
    with pytest.raises(SourceError, match=rf"TorchScript cannot be exported: got \['{where}'\]; return the"):
        export_module(network.eval(), (X,), "net.py:make")
