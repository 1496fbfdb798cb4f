"""A network's configuration out of an untrusted file: everything is named by our tables, or refused."""

from __future__ import annotations

import json
from typing import Any

from pocketpress.core.errors import BlockedError, Blocker, SourceError, UnsupportedError, compose
from pocketpress.sources.keras.classes import (
    ACTIVATIONS,
    LAYERS,
    LITERAL_DTYPES,
    LITERALS,
    MODELS,
    OPERATIONS,
    OWNERS,
    REFUSED,
    RENAMED,
)
from pocketpress.sources.keras.repairs import UNSET, Config, repaired

MAX_BYTES = 64 << 20
MAX_OBJECTS = 100_000
OBJECTS = {**dict.fromkeys(LAYERS, "keras.layers"), **MODELS}
STRUCTURE = ("name", "inbound_nodes", "build_config", "shared_object_id")
"""Keys beside ``class_name`` and ``config`` that say how objects are joined."""


def read_config(text: bytes | str, where: str) -> Config:
    """Parse, check and repair the configuration of a whole network.

    Args:
        text: JSON.
        where: names the file in errors.

    Raises:
        SourceError: not a network's configuration, or too large.
        BlockedError: objects in it are not Keras' own, or not supported; all of them.
        UnsupportedError: the network is of a class of its own.
    """
    if len(text) > MAX_BYTES:
        raise SourceError(f"{where}: the configuration is too large", got=len(text), allowed=MAX_BYTES)
    try:
        parsed = json.loads(text)
        name = parsed.get("class_name") if isinstance(parsed, dict) else None
        if not isinstance(name, str) or name not in MODELS:
            raise _unknown_network(name, where)
        cleaner = _Cleaner(where)
        found: Config = cleaner.object(parsed)
        if cleaner.blockers:
            raise BlockedError(cleaner.blockers)
        return found
    except RecursionError as error:
        raise SourceError(f"{where}: the configuration is nested too deeply") from error
    except ValueError as error:
        raise SourceError(f"{where}: the configuration is not JSON", got=str(error)[:100]) from error


def _unknown_network(name: Any, where: str) -> SourceError | UnsupportedError:
    if not isinstance(name, str):
        return SourceError(f"{where} holds no configuration of a network", next_step="save the whole model")
    return UnsupportedError(
        f"{where} holds a network of a class of its own",
        got=name[:80],
        allowed=sorted(MODELS),
        next_step="save a functional or sequential model of Keras layers",
    )


class _Cleaner:
    """One walk over one configuration; counts objects."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._objects = 0
        self.blockers: list[Blocker] = []

    def value(self, value: Any) -> Any:
        """Anything: containers are walked, objects checked."""
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "class_name" in value:
            return self.object(value)
        return {key: self.value(item) for key, item in value.items()}

    def object(self, found: Config) -> Any:
        """A dict with a ``class_name``: rebuilt with a module from our tables."""
        self._objects += 1
        if self._objects > MAX_OBJECTS:
            raise SourceError(f"{self._where} has too many objects", allowed=MAX_OBJECTS)
        name = found["class_name"]
        if not isinstance(name, str):
            raise SourceError(f"{self._where}: a class name is not text", got=type(name).__name__)
        if name == "function":
            return self._function(found)
        if name == "__tuple__":
            return self.value(found.get("items"))
        if name in LITERALS:
            return self._literal(found)
        try:
            self._check_owner(found)
            return self._instance(name, found)
        except UnsupportedError as error:
            self._block(name, found, error)
            return None

    def _block(self, name: str, found: Config, error: UnsupportedError) -> None:
        config = found.get("config")
        own = config.get("name") if isinstance(config, dict) else None
        where = f"{self._where}, {own}" if isinstance(own, str) else self._where
        reason = compose(error.what.removeprefix(f"{self._where} has "), error.got, error.allowed, None)
        self.blockers.append(Blocker(where[:200], name[:80], reason, error.next_step or ""))

    def _instance(self, name: str, found: Config) -> Config:
        operation = ".ops" in str(found.get("module") or "")
        module = self._module(name, operation, found)
        config = found.get("config")
        if name == "Sequential" and isinstance(config, list):  # before Keras 2.2.3
            config = {"name": "sequential", "layers": config}
        if not isinstance(config, dict):
            raise SourceError(f"{self._where}: {name} has no configuration", got=type(config).__name__)
        plain = repaired(name, config)
        entries = {key: self._entry(key, value) for key, value in plain.items()}
        cleaned: Config = {
            "module": module,
            "class_name": RENAMED.get(name, name),
            "config": entries,
            "registered_name": name if operation else None,
        }
        cleaned.update({key: self.value(found[key]) for key in STRUCTURE if key in found})
        if name in LAYERS or name in MODELS:
            cleaned.setdefault("name", entries.get("name"))
        return cleaned

    def _entry(self, key: str, value: Any) -> Any:
        if value is UNSET:
            return value
        if key == "activation" and isinstance(value, str) and value not in ACTIVATIONS:
            raise self._refusal("activation", value, "it is none of Keras' own")
        return self.value(value)

    def _module(self, name: str, operation: bool, found: Config) -> str:
        table = OPERATIONS if operation else OBJECTS
        if name not in table:
            kind = "operation" if operation else "layer"
            raise self._refusal(kind, name, REFUSED.get(name, "it is none that is supported"))
        return table[name]

    def _check_owner(self, found: Config) -> None:
        """Classes of other packages, or registered by the user, would need their code."""
        module, registered = found.get("module"), found.get("registered_name")
        name = found["class_name"]
        owned = module is None or any(str(module) == o or str(module).startswith(f"{o}.") for o in OWNERS)
        if not owned or registered not in (None, name):
            raise self._refusal(
                "object", f"{module}.{name}" if not owned else str(registered), "it needs code of its own"
            )

    def _function(self, found: Config) -> str:
        name = found.get("config")
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise self._refusal("function", str(name), "it is none of Keras' own activations")
        return name

    def _literal(self, found: Config) -> Config:
        config = found.get("config")
        dtype = config.get("dtype") if isinstance(config, dict) else None
        if dtype is not None and dtype not in LITERAL_DTYPES:
            raise SourceError(f"{self._where}: a value has a type that is not a number", got=str(dtype)[:80])
        return {key: self.value(item) for key, item in found.items()}

    def _refusal(self, kind: str, name: str, why: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self._where} has a {kind} that cannot be read", got=name[:80], next_step=why
        )
