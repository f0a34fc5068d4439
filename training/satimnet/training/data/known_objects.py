"""Known objects: those of files that were parsed already, once in a process.

Parsing a file of thirty objects takes a fifth of the time of reading its image of 512 x 512 pixels.
What comes of it is small, so that the objects of most training sets fit, and every pass but the
first finds them here.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import chain

import numpy as np
import orjson

from satimnet.builder.chipping.clipping import Clipper
from satimnet.builder.chipping.outlines import Outlines
from satimnet.builder.imagery.annotations import is_in_pixels
from satimnet.builder.samples import Object
from satimnet.training.data.array_types import Array

_MOST = 64 * 1024 * 1024
"""Bytes that are kept; beyond them all are forgotten, as whoever passes over more finds none."""


Parsed = Outlines | Clipper | tuple[Object, ...]
"""What is made of a file: for boxes, for all else in windows, and for all else."""


class KnownObjects:
    """What was parsed, by what tells files apart; threads may share it.

    Example:
        >>> known = KnownObjects(most=100)
        >>> known.add("a", (), 60)
        >>> known.get("a"), known.get("b")
        ((), None)
        >>> known.add("b", (), 60)
        >>> known.add("c", (), 60)
        >>> known.get("a"), known.get("c")
        (None, ())
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._size = 0
        self._found: dict[Hashable, Parsed] = {}

    def get(self, key: Hashable) -> Parsed | None:
        """What was made of a file; None if it is not known."""
        return self._found.get(key)

    def add(self, key: Hashable, parsed: Parsed, size: int) -> None:
        """Keeps what was made of a file, which takes so many bytes."""
        if self._size > self._most:
            self._found, self._size = {}, 0
        self._found[key] = parsed
        self._size += size


def have_size(boxes: Array) -> Array:
    """Which boxes have width and height."""
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def outlines_in(data: bytes) -> Outlines | None:
    """The objects of a file that `annotation` made; None if it is not as it should be.

    It takes far less time than `objects_in`, which says what is wrong.
    """
    try:
        content = orjson.loads(data)
        if not is_in_pixels(content):
            return None
        names: list[str] = []
        points: list[list[float]] = []
        in_rings: list[int] = []
        in_parts: list[int] = []
        in_objects: list[int] = []
        for feature in content["features"]:
            shape = feature["geometry"]
            several = {"Polygon": [shape["coordinates"]], "MultiPolygon": shape["coordinates"]}
            parts = several[shape["type"]]
            names.append(feature["properties"]["class"])
            in_objects.append(len(parts))
            for part in parts:
                in_parts.append(len(part))
                for ring in part:
                    in_rings.append(len(ring) - 1)
                    points += ring[:-1]
        values = list(chain.from_iterable(points))
        right = set(map(type, values)) <= {int, float} and set(map(len, points)) <= {2}
        if not right or not set(map(type, names)) <= {str} or min(in_rings, default=1) < 1:
            return None
        return Outlines.made(names, values, in_rings, in_parts, in_objects)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
