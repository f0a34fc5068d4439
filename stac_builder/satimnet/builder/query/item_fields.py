"""The fields of Items that are returned, as in the STAC API's extension ``fields``.

https://github.com/stac-api-extensions/fields
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.errors import TooLargeError
from satimnet.builder.types import Json

_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields are kept: those of ``base`` and ``include``, but none of ``exclude``."""

    base: tuple[str, ...] | None  # None: everything
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


# What is returned where nobody says what, and what comes with whatever else was asked for, so that
# one can tell the Items apart. https://github.com/stac-api-extensions/fields#includeexclude-semantics
_DEFAULT_FIELDS = (
    *("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"),
    *("properties.datetime", "properties.start_datetime", "properties.end_datetime"),
)
_ALWAYS_FIELDS = _DEFAULT_FIELDS[:4]
_TOP_LEVEL = {path.partition(".")[0] for path in _DEFAULT_FIELDS} | {"stac_extensions"}


def fields_of(
    fields: str | Sequence[str] | Mapping[str, Sequence[str] | None] | None,
) -> Fields:
    """Reads what `search` takes as ``fields``; raises `TooLargeError` if they are too many."""
    if fields is None:
        return Fields(None)
    if isinstance(fields, Mapping):
        include, exclude = fields.get("include") or (), fields.get("exclude") or ()
        everything = bool(exclude) and "include" not in fields  # an empty one is another matter
    else:
        names = fields.split(",") if isinstance(fields, str) else fields
        names = [name.strip() for name in names]  # where a URL had a plus there is a space
        include = [name.lstrip("+") for name in names if name and not name.startswith("-")]
        exclude = [name[1:] for name in names if name.startswith("-")]
        everything = False
    if len(include) + len(exclude) > _MOST_FIELDS:
        raise TooLargeError(f"fields has more than {_MOST_FIELDS} names")
    base = None if everything else _ALWAYS_FIELDS if include else _DEFAULT_FIELDS
    return Fields(base, tuple(map(_path, include)), tuple(map(_path, exclude)))


def _path(name: str) -> str:
    """The path of a field; a property may be named without ``properties.``."""
    return name if name.partition(".")[0] in _TOP_LEVEL else f"properties.{name}"


def picked(item: Json, fields: Fields) -> Json:
    """The Item with these fields; a longer path beats a shorter one, and inclusion exclusion."""
    excluded = [path for path in fields.exclude if path not in fields.include]
    again = [i for i in fields.include if any(i.startswith(f"{e}.") for e in excluded)]
    whole = copy.deepcopy(item) if again else item
    kept = item
    if fields.base is not None:
        kept = {}
        for path in (*fields.base, *fields.include):
            _copy(item, kept, path)
    for path in excluded:
        _remove(kept, path)
    for path in again:
        _copy(whole, kept, path)
    return kept


def _step(node: Mapping[str, Any], path: str) -> tuple[str, str]:
    """The key that a path starts with and what follows; a key may itself have dots."""
    if path in node:
        return path, ""
    key, _, rest = path.partition(".")
    return key, rest


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: str) -> None:
    key, rest = _step(source, path)
    if key not in source:
        return
    if not rest:
        target[key] = source[key]
    elif isinstance(source[key], dict):
        _copy(source[key], target.setdefault(key, {}), rest)


def _remove(node: dict[str, Any], path: str) -> None:
    key, rest = _step(node, path)
    if not rest:
        node.pop(key, None)
    elif isinstance(node.get(key), dict):
        _remove(node[key], rest)
