"""Class tables of descriptions, as ``dataset.toml`` has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from satimnet.builder.harvest.stated_values import MOST, line, whole
from satimnet.builder.types import Json

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_COLOUR = re.compile(r"[0-9A-Fa-f]{6}")


def class_rows(rows: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Rows with ``name`` and, where they have them, value, title, description and colour.

    A name that cannot be one here, such as ``Sea & lake``, is the title of one that can. Rows
    without a value of their own count on from 1, as 0 is the background.
    """
    found: list[Json] = []
    for row in list(rows)[:MOST]:
        given, title = line(row.get("name"), 200), line(row.get("title"), 200)
        if given is None:
            continue
        name = given if _NAME.fullmatch(given) else re.sub(r"[^A-Za-z0-9]+", "-", given).strip("-")
        if not name or any(other["name"] == name for other in found):
            continue
        entry: Json = {"value": whole(row.get("value")), "name": name}
        if title or name != given:
            entry["title"] = title or given
        if text := line(row.get("description")):
            entry["description"] = text
        colour = row.get("color_hint")
        if isinstance(colour, str) and _COLOUR.fullmatch(colour):
            entry["color_hint"] = colour
        found.append(entry)
    values = [entry["value"] for entry in found]
    if None in values or len(set(values)) < len(values):  # all or none are the publisher's
        for value, entry in enumerate(found, 1):
            entry["value"] = value
    return found
