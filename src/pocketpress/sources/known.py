"""Numbers that a network computes of constants alone stay readable while it is exported.

``torch.export`` hides the values of every tensor, so ``if (std == 0).any()`` or ``size.tolist()`` of tensors
that the network has just made of numbers count as data-dependent.  Here such tensors are computed for real
beside the export, and what reads them in Python gets their values.  The exported graph stays as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

MAX_ELEMENTS = 1 << 20
"""Of a tensor that is computed twice."""
_MAKERS = frozenset(
    {
        torch.tensor, torch.as_tensor, torch.from_numpy, torch.arange, torch.linspace, torch.full,
        torch.zeros, torch.ones, torch.eye, torch.scalar_tensor,
    }
)  # fmt: skip
_READERS = frozenset(
    {
        torch.Tensor.__bool__, torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.__index__,
        torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__contains__, torch.Tensor.equal, torch.equal,
        torch.allclose, torch.Tensor.allclose,
    }
)  # fmt: skip
_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "uniform", "dropout", "empty")


class KnownConstants(TorchFunctionMode):
    """To be active around an export."""

    def __init__(self) -> None:
        super().__init__()
        self._values = WeakTensorKeyDictionary()
        self._plain: tuple[type, ...] = (torch.Tensor, torch.nn.Parameter)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
        if _writes(func, kwargs) and not all(tensor in self._values for tensor in given):
            self._values.clear()  # who shares memory with what is written is not known
            self._plain = ()
        if not (given or func in _MAKERS) or not all(self._is_known(tensor) for tensor in given):
            return func(*args, **kwargs)
        if func is torch.Tensor.__iter__:
            return iter(self.__torch_function__(torch.Tensor.unbind, types, args, kwargs))
        if func in _READERS:
            return self._real(func, args, kwargs)
        values = None if _is_random(func) else self._attempt(func, args, kwargs)
        result = func(*args, **kwargs)
        self._remember(result, values)
        return result

    def _is_known(self, tensor: torch.Tensor) -> bool:
        return tensor in self._values or type(tensor) in self._plain

    def _real(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with _disable_current_modes():
            args, kwargs = tree_map_only(torch.Tensor, self._value, (args, kwargs))
            return func(*args, **kwargs)

    def _value(self, tensor: torch.Tensor) -> Any:
        return self._values.get(tensor, tensor)  # type: ignore[no-untyped-call]

    def _attempt(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return self._real(func, args, kwargs)
        except Exception:  # the export itself says what is wrong with the call
            return None

    def _remember(self, result: Any, values: Any) -> None:
        pairs = itertools.zip_longest(tree_flatten(result)[0], tree_flatten(values)[0])
        for tensor, value in pairs:
            if not isinstance(tensor, torch.Tensor):
                continue
            same = isinstance(value, torch.Tensor) and value.shape == tensor.shape
            if same and value.numel() <= MAX_ELEMENTS:
                self._values[tensor] = value
            elif tensor in self._values:
                del self._values[tensor]


def _writes(func: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call may write into a tensor that it is given."""
    name = str(getattr(func, "__name__", ""))
    in_place = name.endswith("_") and not name.endswith("__")
    return in_place or name.startswith(("__i", "__set")) or "out" in kwargs or bool(kwargs.get("inplace"))


def _is_random(func: Any) -> bool:
    return any(word in str(getattr(func, "__name__", "")) for word in _RANDOM)
