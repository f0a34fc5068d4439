"""The tables of the SatImNet paper, made of what collections say.

Rows and their wording are those of Tables 1 to 3 of https://doi.org/10.3390/rs12203358, and of the
features that it names below them;
``extensions/README.md`` says which STAC field carries which attribute. Values come from the
``collection.json`` alone, so the tables of a catalog on the web cost a request for each collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import BadCatalogError
from satimnet.builder.exports.attributes import Attribute
from satimnet.builder.exports.dataset_attributes import ADDITIONAL, SCOPE, USAGE
from satimnet.builder.exports.image_attributes import INTRINSIC

UNKNOWN = "-"
"""What stands in a cell whose attribute is not known."""

_WIDE = 60  # longer text is written below the table, as the paper does

_TABLES = (
    ("Attributes related to the scope of the training data", SCOPE),
    ("Attributes related to the usage and sustainability of the training data", USAGE),
    ("Intrinsic image attributes", INTRINSIC),
    ("Additional informative features", ADDITIONAL),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of an attribute for one collection."""

    text: str
    note: str = ""
    """What belongs to the value and is too long for a table."""
    sources: tuple[str, ...] = ()
    """Where the value comes from, if it was added to the paper's or differs from it."""


@dataclass(frozen=True, slots=True)
class AttributeRow:
    """An attribute with a cell for each column of its table."""

    attribute: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """One of the paper's tables: attributes down, collections across."""

    title: str
    columns: tuple[str, ...]
    """Titles of the collections."""
    rows: tuple[AttributeRow, ...]

    def printed(self) -> tuple[list[tuple[str, ...]], list[str]]:
        """Rows of strings, attribute first, and the lines that belong below the table.

        An asterisk marks values that do not stand in the paper, ``(n)`` refers to a line below.
        """
        rows, sources = [], []
        notes: dict[str, int] = {}
        for row in self.rows:
            line = [row.attribute]
            for column, cell in zip(self.columns, row.cells, strict=True):
                wide = len(cell.text) > _WIDE
                remark = "; ".join(filter(None, (cell.text if wide else "", cell.note)))
                number = f"({notes.setdefault(remark, len(notes) + 1)})" if remark else ""
                mark = "*" if cell.sources else ""
                line.append(f"{number}{mark}" if wide else f"{cell.text}{mark} {number}".strip())
                if cell.sources:
                    sources.append(f"* {column}, {row.attribute}: {'; '.join(cell.sources)}")
            rows.append(tuple(line))
        return rows, [*(f"({number}) {remark}" for remark, number in notes.items()), *sources]


def tables(collections: Sequence[CollectionDocument]) -> list[AttributeTable]:
    """The paper's tables, a column for each of the collections.

    Raises:
        BadCatalogError: a ``satimnet:`` field of a collection is not what its schema asks for.
    """
    columns = tuple(_clean(collection.title) for collection in collections)
    made = []
    for title, attributes in _TABLES:
        rows = [
            AttributeRow(attribute.name, tuple(_cell(c, attribute) for c in collections))
            for attribute in attributes
        ]
        made.append(AttributeTable(title, columns, tuple(row for row in rows if _is_shown(row))))
    return made


def open_attributes(collections: Sequence[CollectionDocument]) -> dict[str, list[str]]:
    """The attributes of the paper's tables that a collection does not state, by its id.

    Of a collection that says what cannot be none are named.
    """
    found: dict[str, list[str]] = {}
    for collection in collections:
        try:
            rows = [row for table in tables([collection]) for row in table.rows]
        except BadCatalogError:
            continue
        found[collection.id] = [row.attribute for row in rows if row.cells[0].text == UNKNOWN]
    return found


def as_markdown(tables: Iterable[AttributeTable]) -> str:
    """The tables in Markdown, each with its notes and sources below."""
    parts = []
    for table in tables:
        rows, remarks = table.printed()
        lines = [("", *table.columns), *rows]
        cells = ["| " + " | ".join(map(_escaped, line)) + " |" for line in lines]
        cells.insert(1, "|" + " --- |" * len(lines[0]))
        notes = [f"{_escaped(remark)}  " for remark in remarks]
        parts.append("\n".join([f"### {table.title}", "", *cells, "", *notes]).rstrip())
    return "\n\n".join(parts) + "\n"


def as_json(tables: Iterable[AttributeTable]) -> list[dict[str, Any]]:
    """The tables as JSON values.

    By attribute and title of the collection: ``value``, which is null where nothing is known, and
    ``note`` and ``sources`` where there are any.
    """
    return [
        {
            "title": table.title,
            "collections": list(table.columns),
            "attributes": {
                row.attribute: {
                    column: _json_of(cell)
                    for column, cell in zip(table.columns, row.cells, strict=True)
                }
                for row in table.rows
            },
        }
        for table in tables
    ]


def _json_of(cell: Cell) -> dict[str, Any]:
    content: dict[str, Any] = {"value": None if cell.text == UNKNOWN else cell.text}
    if cell.note:
        content["note"] = cell.note
    if cell.sources:
        content["sources"] = list(cell.sources)
    return content


def _cell(collection: CollectionDocument, attribute: Attribute) -> Cell:
    try:
        found = attribute.value(collection)
        text, *remarks = found if isinstance(found, tuple) else (found,)
        notes = collection.json.get("satimnet:attribute_notes", {})
        remarks += [str(notes[key]) for key in attribute.fields if key in notes]
        if not text:  # all that is known may be words
            text = "; ".join(filter(None, remarks))
            remarks = []
        if not text:
            return Cell(UNKNOWN)
        note = "; ".join(filter(None, remarks))
        origins = collection.json.get("satimnet:attribute_sources", {})
        sources = tuple(_clean(str(origins[key])) for key in attribute.fields if key in origins)
        return Cell(_clean(text), _clean(note), tuple(dict.fromkeys(sources)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadCatalogError(
            f"{collection.id}: {attribute.name} cannot be read from its Collection "
            f"({error}); validate the catalog"
        ) from error


def _is_shown(row: AttributeRow) -> bool:
    # The paper defines it and has no row for it, as no dataset of its time said anything.
    return row.attribute != "Temporal resolution" or any(c.text != UNKNOWN for c in row.cells)


def _clean(text: str) -> str:
    """Text on one line, without what a terminal would take for orders."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*<`\[\]])", r"\\\1", text)
