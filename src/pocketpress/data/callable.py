"""Samples from the user's function: ``module:function`` or ``path/to/file.py:function``.

The function takes no arguments and returns, or yields, samples: arrays, ``(x, y)`` tuples, or dicts of one
array per input name with an optional ``y``.  It is called again for every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketpress.core.errors import DataError, PocketpressError
from pocketpress.core.program.ir import Array
from pocketpress.data.dataset import RawSample
from pocketpress.data.user_code import find_function, line_of, reason


@dataclass(frozen=True)
class CallableReader:
    """Samples of one function.

    Attributes:
        spec: as the user named it.
        function: called without arguments for every pass.
        labelled: whether the first sample has a target.
        size: number of samples when the function returns a sequence, else None.
    """

    spec: str
    function: Callable[[], Any]
    labelled: bool
    size: int | None
    skipped: tuple[tuple[str, str], ...] = ()

    def read(self, indices: Sequence[int] | None) -> Iterator[RawSample]:
        """Call the function and read what it gives."""
        result = _call(self.spec, self.function)
        if indices is not None and isinstance(result, Sequence):
            for index in indices:
                yield self._checked(result[index], index)
            return
        wanted = None if indices is None else set(indices)
        for index, item in enumerate(_guarded(self.spec, result)):
            if wanted is None or index in wanted:
                yield self._checked(item, index)
                if wanted is not None:
                    wanted.discard(index)
                    if not wanted:
                        return

    def _checked(self, item: Any, index: int) -> RawSample:
        raw = _raw(item, f"{self.spec} sample {index}")
        if (raw.target is not None) != self.labelled:
            raise DataError(
                f"{raw.where}: some samples have targets and some do not",
                allowed="a target for all or for none",
            )
        return raw


def open_callable(spec: str) -> CallableReader:
    """Import the function and look at its first sample.

    Raises:
        DataError: it cannot be imported, raises, or gives no samples.
    """
    function = find_function(spec, DataError)
    result = _call(spec, function)
    size = len(result) if isinstance(result, Sized) else None
    first = next(iter(_guarded(spec, result)), None)
    if first is None:
        raise DataError(f"{spec} gives no samples", allowed="at least 1")
    return CallableReader(spec, function, _raw(first, f"{spec} sample 0").target is not None, size)


def _call(spec: str, function: Callable[[], Any]) -> Iterable[Any]:
    try:
        result = function()
    except PocketpressError:
        raise
    except Exception as error:
        raise _failed(spec, error) from error
    if isinstance(result, (Mapping, str, bytes)) or not isinstance(result, Iterable):
        raise DataError(
            f"{spec} does not give samples",
            got=type(result).__name__,
            allowed="an iterable of arrays, (x, y) tuples or dicts",
        )
    return result


def _guarded(spec: str, result: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from result
    except PocketpressError:
        raise
    except Exception as error:
        raise _failed(spec, error) from error


def _failed(spec: str, error: Exception) -> DataError:
    return DataError(f"{spec} failed", got=reason(error), next_step=f"see {line_of(error)}")


def _raw(item: Any, where: str) -> RawSample:
    if isinstance(item, Mapping):
        named = {str(key): _array(value, where) for key, value in item.items()}
        target = named.pop("y", None)
        return RawSample(where, named["x"] if set(named) == {"x"} else named, target)
    if isinstance(item, tuple):
        if len(item) != 2:
            raise DataError(f"{where}: a tuple of another length", got=len(item), allowed="(x, y)")
        x, y = item
        raw = _raw(x, where) if isinstance(x, Mapping) else RawSample(where, _array(x, where))
        return RawSample(where, raw.inputs, None if y is None else _array(y, where))
    return RawSample(where, _array(item, where))


def _array(value: Any, where: str) -> Array:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except Exception as error:
        raise DataError(f"{where}: not an array", got=reason(error), allowed="a NumPy array") from error
    if array.dtype == object:
        raise DataError(
            f"{where}: not an array of numbers", got=type(value).__name__, allowed="a NumPy array"
        )
    return array
