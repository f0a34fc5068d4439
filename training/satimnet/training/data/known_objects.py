"""Known objects: those of files that were parsed already, once in a process.

Parsing a file of thirty objects takes a fifth of the time of reading its image of 512 x 512 pixels.
What comes of it is small, so that the objects of most training sets fit, and every pass but the
first finds them here.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from sys import intern

import numpy as np
import orjson

from satimnet.builder.chipping.clipping import Clipper
from satimnet.builder.imagery.annotations import is_in_pixels
from satimnet.builder.samples import Object
from satimnet.training.data.array_types import Array

_MOST = 64 * 1024 * 1024
"""Bytes that are kept; beyond them all are forgotten, as whoever passes over more finds none."""


@dataclass(frozen=True, slots=True)
class NamedBoxes:
    """The objects of a file, but those without width or height, which detectors refuse.

    Attributes:
        names: Names of their classes.
        boxes: Left, top, right and bottom, float32 (object, 4); not to be changed.
    """

    names: tuple[str, ...]
    boxes: Array


Parsed = NamedBoxes | Clipper | tuple[Object, ...]
"""What is made of a file: for boxes of whole images, for windows, and for all else."""


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


def named_boxes(names: Sequence[str], boxes: Array) -> NamedBoxes:
    """Those of the objects that have width and height; boxes in float32."""
    boxes = boxes.astype(np.float32)
    real = have_size(boxes)
    return NamedBoxes(tuple(compress(names, real.tolist())), boxes[real])


def have_size(boxes: Array) -> Array:
    """Which boxes have width and height."""
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))


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
        return named_boxes(list(map(intern, names)), np.concatenate([least, most], axis=1))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
