"""Outlines: the objects of an image as arrays, and which of them lie in windows.

A window of a training set has dozens of objects and is asked for thousands of times. So nothing is
done here for each object: numpy compares and clips the boxes of all, and GEOS cuts all outlines
that cross an edge in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.samples import Object

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Outlines:
    """The objects of one image; neither the arrays nor what is made of them is to be changed.

    Attributes:
        names: Names of classes.
        codes: Which of them each object has, int64 (object).
        points: x and y of all points, ring by ring, not closed, float64 (point, 2).
        rings: First point of each ring, and the end of the last one, int64 (ring + 1).
        parts: First ring of each polygon, which is its outer one, and the end, int64 (part + 1).
        objects: First polygon of each object, and the end, int64 (object + 1).

    Example:
        >>> ship = Object("ship", ((10, 0), (30, 0), (30, 10), (10, 10)))
        >>> Outlines.of([ship]).bounds
        array([[10.,  0., 30., 10.]])
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    points: NDArray[np.float64]
    rings: NDArray[np.int64]
    parts: NDArray[np.int64]
    objects: NDArray[np.int64]

    @classmethod
    def of(cls, objects: Sequence[Object]) -> Outlines:
        """The outlines of objects.

        Raises:
            ValueError: An object has no outline, as it is given as runs.
        """
        parts = [part for item in objects for part in item.parts]
        rings = [ring for part in parts for ring in part]
        return cls.made(
            [item.name for item in objects],
            [point for ring in rings for point in ring],
            [len(ring) for ring in rings],
            [len(part) for part in parts],
            [len(item.parts) for item in objects],
        )

    @classmethod
    def made(
        cls,
        names: Sequence[str],
        points: Any,
        in_rings: Sequence[int],
        in_parts: Sequence[int],
        in_objects: Sequence[int],
    ) -> Outlines:
        """The outlines of what is counted.

        Args:
            names: The class of each object.
            points: x and y of all points.
            in_rings: Points of each ring.
            in_parts: Rings of each polygon.
            in_objects: Polygons of each object.

        Raises:
            ValueError: An object has no polygon, a polygon no ring, or a ring no point.
        """
        if not (all(in_rings) and all(in_parts) and all(in_objects)):
            raise ValueError("an object has no outline")
        classes = {name: at for at, name in enumerate(dict.fromkeys(names))}
        return cls(
            tuple(classes),
            np.array([classes[name] for name in names], np.int64),
            np.asarray(points, np.float64).reshape(-1, 2),
            *map(_ends, (in_rings, in_parts, in_objects)),
        )

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory it takes, with what is made of it."""
        arrays = (self.codes, self.points, self.rings, self.parts, self.objects)
        # boxes twice, and a geometry of GEOS of each object
        return 2 * sum(array.nbytes for array in arrays) + 400 * len(self)

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """Left, top, right and bottom of each object, float64 (object, 4)."""
        if not len(self):
            return np.zeros((0, 4))
        sides = []
        for side in (np.minimum, np.maximum):
            outer = side.reduceat(self.points, self.rings[:-1], axis=0)[self.parts[:-1]]
            sides.append(side.reduceat(outer, self.objects[:-1], axis=0))
        return np.concatenate(sides, axis=1)

    @cached_property
    def sides(self) -> NDArray[np.float64]:
        """Left, top, minus right and minus bottom, float64 (4, object): to be compared at once."""
        return np.ascontiguousarray((self.bounds * (1, 1, -1, -1)).T)

    @cached_property
    def upright(self) -> NDArray[np.bool_]:
        """Which objects are rectangles along the axes, so that their boxes say all."""
        found = np.zeros(len(self), np.bool_)
        four = self.quads[~np.isnan(self.quads[:, 0, 0])]
        # each side changes one coordinate, and the next one the other
        same = four == np.roll(four, -1, axis=1)
        turns = (same[..., 0] != same[..., 1]) & (np.roll(same, -1, axis=1) != same).all(axis=2)
        found[~np.isnan(self.quads[:, 0, 0])] = turns.all(axis=1)
        return found

    @cached_property
    def quads(self) -> NDArray[np.float64]:
        """The points of objects that are one ring of four, float64 (object, 4, 2); else NaN."""
        found = np.full((len(self), 4, 2), np.nan)
        first = self.parts[self.objects[:-1]]
        one = (np.diff(self.objects) == 1) & (self.parts[self.objects[1:]] - first == 1)
        one &= self.rings[first + 1] - self.rings[first] == 4
        found[one] = self.points[self.rings[first[one], None] + np.arange(4)]
        return found

    @cached_property
    def shapes(self) -> NDArray[np.object_]:
        """The objects as valid geometries of shapely (object)."""
        import shapely

        lengths = np.diff(self.rings)
        # closed, and with at least four points, as polygons must have them
        closed = lengths + np.maximum(1, 4 - lengths)
        ends = _ends(closed)
        at = np.arange(ends[-1]) - ends[:-1].repeat(closed)
        at[at >= lengths.repeat(closed)] = 0
        points = self.points[at + self.rings[:-1].repeat(closed)]
        offsets = (ends, self.parts, self.objects)
        shapes = shapely.from_ragged_array(shapely.GeometryType.MULTIPOLYGON, points, offsets)
        crossed = ~shapely.is_valid(shapes)  # by themselves, as annotators draw them
        shapes[crossed] = shapely.make_valid(shapes[crossed])
        return np.asarray(shapes)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Areas of the shapes, float64 (object)."""
        import shapely

        return np.asarray(shapely.area(self.shapes))

    def near(self, limits: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which objects have boxes that touch a window, by its row of `nearest_sides`."""
        return np.flatnonzero((self.sides <= limits).all(axis=0))

    def at(self, row: int) -> Object:
        """An object, without its properties."""
        parts = []
        for part in range(self.objects[row], self.objects[row + 1]):
            ends = self.rings[self.parts[part] : self.parts[part + 1] + 1].tolist()
            rings = [self.points[a:b].tolist() for a, b in pairwise(ends)]
            parts.append(tuple(tuple((x, y) for x, y in ring) for ring in rings))
        name = self.names[self.codes[row]]
        if len(parts) == 1 and len(parts[0]) == 1:
            return Object(name, parts[0][0])
        return Object(name, polygons=tuple(parts))


def nearest_sides(windows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What no `Outlines.sides` of objects that touch a window are above, float64 (window, 4, 1).

    An object touches it if it begins before its right and lower edge, and does not end before its
    left and upper one.
    """
    ends = np.nextafter((windows[:, :2] + windows[:, 2:]).astype(np.float64), -np.inf)
    return np.concatenate([ends, -windows[:, :2]], axis=1)[:, :, None]


def _ends(counts: Any) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
