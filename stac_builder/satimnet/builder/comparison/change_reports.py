"""What differs between two versions, worded: as text, as Markdown, as JSON.

Ids, classes and values come from catalogs and may be anything: here they are one line each, without
what a terminal would take for orders, and not longer than a reader would read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from satimnet.builder.comparison.comparing import Changed, CollectionDiff, Diff, RelabelledItem
from satimnet.builder.errors import printable
from satimnet.builder.types import Json

_LONGEST_WORD = 80  # characters of an id or a class
_LONGEST_VALUE = 160  # characters of a field's value in text
_LONGEST_FIELD = 1000  # characters of the path of a field in JSON
_LONGEST_JSON = 5000  # the same in JSON

_MOST_NAMES = 100  # properties in text

_KINDS = (
    ("added", "added"),
    ("removed", "removed"),
    ("relabelled", "relabelled"),
    ("pixels", "pixels changed"),
    ("split", "split changed"),
    ("properties", "other properties changed"),
    ("moved", "moved only (no difference)"),
    ("unknown", "without checksums, not compared"),
)
_Row = tuple[str, str, str]


def as_text(diff: Diff, most: int = 20) -> str:
    """The differences in lines, for people; ``most`` fields of a Collection are shown."""
    lines = list(_head(diff, _word))
    for collection in diff.collections:
        rows = list(_rows(collection, _word))
        fields = list(_fields(collection, most, _value))
        if not rows and not fields:
            continue
        lines += ["", _title(collection, _word)]
        wide = max((len(row[0]) for row in rows), default=0)
        number = max((len(row[1]) for row in rows), default=0)
        lines += [
            f"  {kind:{wide}}  {count:>{number}}  {ids}".rstrip() for kind, count, ids in rows
        ]
        lines += [f"  {field}: {old} → {new}" for field, old, new in fields]
    return "\n".join(lines).strip("\n")


def as_markdown(diff: Diff, most: int = 20) -> str:
    """The differences in Markdown, for release notes; ``most`` as in `as_text`."""

    def word(text: str) -> str:
        return _escaped(_word(text))

    parts = ["\n\n".join(_head(diff, word))]
    for collection in diff.collections:
        rows = [(kind, count, ids or "") for kind, count, ids in _rows(collection, word)]
        fields = list(_fields(collection, most, lambda value: _escaped(_value(value))))
        if not rows and not fields:
            continue
        parts.append(f"## {_title(collection, word)}")
        if rows:
            parts.append(_table(("Items", "number", "which"), rows))
        if fields:
            named = [(_escaped(field), old, new) for field, old, new in fields]
            parts.append(_table(("field of the Collection", "old", "new"), named))
    return "\n\n".join(part for part in parts if part)


def as_json(diff: Diff, most: int = 20) -> Json:
    """The differences as JSON values; ``most`` as in `as_text`.

    Values of fields with more than 5,000 characters are cut to a text.
    """
    return {
        "old": diff.old,
        "new": diff.new,
        "differs": diff.differs,
        "added": list(diff.added),
        "removed": list(diff.removed),
        "collections": [_json_of(collection, most) for collection in diff.collections],
    }


def _json_of(collection: CollectionDiff, most: int) -> Json:
    def changed(found: Changed) -> Json:
        return {"count": found.count, "ids": list(found.ids)}

    relabelled = [
        {
            "id": item.id,
            "old_id": item.old_id,
            "old_classes": list(item.old_classes),
            "classes": list(item.classes),
        }
        for item in collection.relabelled.items
    ]
    return {
        "id": collection.id,
        "differs": collection.differs,
        "old": {
            "href": collection.old,
            "version": collection.old_version,
            "items": collection.old_items,
        },
        "new": {
            "href": collection.new,
            "version": collection.new_version,
            "items": collection.new_items,
        },
        "items": {
            "added": changed(collection.added),
            "removed": changed(collection.removed),
            "relabelled": {"count": collection.relabelled.count, "items": relabelled},
            "pixels": changed(collection.pixels),
            "split": changed(collection.split),
            "properties": changed(collection.properties)
            | {"by_name": collection.properties_by_name},
            "moved": changed(collection.moved),
            "unknown": changed(collection.unknown),
        },
        "fields": {
            "count": len(collection.fields),
            "changes": [
                {
                    "field": _cut(change.field, _LONGEST_FIELD),
                    "old": _bounded(change.old),
                    "new": _bounded(change.new),
                }
                for change in collection.fields[:most]
            ],
        },
    }


# --- lines --------------------------------------------------------------------------------------


def _head(diff: Diff, word: Callable[[str], str]) -> Iterator[str]:
    if not diff.differs:
        yield f"No differences in {_counted(len(diff.collections), 'collection')}."
    if diff.added:
        yield f"Collections added: {', '.join(map(word, diff.added))}"
    if diff.removed:
        yield f"Collections removed: {', '.join(map(word, diff.removed))}"


def _title(collection: CollectionDiff, word: Callable[[str], str]) -> str:
    versions = [collection.old_version, collection.new_version]
    known = [word(version or "none") for version in versions] if any(versions) else []
    told = f", version {' → '.join(known)}" if known and known[0] != known[1] else ""
    items = f"{collection.old_items:,} → {_counted(collection.new_items, 'Item')}"
    return f"{word(collection.id)}: {items}{told}"


def _rows(collection: CollectionDiff, word: Callable[[str], str]) -> Iterator[_Row]:
    """A row for each kind of change that there is: its name, how many Items, the first of them."""
    for kind, title in _KINDS:
        found = getattr(collection, kind)
        if not found.count:
            continue
        if kind == "relabelled":
            named = [_relabelled(item, word) for item in found.items]
        else:
            named = [word(id) for id in found.ids]
        yield title, f"{found.count:,}", _list(named, found.count)
        if kind == "properties":
            for name, count in sorted(collection.properties_by_name.items())[:_MOST_NAMES]:
                yield "", f"{count:,}", f"of them {word(name)}"


def _relabelled(item: RelabelledItem, word: Callable[[str], str]) -> str:
    id = word(item.id) if item.id == item.old_id else f"{word(item.old_id)} → {word(item.id)}"
    if set(item.old_classes) == set(item.classes):
        return f"{id} (objects or mask)"
    old, new = (
        ", ".join(map(word, classes[:5])) + (", …" if len(classes) > 5 else "")
        for classes in (item.old_classes, item.classes)
    )
    return f"{id} ({old or 'none'} → {new or 'none'})"


def _list(named: Sequence[str], count: int) -> str:
    rest = count - len(named)
    more = [f"{rest:,} more"] if rest and named else []
    return ", ".join([*named, *more])


def _fields(
    collection: CollectionDiff, most: int, value: Callable[[Any], str]
) -> Iterator[tuple[str, str, str]]:
    for change in collection.fields[:most]:
        yield _word(change.field), value(change.old), value(change.new)
    rest = len(collection.fields) - most
    if rest > 0 and most:
        yield f"{rest:,} more fields", "…", "…"
    elif rest > 0:
        yield f"{_counted(rest, 'field')} of the Collection", "…", "…"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# --- foreign text -------------------------------------------------------------------------------


def _word(text: str) -> str:
    return printable(_cut(text, _LONGEST_WORD))


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return printable(_cut(json.dumps(value, ensure_ascii=False), _LONGEST_VALUE))


def _bounded(value: Any) -> Any:
    """The value, or the beginning of its JSON where that is too long."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= _LONGEST_JSON else _cut(text, _LONGEST_JSON)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _escaped(text: str) -> str:
    """The text in Markdown: no table, emphasis, link, code or HTML of its own."""
    return re.sub(r"([\\`*_\[\]<>&|#~])", r"\\\1", text)
