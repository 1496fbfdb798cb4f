"""How much a file may make its reader compute: a few bytes can ask for any number of operations.

While a network is built its steps run once, constants among them, before anybody has looked at their sizes.
Every PyTorch operator is first asked for the shape of its result on the ``meta`` device, which neither
allocates nor computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.flop_counter import flop_registry

from pocketpress.core.errors import UnsupportedError

MAX_RESULT = 1 << 28
"""Elements of one result: a gigabyte of float32."""
MAX_WORK = 1 << 42
"""Floating-point operations of products, and written elements, of one run: some minutes of one core."""
MAX_CONSTANT_WORK = 1 << 36
"""Of all that does not depend on the network's inputs: seconds."""


class Budget(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, operators whose results are too large, or one too many, are refused before they run.

    Args:
        what: is computed, for messages.
        work: operations, in all.
        result: elements of one result.

    Raises:
        UnsupportedError: at the operator that goes beyond.
    """

    def __init__(self, what: str, work: int, result: int = MAX_RESULT) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.what, self.work, self.left, self.result = what, work, work, result

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Ask, pay, run."""
        given = dict(kwargs or {})
        shaped = _shapes(func, args, given)
        if shaped is not None:
            self._pay(func, args, given, shaped)
        return func(*args, **given)

    def _pay(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], shaped: Any) -> None:
        made = [value for value in tree_flatten(shaped)[0] if isinstance(value, Tensor)]
        elements = sum(value.numel() for value in made)
        stored = 0 if func.is_view else elements
        if stored > self.result:
            raise UnsupportedError(
                "a result is too large", got=f"{elements} elements", allowed=f"{self.result} elements"
            )
        count = flop_registry.get(func.overloadpacket)
        flops = stored if count is None else int(count(*args, **kwargs, out_val=made[0] if made else None))
        self.left -= flops
        if self.left < 0:
            raise UnsupportedError(
                f"{self.what} takes too much work", allowed=f"{self.work} operations in all"
            )


def _shapes(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Results without numbers; None where their sizes depend on numbers, or the operator cannot say."""
    if func.is_view:
        return None
    move: Callable[[Tensor], Tensor] = _without_numbers
    moved, named = tree_map_only(Tensor, move, (tuple(args), dict(kwargs)))
    if "device" in named:
        named["device"] = torch.device("meta")
    try:
        with torch._C._DisableTorchDispatch():
            return func(*moved, **named)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError):
        return None  # it says so itself where it is wrong; the size of what is left is bounded by its inputs


def _without_numbers(value: Tensor) -> Tensor:
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
