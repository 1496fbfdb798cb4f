"""The message classes of the Core ML format, without importing coremltools.

``import coremltools`` takes ten seconds, half a gigabyte and prints warnings, because it imports torch and
scikit-learn.  Its generated protocol buffer modules need neither: they are imported here under a package
of their own, from the folder of the installed coremltools.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pocketpress.core.errors import MissingExtraError

_PACKAGE = "_pocketpress_coreml_proto"


@cache
def model_messages() -> Any:
    """Module ``Model_pb2``: the model, its description and its features."""
    return _module("Model_pb2")


@cache
def mil_messages() -> Any:
    """Module ``MIL_pb2``: programs, operations, values and types."""
    return _module("MIL_pb2")


def parse_model(content: bytes) -> Any:
    """Parse a model.

    Raises:
        ValueError: the bytes are no model.
    """
    model = model_messages().Model()
    errors: Any = importlib.import_module("google.protobuf.message")
    try:
        model.ParseFromString(content)
    except errors.DecodeError as error:
        raise ValueError(str(error)) from error
    return model


def _module(name: str) -> Any:
    if _PACKAGE not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError(
                "target coreml needs packages that are not installed",
                got="missing coremltools",
                next_step="run: pip install 'pocketpress[coreml]'",
            )
        spec = importlib.machinery.ModuleSpec(_PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(Path(found.submodule_search_locations[0]) / "proto")]
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{_PACKAGE}.{name}")
