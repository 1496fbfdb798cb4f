"""Tensors that must share one scale and zero point, as disjoint sets."""

from __future__ import annotations

from collections.abc import Iterable


class Groups:
    """Union-find over tensor names; the representative is the first name added."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def find(self, name: str) -> str:
        """Representative of the set that holds ``name``."""
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def union(self, first: str, second: str) -> str:
        """Join two sets; returns the representative."""
        a, b = self.find(first), self.find(second)
        self._parent[b] = a
        return a

    def members(self) -> dict[str, list[str]]:
        """Representative -> names."""
        found: dict[str, list[str]] = {}
        for name in self._parent:
            found.setdefault(self.find(name), []).append(name)
        return found
