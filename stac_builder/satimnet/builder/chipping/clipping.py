"""Clipping: cuts the objects of an image to the part of it that is taken.

An object is kept if at least a share of its area lies inside; then it is cut at the edge, and its
properties say ``truncated`` and which share of its area is left (``inside``). An object that lies
inside as a whole keeps its points as they are, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.chipping.outlines import Outlines, nearest_sides
from satimnet.builder.imagery.object_shapes import box_of, corners_of
from satimnet.builder.samples import Object

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_INSIDE = 0.5
"""The share of its area that an object must have inside to be kept, by default."""
_DIGITS = 4  # of the share
_MARGIN = 1e-6  # of a share, for the rounding of areas


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
        self._outlines = Outlines.of(objects)

    def inside(self, window: Window, min_inside: float) -> tuple[Object, ...]:
        """The objects in a window, in pixels of it.

        Args:
            window: The part of the image that is taken.
            min_inside: The share of its area that an object must have in there, above 0. One
                without any area must have its middle there.
        """
        left, top, width, height = window
        near = self._outlines.near(nearest_sides(np.array([window]))[0])
        low, high = np.split(self._outlines.bounds[near], 2, axis=1)
        whole = np.asarray(
            ((low >= (left, top)) & (high <= (left + width, top + height))).all(axis=1)
        )
        shapes = self._outlines.shapes[near[~whole]] if not whole.all() else ()
        rests = iter(_rests(shapes, window))
        found = []
        for at, is_whole in zip(near.tolist(), whole.tolist(), strict=True):
            item = self._objects[at]
            if is_whole:
                cut: Object | None = _moved(item, left, top)
            else:
                cut = _cut(item, self._outlines.shapes[at], next(rests), window, min_inside)
            if cut is not None:
                found.append(cut)
        return tuple(found)


class Inside(NamedTuple):
    """The objects in some windows, one window after the other.

    Attributes:
        counts: How many each window has, int64 (window).
        rows: Their numbers in the outlines of their image, int64 (object).
        boxes: Left, top, right and bottom in pixels of the window, float64 (object, 4).
        whole: Whether they lie in the window as a whole, bool (object).
    """

    counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    whole: NDArray[np.bool_]


def boxes_inside(
    outlines: Sequence[Outlines], windows: NDArray[np.int64], min_inside: float
) -> Inside:
    """The objects that `Clipper.inside` gives, and their boxes; faster, as no outlines are made.

    Args:
        outlines: Of each window the objects of its image.
        windows: The parts of the images that are taken, int64 (window, 4): left, top, width and
            height.
        min_inside: As in `Clipper.inside`.
    """
    starts, room = windows[:, :2], windows[:, 2:]
    limits = nearest_sides(windows)
    near = [one.near(limit) for one, limit in zip(outlines, limits, strict=True)]
    counts = np.array(list(map(len, near)), np.int64)
    owner = np.arange(len(windows)).repeat(counts)
    rows = np.concatenate([*near, np.zeros(0, np.int64)])
    pairs = list(zip(outlines, near, strict=True))
    bounds = np.concatenate([*(one.bounds[some] for one, some in pairs), np.zeros((0, 4))])
    corner = np.tile(starts, 2)[owner]
    whole = np.asarray((bounds[:, :2] >= corner[:, :2]).all(axis=1))
    whole &= (bounds[:, 2:] <= (starts + room)[owner]).all(axis=1)
    moved: NDArray[np.float64] = bounds - corner
    boxes: NDArray[np.float64] = np.minimum(np.maximum(moved, 0), np.tile(room, 2)[owner])
    boxes[whole] = moved[whole]
    kept = whole.copy()
    if not whole.all():
        upright = np.concatenate([one.upright[some] for one, some in pairs])
        cut = np.flatnonzero(upright & ~whole)
        share = _areas(boxes[cut]) / _areas(moved[cut])
        kept[cut] = (share >= min_inside) & (share > 0)
        areas = np.concatenate([one.areas[some] for one, some in pairs])
        # what lies inside is no larger than its box: these need not be cut
        possible = ~(_areas(boxes) < (min_inside - _MARGIN) * areas)
        cut = np.flatnonzero(~upright & ~whole & possible)
        if len(cut):
            kept[cut] = _cut_boxes(outlines, windows, owner[cut], rows[cut], boxes, cut, min_inside)
    counts = np.bincount(owner[kept], minlength=len(windows))
    return Inside(counts, rows[kept], boxes[kept], whole[kept])


def all_boxes(outlines: Sequence[Outlines]) -> Inside:
    """All objects of some images, as `boxes_inside` gives those of windows."""
    counts = np.array(list(map(len, outlines)), np.int64)
    rows = np.concatenate([*map(np.arange, counts), np.zeros(0, np.int64)])
    boxes = np.concatenate([*(one.bounds for one in outlines), np.zeros((0, 4))])
    return Inside(counts, rows, boxes, np.ones(len(rows), np.bool_))


def corners_inside(
    outlines: Sequence[Outlines],
    windows: NDArray[np.int64] | None,
    min_inside: float,
    inside: Inside,
) -> NDArray[np.float64]:
    """The corners of the objects that `boxes_inside` found, float64 (object, 4, 2).

    Those of objects that lie in their window as a whole and have four points are these.

    Args:
        outlines: Of each window the objects of its image.
        windows: As in `boxes_inside`; None: the images as a whole, after `all_boxes`.
        min_inside: As in `Clipper.inside`.
        inside: What was found.
    """
    owner = np.arange(len(outlines)).repeat(inside.counts)
    parts = np.split(inside.rows, inside.counts.cumsum()[:-1])
    corners = np.concatenate(
        [one.quads[part] for one, part in zip(outlines, parts, strict=True)]
        or [np.zeros((0, 4, 2))]
    )
    if windows is not None:
        corners -= windows[owner, None, :2]
    odd = np.flatnonzero(np.isnan(corners[:, 0, 0]) | ~inside.whole)
    pairs = list(zip(odd.tolist(), owner[odd].tolist(), inside.rows[odd].tolist(), strict=True))
    shapes = np.fromiter((outlines[k].shapes[row] for _, k, row in pairs), object, len(pairs))
    rests = shapes if windows is None else _rests(shapes, windows[owner[odd]].T)
    for (at, k, row), shape, rest in zip(pairs, shapes, rests, strict=True):
        item: Object | None = outlines[k].at(row)
        if windows is not None and item is not None:
            window = Window(*windows[k].tolist())
            if inside.whole[at]:
                item = _moved(item, window.left, window.top)
            else:
                item = _cut(item, shape, rest, window, min_inside)
        if item is not None:  # as `boxes_inside` has found
            corners[at] = corners_of(item)
    return corners


def _cut_boxes(
    outlines: Sequence[Outlines],
    windows: NDArray[np.int64],
    owner: NDArray[np.int64],
    rows: NDArray[np.int64],
    boxes: NDArray[np.float64],
    places: NDArray[np.int64],
    min_inside: float,
) -> NDArray[np.bool_]:
    """Puts boxes of objects that are cut where they belong in `boxes`; which of them are kept."""
    import shapely

    pairs = list(zip(owner.tolist(), rows.tolist(), strict=True))
    shapes = np.fromiter((outlines[k].shapes[row] for k, row in pairs), object, len(pairs))
    areas = np.array([outlines[k].areas[row] for k, row in pairs])
    rests = _rests(shapes, windows[owner].T)
    left = shapely.area(rests)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = (left > 0) & (left / areas >= min_inside)
    simple = kept & (shapely.get_type_id(rests) == shapely.GeometryType.POLYGON)
    boxes[places[simple]] = shapely.bounds(rests[simple]) - np.tile(windows[owner[simple], :2], 2)
    # lines and points, and what falls into pieces
    for at in np.flatnonzero((kept & ~simple) | (areas == 0)).tolist():
        k, row = pairs[at]
        window = Window(*windows[k].tolist())
        item = _cut(outlines[k].at(row), shapes[at], rests[at], window, min_inside)
        kept[at] = item is not None
        if item is not None:
            boxes[places[at]] = box_of(item)
    return np.asarray(kept)


def _rests(shapes: Any, window: Iterable[Any]) -> Any:
    """What of each shape lies in a window, or in a window of its own."""
    if not len(shapes):
        return []
    import shapely

    left, top, width, height = window
    return shapely.intersection(shapes, shapely.box(left, top, left + width, top + height))


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _moved(item: Object, left: int, top: int) -> Object:
    """A whole object, in pixels of the window."""
    parts = tuple(
        tuple(tuple((x - left, y - top) for x, y in ring) for ring in part) for part in item.parts
    )
    return _with_parts(item, parts)


def _cut(item: Object, shape: Any, rest: Any, window: Window, min_inside: float) -> Object | None:
    """What is left of an object that is not inside as a whole; None if that is too little."""
    import shapely

    left, top, width, height = window
    if not shape.area:
        middle = shape.centroid
        inside = left <= middle.x < left + width and top <= middle.y < top + height
        points = shapely.get_coordinates(shape)
        points = np.clip(points - (left, top), 0, (width, height))
        ring = tuple([(x, y) for x, y in points[:-1].tolist()] or [(0.0, 0.0)])
        return _with_parts(item, ((ring,),), truncated=1.0) if inside else None
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
