"""Geometries of filters: read from GeoJSON or a bbox, and compared with those of Items.

They are planar, in longitude and latitude; see `satimnet.builder.query.cql2_to_sql`.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import BadQueryError, TooLargeError
from satimnet.builder.imagery.lonlat import normalised, spans, turned
from satimnet.builder.query.arrow_columns import booleans, objects
from satimnet.builder.query.cql2_text import DEEPEST, Node
from satimnet.builder.query.statements import Function

if TYPE_CHECKING:
    import pyarrow as pa
    import shapely

_MAX_LONGITUDE = 540.0  # maps that are panned around the Earth count on
_MOST_POINTS = 50_000  # and rings of a geometry


def geometry_of(geojson: Mapping[str, Any]) -> shapely.Geometry:
    """A GeoJSON geometry (or that of a Feature), within 180 degrees of longitude.

    What lies beyond, as in longitudes of 0 to 360, is cut off and moved there.

    Raises:
        TooLargeError: it has too many points.
        BadQueryError: it is no geometry, or an empty or invalid one.
    """
    import shapely

    require_small(geojson)
    try:
        geometry = shapely.from_geojson(json.dumps(geojson))
    except (shapely.errors.GEOSException, TypeError, ValueError) as error:
        raise BadQueryError(f"this is no GeoJSON geometry ({error}): {geojson!r:.200}") from None
    if shapely.is_empty(geometry) or not shapely.is_valid(geometry):
        reason = shapely.is_valid_reason(geometry)
        raise BadQueryError(f"geometry is empty or invalid ({reason}): {geojson!r:.200}")
    west, _, east, _ = shapely.bounds(geometry)
    _require_longitudes(west, east, f"geometry {geojson!r:.200}")
    return shapely.union_all(turned(geometry)) if west < -180 or east > 180 else geometry


def geometry_node(geojson: Mapping[str, Any]) -> Node:
    """A GeoJSON geometry as it may stand in a filter; raises `TooLargeError` if it is too large."""
    require_small(geojson)
    return {key: geojson[key] for key in ("type", "coordinates", "geometries") if key in geojson}


def require_small(geojson: Mapping[str, Any]) -> None:
    """Raises `TooLargeError` if a geometry has too many points or levels to be compared with."""
    level: list[Any] = [geojson]
    seen = 0
    for _ in range(DEEPEST):
        parts = (part.values() if isinstance(part, Mapping) else part for part in level)
        level = [one for part in parts for one in part if isinstance(one, Mapping | list | tuple)]
        seen += len(level)
        if seen > _MOST_POINTS:
            raise TooLargeError(f"a geometry has more than {_MOST_POINTS:,} points; simplify it")
        if not level:
            return
    raise TooLargeError("a geometry is nested too deeply")


def box_of(bbox: Sequence[float]) -> shapely.Geometry:
    """A bbox of west, south, east, north in degrees, of six numbers without its heights.

    Where west exceeds east it crosses the antimeridian and becomes two boxes. Longitudes may also
    count from 0 to 360.

    Raises:
        BadQueryError: it is no bbox.
    """
    import shapely

    try:
        numbers = [float(number) for number in bbox]
    except (TypeError, ValueError, OverflowError):
        numbers = []
    if len(numbers) not in (4, 6) or not all(map(math.isfinite, numbers)):
        raise BadQueryError(f"bbox {bbox!r:.100} needs 4 numbers (west, south, east, north) or 6")
    half = len(numbers) // 2
    (west, south), (east, north) = numbers[:2], numbers[half : half + 2]
    if 180 < west <= 360 and 0 <= east < west:  # across Greenwich, in longitudes of 0 to 360
        west -= 360
    if south > north or (west > east and (west > 180 or east < -180)):
        raise BadQueryError(f"bbox {bbox!r:.100} is not in the order west, south, east, north")
    if south < -90 or north > 90:
        raise BadQueryError(f"bbox {bbox!r:.100} reaches beyond a pole: latitudes are -90 to 90")
    _require_longitudes(west, east, f"bbox {bbox!r:.100}")
    ranges = spans(*normalised(west, east))
    return shapely.union_all([_box(w, south, e, north) for w, e in ranges])


def _require_longitudes(west: float, east: float, label: str) -> None:
    if west < -_MAX_LONGITUDE or east > _MAX_LONGITUDE:
        raise BadQueryError(f"{label} has no longitudes: they are -180 to 180, or 0 to 360")


def _box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
    """A rectangle; where it has no width or height a line or a point, which are valid."""
    import shapely

    if west < east and south < north:
        return shapely.box(west, south, east, north)
    corners = dict.fromkeys([(west, south), (east, north)])
    return shapely.Point(*corners) if len(corners) == 1 else shapely.LineString(list(corners))


CONVERSE = {"contains": "within", "within": "contains"}  # the other relations are symmetric
RELATIONS = frozenset(
    ("intersects", "disjoint", "contains", "within", "touches", "crosses", "overlaps", "equals")
)
"""The spatial relations of CQL2, by their names in shapely."""


def relation_to(relation: str, literal: shapely.Geometry) -> Callable[[pa.ChunkedArray], pa.Array]:
    """Whether the relation holds from ``literal`` to each of a column of geometries."""
    import shapely

    shapely.prepare(literal)
    # A prepared geometry builds its index when first used. DuckDB calls from several threads and
    # shapely gives up the interpreter's lock, so without this one the process may crash.
    lock = threading.Lock()

    def holds(column: pa.ChunkedArray) -> pa.Array:
        geometries = shapely.from_wkb(objects(column))
        with lock:
            # GEOS uses the preparation of the first operand only.
            result = getattr(shapely, relation)(literal, geometries)
        return booleans(result, shapely.is_missing(geometries))

    return holds


def _relate(relation: str, a: pa.ChunkedArray, b: pa.ChunkedArray) -> pa.Array:
    import shapely

    left, right = shapely.from_wkb(objects(a)), shapely.from_wkb(objects(b))
    missing = shapely.is_missing(left) | shapely.is_missing(right)
    return booleans(getattr(shapely, relation)(left, right), missing)


BETWEEN_COLUMNS = {
    relation: Function(partial(_relate, relation), ("BLOB", "BLOB"), "BOOLEAN")
    for relation in RELATIONS
}
"""Each relation as a function over two columns of geometries."""
