"""An attribute of the paper: its name, the STAC fields that carry it, and how its value is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from satimnet.builder.catalog.collection_document import CollectionDocument

Value = str | tuple[str, str]
"""What stands in a cell (empty where nothing is known), or that and a note for below the table."""
ValueOf = Callable[[CollectionDocument], Value]


class Attribute(NamedTuple):
    """A row that the paper's tables have."""

    name: str
    fields: tuple[str, ...]
    """The STAC fields that carry it, by which ``satimnet:attribute_sources`` names sources."""
    value: ValueOf


def words(field: str) -> ValueOf:
    """Reads a top-level field as it stands."""
    return lambda collection: str(collection.json.get(field, ""))


def yes_or_no(field: str) -> ValueOf:
    """Reads a top-level field that is true or false."""
    return lambda collection: either(collection.json.get(field), "yes", "no")


def either(value: Any, if_true: str, if_false: str) -> str:
    """One of the two texts; empty if the value is neither true nor false."""
    return {True: if_true, False: if_false}.get(value, "")


def product(collection: CollectionDocument) -> str:
    """Satellites and processing level as product names have them: ``Sentinel-2 L1C``."""
    names = collection.summary("constellation") or collection.summary("platform")
    own = str(collection.json.get("satimnet:original_imagery", ""))  # knows how a name is written
    parts = [", ".join(own if name == own.lower() else name.title() for name in names)]
    parts.append(", ".join(collection.summary("processing:level")))
    return " ".join(filter(None, parts))
