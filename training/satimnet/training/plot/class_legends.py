"""Class legends: titles and colours of classes, as the table of their collection has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from satimnet.builder.catalog.collection_document import CollectionDocument, LabelClass
from satimnet.builder.errors import printable
from satimnet.builder.imagery.colours import Colour, class_colours

_HEXADECIMAL = re.compile("[0-9A-Fa-f]{6}")


@dataclass(frozen=True)
class LegendEntry:
    """Title and colour of a class."""

    title: str
    colour: Colour


def by_name(document: CollectionDocument) -> Mapping[str, LegendEntry]:
    """The classes of samples and objects, by name."""
    rows = document.classes
    return dict(zip((row.name for row in rows), _entries(rows), strict=True))


def by_value(document: CollectionDocument) -> Mapping[int, LegendEntry]:
    """The classes of pixels, by their value in masks; without the background, which is 0."""
    own = next((mask.classes for mask in document.masks if mask.classes is not None), None)
    rows = own or document.classes
    found = zip((row.value for row in rows), _entries(rows), strict=True)
    return {value: entry for value, entry in found if value}


def _entries(rows: Iterable[LabelClass]) -> list[LegendEntry]:
    rows = list(rows)
    hints = [row.color_hint for row in rows]
    colours = class_colours(
        [hint if hint and _HEXADECIMAL.fullmatch(hint) else None for hint in hints]
    )
    titles = (printable(row.label) for row in rows)
    return [LegendEntry(*pair) for pair in zip(titles, colours, strict=True)]
