"""Object shapes: boxes around annotated objects, parallel to the axes or oriented."""

from __future__ import annotations

from satimnet.builder.samples import Object


def box_of(item: Object) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an object.

    Example:
        >>> box_of(Object("ship", ((10, 5), (30, 8), (28, 20))))
        (10.0, 5.0, 30.0, 20.0)
    """
    points = [point for outer, *_ in item.parts for point in outer]
    x, y = zip(*points, strict=True)
    return float(min(x)), float(min(y)), float(max(x)), float(max(y))


def corners_of(item: Object) -> tuple[tuple[float, float], ...]:
    """The four corners of the oriented box of an object.

    They are its own points if it has four, else those of the smallest rectangle around it.
    """
    import shapely

    if len(item.outline) == 4:
        return item.outline
    points = [point for outer, *_ in item.parts for point in outer]
    around = shapely.MultiPoint(points).minimum_rotated_rectangle
    if around.geom_type != "Polygon":  # all points lie on a line
        left, top, right, bottom = box_of(item)
        return ((left, top), (right, top), (right, bottom), (left, bottom))
    return tuple(around.exterior.coords[:4])
