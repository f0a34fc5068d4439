"""Legends of maps: which values stand for which classes, and in which colours they are drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError
from satimnet.builder.imagery.colours import Colour, class_colours
from satimnet.training.networks.outputs import Output

_MOST = 255


@dataclass(frozen=True)
class Entry:
    """A class in a map."""

    value: int
    name: str
    title: str
    colour: Colour


@dataclass(frozen=True)
class Legend:
    """The classes of a map in the order of the network's logits; what unobserved pixels are."""

    entries: tuple[Entry, ...]
    nodata: int

    @property
    def values(self) -> NDArray[np.uint8]:
        """Values by index of the logits."""
        return np.array([entry.value for entry in self.entries], np.uint8)

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Rows of `classification:classes`, the last one for pixels without an observation.

        https://github.com/stac-extensions/classification (v1.1.0)
        """
        rows = [
            {
                "value": entry.value,
                "name": re.sub(r"[^0-9A-Za-z_-]+", "-", entry.name).strip("-") or "unnamed",
                "title": entry.title,
                "color_hint": bytes(entry.colour).hex().upper(),
            }
            for entry in self.entries
        ]
        return [*rows, {"value": self.nodata, "name": "nodata", "title": "No data", "nodata": True}]


def legend_of(output: Output) -> Legend:
    """How a map of a network's output is read.

    Values are those of the class table that the network was trained by, or count from 1 where
    classes of several tables share one. Pixels without an observation are 0, or 255 where a
    class is 0. Colours are the table's; where it has none, hues at equal distances.

    Raises `SatimnetError` when there are more classes than a byte has values.
    """
    count = len(output.classes)
    if count > _MOST:
        raise ArgumentError(f"{count} classes; a map has room for {_MOST}")
    values = [row.value for row in output.classes]
    if len(set(values)) < count or not all(0 <= value < _MOST for value in values):
        values = list(range(1, count + 1))
    colours = class_colours([row.color_hint for row in output.classes])
    entries = [
        Entry(value, row.name, row.label, colour)
        for value, row, colour in zip(values, output.classes, colours, strict=True)
    ]
    return Legend(tuple(entries), nodata=_MOST if 0 in values else 0)
