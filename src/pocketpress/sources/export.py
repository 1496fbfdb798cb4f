"""A live network as a graph of ATen operators, by ``torch.export``."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.modules import transformer
from torch.overrides import TorchFunctionMode

from pocketpress.core.errors import SourceError, UnsupportedError
from pocketpress.sources.factory import line_of_user, reason, user_line
from pocketpress.sources.known import KnownConstants
from pocketpress.sources.returned import make_known


def export(module: torch.nn.Module, examples: tuple[Any, ...], spec: str) -> torch.export.ExportedProgram:
    """Export a network in evaluation mode.

    Raises:
        SourceError: it fails on its inputs, or cannot be exported; with the line of the user's code.
        UnsupportedError: it uses something that no program has.
    """
    try:
        with torch.no_grad():
            returned = module(*examples)
    except Exception as error:
        shapes = ", ".join(str(tuple(e.shape)) for e in examples)
        raise SourceError(
            f"the network fails on its example input of shape {shapes}",
            got=reason(error),
            next_step=f"fix {line}" if (line := line_of_user(error)) else "see the traceback (-v)",
        ) from error
    make_known(returned)
    try:
        # torch prints the whole graph on stderr when a guard fails; the error below says what matters
        quiet = contextlib.redirect_stderr(io.StringIO())
        seen = _masks_as_given(), _WhatAnExportMisses(), KnownConstants()
        with torch.no_grad(), quiet, warnings.catch_warnings(), seen[0], seen[1], seen[2]:
            warnings.filterwarnings("ignore", "The tensor attributes .*_flat_weights")  # torch.nn.RNN's own
            return torch.export.export(module, examples)
    except UnsupportedError as error:
        raise UnsupportedError(f"{user_line(error)}: {error.what}", next_step=error.next_step) from error
    except Exception as error:
        data_dependent = (
            "data-dependent" in str(error).lower() or "GuardOnDataDependent" in type(error).__name__
        )
        if data_dependent:
            raise SourceError(
                f"{user_line(error)}: data-dependent control flow cannot be exported",
                next_step="replace the branch on tensor values by torch.where",
            ) from error
        compiled = [name or "the network" for name, m in module.named_modules() if _is_script(m)]
        if compiled:
            raise SourceError(
                "TorchScript cannot be exported",
                got=compiled[:3],
                next_step="return the network as it is before torch.jit.script or torch.jit.trace",
            ) from error
        line = line_of_user(error)
        raise SourceError(
            f"{line}: the network cannot be exported" if line else "the network cannot be exported",
            got=reason(error),
            next_step="rewrite that line" if line else "see the traceback (-v)",
        ) from error


def _is_script(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


class _WhatAnExportMisses(TorchFunctionMode):
    """``x.data`` is ``x.detach()``, which is the same memory, and packed sequences are refused by name.

    (An export does not see the first; a strict one sees a new constant, and loses what is written into it.)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
            return args[0].detach()
        if getattr(func, "__name__", "") == "_pack_padded_sequence":
            raise UnsupportedError(
                "packed sequences are not supported",
                next_step="give the recurrent layer the padded sequence itself, of one length",
            )
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _masks_as_given() -> Iterator[None]:
    """Masks of `torch.nn.Transformer` are added to the scores, whatever is in them.

    It looks whether a mask is the causal one, to choose a kernel; values are not known in an export.
    """
    own = transformer._detect_is_causal_mask
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: is_causal is True
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = own
