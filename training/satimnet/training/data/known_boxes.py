"""Known boxes: names and boxes of the objects of files, which are parsed once in a process.

Parsing a file of thirty objects takes a fifth of the time of reading its image of 512 x 512 pixels.
What comes of it is a tenth of its size, so that the objects of most training sets fit, and every
pass but the first finds them here.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import chain
from sys import intern
from typing import NamedTuple

import numpy as np
import orjson

from satimnet.builder.imagery.annotations import is_in_pixels
from satimnet.training.data.array_types import Array

_MOST = 64 * 1024 * 1024
"""Bytes that are kept; beyond them all are forgotten, as whoever passes over more finds none."""
_EACH = 400
"""Bytes of an entry without objects, about."""


class NamedBoxes(NamedTuple):
    """The objects of a file.

    Attributes:
        names: Names of their classes.
        boxes: Left, top, right and bottom, float32 (object, 4); not to be changed.
    """

    names: tuple[str, ...]
    boxes: Array


class KnownBoxes:
    """What was parsed, by what tells files apart; threads may share it.

    Example:
        >>> known = KnownBoxes()
        >>> known.add("a", NamedBoxes(("ship",), np.zeros((1, 4), np.float32)))
        >>> known.get("a").names, known.get("b")
        (('ship',), None)
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._size = 0
        self._found: dict[Hashable, NamedBoxes] = {}

    def get(self, key: Hashable) -> NamedBoxes | None:
        """The objects of a file; None if they are not known."""
        return self._found.get(key)

    def add(self, key: Hashable, boxes: NamedBoxes) -> None:
        """Keeps the objects of a file."""
        if self._size > self._most:
            self._found, self._size = {}, 0
        self._found[key] = boxes
        self._size += _EACH + 24 * len(boxes.names)  # four numbers and a pointer each


def boxes_in(data: bytes) -> NamedBoxes | None:
    """The objects of a file that `annotation` made; None if it is not as it should be.

    It takes far less time than `objects_in`, which says what is wrong.
    """
    try:
        content = orjson.loads(data)
        if not is_in_pixels(content):
            return None
        names: list[str] = []
        points: list[list[float]] = []
        starts: list[int] = []
        for feature in content["features"]:
            shape = feature["geometry"]
            one = shape["type"] == "Polygon"
            names.append(feature["properties"]["class"])
            starts.append(len(points))
            for part in [shape["coordinates"]] if one else shape["coordinates"]:
                points += part[0]
        if not names:
            return NamedBoxes((), np.zeros((0, 4), np.float32))
        found = np.fromiter(chain.from_iterable(points), np.float64).reshape(len(points), 2)
        least = np.minimum.reduceat(found, starts, axis=0)
        most = np.maximum.reduceat(found, starts, axis=0)
        boxes = np.concatenate([least, most], axis=1).astype(np.float32)
        return NamedBoxes(tuple(map(intern, names)), boxes)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
