"""What differs between two ``collection.json``, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from satimnet.builder.types import Json

_OF_THE_TREE = frozenset(
    {
        *("root", "parent", "self", "child", "item", "items", "collection", "data"),
        *("predecessor-version", "successor-version", "latest-version", "version-history"),
    }
)
"""Relations of links that say where files of a catalog lie, and nothing of the dataset."""

_ELSEWHERE = frozenset({"type", "links", "assets", "outside", "version"})
"""Fields that are not compared as they stand: assets of a Collection are files made of its Items,
``outside`` says where the shards lie, and ``version`` is told by itself."""

_NAMES = ("name", "key", "id", "scheme")
"""What an entry of a list may be known by."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a Collection that differs."""

    field: str
    """Its path, such as ``license`` or ``summaries.classification:classes[River].title``."""
    old: Any
    """The value in JSON's types; None where the field was not there."""
    new: Any
    """The value in JSON's types; None where the field is gone."""


def field_changes(old: Json, new: Json) -> list[FieldChange]:
    """The fields of two Collections that differ, those of the old one first.

    Links count if they say something of the dataset, such as its licence or its home page. Objects
    are compared by field, and lists of named objects, such as class tables and bands, by name.

    Example:
        >>> old = {"license": "MIT", "summaries": {"classification:classes": [
        ...     {"name": "ship", "value": 1}, {"name": "quay", "value": 2}]}, "links": []}
        >>> new = {"license": "MIT", "summaries": {"classification:classes": [
        ...     {"name": "ship", "value": 3}, {"name": "quay", "value": 2}]}, "links": []}
        >>> field_changes(old, new)
        [FieldChange(field='summaries.classification:classes[ship].value', old=1, new=3)]
    """
    return list(_changes("", _said(old), _said(new)))


def _said(document: Json) -> Json:
    said = {key: value for key, value in document.items() if key not in _ELSEWHERE}
    links = [link for link in document["links"] if link["rel"] not in _OF_THE_TREE]
    return said | ({"links": links} if links else {})


def _changes(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if _same(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            inner = f"{path}.{key}" if path else key
            yield from _changes(inner, old.get(key), new.get(key))
        return
    named = _by_name(old), _by_name(new)
    if named[0] is None or named[1] is None:
        yield FieldChange(path, old, new)
        return
    for name in dict.fromkeys((*named[0], *named[1])):
        yield from _changes(f"{path}[{name}]", named[0].get(name), named[1].get(name))
    if sorted(named[0]) == sorted(named[1]) and list(named[0]) != list(named[1]):
        yield FieldChange(f"{path} (order)", list(named[0]), list(named[1]))


def _same(old: Any, new: Any) -> bool:
    """Whether two values are the same in JSON: True is not 1, and null says nothing."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(_same(old.get(key), new.get(key)) for key in {*old, *new})
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) == isinstance(new, bool) and bool(old == new)


def _by_name(value: Any) -> dict[str, Any] | None:
    """The entries of a list by their names; None unless all have one, each another."""
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        return None
    for key in _NAMES:
        named = {entry[key]: entry for entry in value if isinstance(entry.get(key), str)}
        if len(named) == len(value):
            return named
    return None
