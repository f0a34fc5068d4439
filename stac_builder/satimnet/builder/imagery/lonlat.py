"""Longitude and latitude as GeoJSON has them: within 180 degrees, and cut where they cross that.

https://www.rfc-editor.org/rfc/rfc7946, sections 3.1.9 (cutting), 5.2 and 5.3 (in a bbox across 180
degrees west is the larger number; one around a pole has all longitudes). Edges are straight lines
in longitude and latitude, as the RFC says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import shapely
    from numpy.typing import NDArray

_DIGITS = 10  # of degrees: what a number that was moved by 360 degrees has after these is noise

Box = list[float]
"""West, south, east, north in degrees; west is the larger number across 180 degrees."""


def flat(box: Sequence[float]) -> Box:
    """The bbox without heights, which the third and the sixth number of six are."""
    half = len(box) // 2
    return [*box[:2], *box[half : half + 2]]


def spans(west: float, east: float) -> list[tuple[float, float]]:
    """The longitudes of a bbox as ranges that do not cross 180 degrees: one, or two."""
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def normalised(west: float, east: float) -> tuple[float, float]:
    """The longitudes of a bbox moved to within 180 degrees; 360 degrees or more are the whole."""
    if east - west >= 360:
        return -180.0, 180.0
    return _normal(west), _normal(east)


def _normal(lon: float) -> float:
    """Of -180 and 180, which are the same meridian, each stays what it is."""
    return lon if abs(lon) <= 180 else round((lon + 180) % 360 - 180, _DIGITS)


def union(boxes: NDArray[np.float64] | Sequence[Box]) -> Box:
    """The bbox of one or more (box, west south east north).

    It crosses 180 degrees only if one of them does, or if it is then less than 180 degrees wide.
    """
    west, south, east, north = np.asarray(boxes, float).T
    crosses = west > east
    order = np.argsort(west, kind="stable")
    starts = west[order]
    # how far the boxes so far reach; what crosses 180 degrees goes on in the west
    ends = np.maximum.accumulate((east + 360 * crosses)[order])
    ends = np.maximum(ends, ends[-1] - 360)
    gaps = np.append(starts[1:], starts[0] + 360) - ends
    at = int(gaps.argmax())
    first, last = -180.0, 180.0
    if not crosses.any() and gaps[at] <= 180:
        first, last = float(starts[0]), float(ends[-1])
    elif gaps[at] > 0:
        first, last = float(starts[(at + 1) % len(starts)]), _normal(float(ends[at]))
    return [first, float(south.min()), last, float(north.max())]


def unrolled(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed ring (point, xy) whose longitudes go on beyond 180 degrees instead of jumping.

    Neighbours must be less than 180 degrees apart. A ring around a pole ends 360 degrees from
    where it starts.
    """
    return np.stack((np.unwrap(lon, period=360), lat), axis=-1)


def over_pole(ring: NDArray[np.float64], pole: float) -> NDArray[np.float64]:
    """An unrolled ring around a pole, closed along its latitude (90 or -90)."""
    return np.concatenate((ring, [(ring[-1, 0], pole), (ring[0, 0], pole), ring[0]]))


def turned(geometry: shapely.Geometry) -> list[shapely.Geometry]:
    """The parts that 180, -180, 540 … degrees cut it into, from west to east, moved to within 180.

    A geometry that only touches these is not cut.
    """
    import shapely

    west, _, east, _ = shapely.bounds(geometry)
    first, last = floor((west + 180) / 360), ceil((east - 180) / 360)
    if first >= last:
        return [_moved(geometry, last)]
    boxes = [shapely.box(360 * n - 180, -90, 360 * n + 180, 90) for n in range(first, last + 1)]
    return [
        _moved(shapely.intersection(geometry, box), number)
        for number, box in enumerate(boxes, first)
    ]


def _moved(geometry: shapely.Geometry, turns: int) -> shapely.Geometry:
    import shapely

    if turns == 0:
        return geometry
    return shapely.transform(geometry, lambda xy: (xy - (360 * turns, 0)).round(_DIGITS))


def area_of(rings: Sequence[NDArray[np.float64]], digits: int) -> tuple[dict[str, Any], Box]:
    """GeoJSON geometry and bbox, rounded, of an outer ring and holes that may go beyond 180."""
    import shapely

    area = shapely.Polygon(rings[0].round(digits), [ring.round(digits) for ring in rings[1:]])
    valid = shapely.make_valid(area, method="structure")
    if shapely.area(valid) > 0:  # not of a patch that is smaller than the last digit
        area = valid
    parts = [one for one in turned(area) if not shapely.is_empty(one)]
    polygons = shapely.get_parts(shapely.union_all(parts) if len(parts) > 1 else parts[0])
    polygons = shapely.orient_polygons(polygons[shapely.get_dimensions(polygons) == 2])
    polygons = shapely.transform(polygons, lambda xy: xy.round(digits))
    shape = polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)
    west, south, east, north = shapely.bounds(area).tolist()
    if east - west < 360:
        west, east = float(shapely.bounds(parts[0])[0]), float(shapely.bounds(parts[-1])[2])
    else:
        west, east = -180.0, 180.0
    bbox = [round(number, digits) for number in (west, south, east, north)]
    return json.loads(shapely.to_geojson(shape)), bbox
