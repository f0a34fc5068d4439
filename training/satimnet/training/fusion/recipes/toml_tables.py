"""Tables of a TOML file, checked key by key: every mistake is an error that names the place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from satimnet.builder.errors import ArgumentError

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", re.ASCII)
_REQUIRED: Any = object()


class TomlTable:
    """A table of the file, key by key; a key that was not asked for is an error in the `end`."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._content = content
        self._asked: list[str] = []

    def require(self, holds: Any, message: str) -> None:
        """Raises `ArgumentError` with the message unless it ``holds``."""
        if not holds:
            raise ArgumentError(f"{self.where}: {message}", "recipe")

    def take(self, key: str, kind: type[T], default: T = _REQUIRED) -> T:
        """The value of a key; an error if it is missing without a default, or of another kind."""
        self._asked.append(key)
        value = self._content.get(key, default)
        self.require(value is not _REQUIRED, f"{key} is missing")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ArgumentError(
                f"{self.where}: {key} = {value!r:.80}: must be {_KINDS[kind]}", "recipe"
            )
        return value

    def name(self, key: str) -> str:
        """A text that may become the name of a folder."""
        value = self.take(key, str)
        self.require(_NAME.fullmatch(value), f"{key} {value!r:.80}: letters, digits, '-', '_', '.'")
        return value

    def number(self, key: str, least: int, default: Any = _REQUIRED) -> Any:
        """A whole number."""
        if key not in self._content and default is not _REQUIRED:
            self._asked.append(key)
            return default
        value = self.take(key, int)
        self.require(least <= value < 2**63, f"{key} = {value}: must be at least {least}")
        return value

    def texts(self, key: str, *, optional: bool = False) -> list[str]:
        """A list of texts."""
        values: list[Any] = self.take(key, list, [] if optional else _REQUIRED)
        self.require(all(isinstance(v, str) for v in values), f"{key}: must be a list of texts")
        self.require(optional or values, f"{key}: name at least one")
        return values

    def tables(self, key: str, *, optional: bool = False) -> list[TomlTable]:
        """An array of tables."""
        rows: list[Any] = self.take(key, list, [] if optional else _REQUIRED)
        self.require(optional or rows, f"[[{key}]]: give at least one")
        self.require(all(isinstance(row, dict) for row in rows), f"{key}: write [[{key}]]")
        return [TomlTable(row, f"{self.where}: [[{key}]] {at}") for at, row in enumerate(rows, 1)]

    def know(self, classes: Sequence[Any], names: Sequence[str]) -> None:
        """Raises `ArgumentError` for the first of the classes that is not among ``names``."""
        for name in classes:
            self.require(
                name in names, f"no class {name!r} under [[classes]]; there are {', '.join(names)}"
            )

    def end(self) -> None:
        """Raises `ArgumentError` if there is a key that was not asked for."""
        unknown = [key for key in self._content if key not in self._asked]
        self.require(
            not unknown, f"unknown: {', '.join(unknown)}; there are {', '.join(self._asked)}"
        )


_KINDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    list: "a list",
    dict: "a table",
}
