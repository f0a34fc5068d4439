"""Clipping: cuts the objects of an image to the part of it that is taken.

An object is kept if at least a share of its area lies inside; then it is cut at the edge, and its
properties say ``truncated`` and which share of its area is left (``inside``). An object that lies
inside as a whole keeps its points as they are, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.builder.samples import Object

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_INSIDE = 0.5
"""The share of its area that an object must have inside to be kept, by default."""
_DIGITS = 4  # of the share


class Clipper:
    """The objects of one image, of which those in a window are asked for again and again.

    Example:
        >>> ship = Object("ship", ((10, 0), (30, 0), (30, 10), (10, 10)))
        >>> (cut,) = Clipper([ship]).inside(Window(0, 0, 25, 25), 0.5)
        >>> sorted(cut.outline)
        [(10.0, 0.0), (10.0, 10.0), (25.0, 0.0), (25.0, 10.0)]
        >>> cut.properties
        {'truncated': True, 'inside': 0.75}
        >>> Clipper([ship]).inside(Window(0, 0, 15, 25), 0.5)
        ()
    """

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects
        self._bounds: NDArray[np.float64] = np.array(
            [box_of(item) for item in objects], np.float64
        ).reshape(-1, 4)

    def inside(self, window: Window, min_inside: float) -> tuple[Object, ...]:
        """The objects in a window, in pixels of it.

        Args:
            window: The part of the image that is taken.
            min_inside: The share of its area that an object must have in there, above 0. One
                without any area must have its middle there.
        """
        near, whole = self._near(window)
        found = []
        for at in near.tolist():
            item = self._objects[at]
            if whole[at]:
                cut: Object | None = _moved(item, window.left, window.top)
            else:
                cut = _cut(item, window, min_inside)
            if cut is not None:
                found.append(cut)
        return tuple(found)

    def boxes_inside(
        self, window: Window, min_inside: float
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Names and boxes of the objects that `inside` gives; faster, as no outlines are made.

        Args:
            window: The part of the image that is taken.
            min_inside: As in `inside`.

        Returns:
            The names, and left, top, right and bottom in pixels of the window, float64 (object, 4).
        """
        left, top, width, height = window
        near, whole = self._near(window)
        moved = self._bounds[near] - (left, top, left, top)
        clipped = moved.clip(0, (width, height, width, height))
        share = _areas(clipped) / np.where(self._upright[near], _areas(moved), np.nan)
        names: list[str] = []
        boxes = []
        for k, at in enumerate(near.tolist()):
            item = self._objects[at]
            if whole[at]:
                boxes.append(moved[k])
            elif self._upright[at]:
                if share[k] < min_inside or not share[k]:
                    continue
                boxes.append(clipped[k])
            else:
                cut = _cut(item, window, min_inside)
                if cut is None:
                    continue
                boxes.append(np.array(box_of(cut), np.float64))
            names.append(item.name)
        return names, np.array(boxes, np.float64).reshape(-1, 4)

    def _near(self, window: Window) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The objects whose boxes touch a window, and of all whether they lie in it as a whole."""
        left, top, width, height = window
        right, bottom = left + width, top + height
        x0, y0, x1, y1 = self._bounds.T
        near = (x0 < right) & (x1 >= left) & (y0 < bottom) & (y1 >= top)
        whole = (x0 >= left) & (x1 <= right) & (y0 >= top) & (y1 <= bottom)
        return np.flatnonzero(near), whole

    @cached_property
    def _upright(self) -> NDArray[np.bool_]:
        """Which objects are rectangles along the axes, so that their boxes say all."""
        return np.array([_is_upright(item) for item in self._objects], np.bool_)


def _is_upright(item: Object) -> bool:
    """Whether an object is a rectangle along the axes: each side changes one coordinate alone."""
    ring = item.outline
    if len(ring) != 4 or len(set(ring)) != 4:
        return False
    turns = [
        (a[0] == b[0]) != (a[1] == b[1]) and (b[0] == c[0]) != (a[0] == b[0])
        for a, b, c in zip(ring, (*ring[1:], ring[0]), (*ring[2:], *ring[:2]), strict=True)
    ]
    return all(turns)


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _moved(item: Object, left: int, top: int) -> Object:
    """A whole object, in pixels of the window."""
    parts = tuple(
        tuple(tuple((x - left, y - top) for x, y in ring) for ring in part) for part in item.parts
    )
    return _with_parts(item, parts)


def _cut(item: Object, window: Window, min_inside: float) -> Object | None:
    """What is left of an object that is not inside as a whole; None if that is too little."""
    import shapely

    left, top, width, height = window
    shape = shapely.MultiPolygon([(outer, holes) for outer, *holes in map(_closed, item.parts)])
    if not shape.is_valid:  # outlines that cross themselves, as annotators draw them
        shape = shapely.make_valid(shape)
    if not shape.area:
        middle = shape.centroid
        inside = left <= middle.x < left + width and top <= middle.y < top + height
        points = shapely.get_coordinates(shape)
        points = np.clip(points - (left, top), 0, (width, height))
        ring = tuple([(x, y) for x, y in points[:-1].tolist()] or [(0.0, 0.0)])
        return _with_parts(item, ((ring,),), truncated=1.0) if inside else None
    rest = shapely.intersection(shape, shapely.box(left, top, left + width, top + height))
    share = rest.area / shape.area
    if not rest.area or share < min_inside:
        return None
    parts = tuple(
        tuple(
            tuple([(x - left, y - top) for x, y in ring.coords[:-1]])
            for ring in (one.exterior, *one.interiors)
        )
        for one in _polygons(rest)
    )
    return _with_parts(item, parts, truncated=share)


def _closed(part: Sequence[Any]) -> list[list[Any]]:
    """The rings with at least four points, as polygons must have them."""
    return [[*ring, *[ring[0]] * max(1, 4 - len(ring))] for ring in part]


def _polygons(shape: Any) -> list[Any]:
    """The polygons of a geometry, without lines and points along the edge."""
    parts = getattr(shape, "geoms", [shape])
    return [one for one in parts if one.geom_type == "Polygon" and one.area > 0] or [
        inner for one in parts for inner in getattr(one, "geoms", ())
    ]


def _with_parts(item: Object, parts: Any, truncated: float | None = None) -> Object:
    """The object with other polygons."""
    properties = dict(item.properties)
    if truncated is not None:
        share = truncated * properties.get("inside", 1.0)  # chips may be cut of chips
        properties |= {"truncated": True, "inside": round(share, _DIGITS)}
    outline = parts[0][0] if len(parts) == 1 and len(parts[0]) == 1 else ()
    return replace(
        item, outline=outline, runs=(), polygons=() if outline else parts, properties=properties
    )
