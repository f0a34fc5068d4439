"""Annotations: a sample's objects as GeoJSON, in pixels of the image or in longitude and latitude.

https://www.rfc-editor.org/rfc/rfc7946
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from satimnet.builder.errors import BadFileError
from satimnet.builder.imagery.grids import lonlat_of
from satimnet.builder.imagery.headers import Header
from satimnet.builder.imagery.lonlat import area_of, over_pole, unrolled
from satimnet.builder.imagery.run_lengths import shape_of_runs
from satimnet.builder.samples import Object

_PIXELS = "pixels of the image: x to the right, y down, from the outer corner of the first pixel"
_DIGITS = 8  # of degrees: a millimetre

Ring = list[list[float]]


def annotation(objects: Sequence[Object], header: Header) -> bytes:
    """A FeatureCollection in pixel coordinates, one Feature an object.

    GeoJSON knows longitude and latitude only; the member ``satimnet:coordinates`` warns of that.

    Raises:
        ValueError: a run leaves the image.
    """
    features = [_feature(item, header, lambda ring: ring) for item in objects]
    content = {
        "type": "FeatureCollection",
        "satimnet:coordinates": _PIXELS,
        "features": features,
    }
    return orjson.dumps(content)


def objects_in(data: bytes, label: str) -> tuple[Object, ...]:
    """The objects of a file that `annotation` made.

    Args:
        data: The bytes of the file.
        label: Its name in errors.

    Returns:
        The objects in the order of the file; runs have become polygons.

    Raises:
        BadFileError: it is no such file, or not in pixels of the image.

    Example:
        >>> ship = Object("ship", ((10, 10), (30, 10), (30, 20)), properties={"difficult": 0})
        >>> (same,) = objects_in(annotation([ship], Header((40, 40), 3, "|u1")), "a.geojson")
        >>> same.name, same.outline, same.properties
        ('ship', ((10, 10), (30, 10), (30, 20)), {'difficult': 0})
    """
    try:
        content = orjson.loads(data)
        if not is_in_pixels(content):
            raise BadFileError(label, "not in pixels of its image; build the catalog again")
        return tuple(map(_object, content["features"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadFileError(label, "no annotation of satimnet; build the catalog again") from error


def is_in_pixels(content: Any) -> bool:
    """Whether the JSON is of an annotation whose coordinates are pixels, as `annotation` makes."""
    return isinstance(content, dict) and str(content.get("satimnet:coordinates", "")).startswith(
        "pixels of the image"
    )


def _object(feature: dict[str, Any]) -> Object:
    properties = dict(feature["properties"])
    name, shape = properties.pop("class"), feature["geometry"]
    several = {"Polygon": [shape["coordinates"]], "MultiPolygon": shape["coordinates"]}
    parts = tuple(tuple(map(_ring, rings)) for rings in several[shape["type"]])
    if not isinstance(name, str) or not parts or not all(parts):
        raise ValueError
    if len(parts) == 1 and len(parts[0]) == 1:
        return Object(name, parts[0][0], properties=properties)
    return Object(name, properties=properties, polygons=parts)


def _ring(points: list[Any]) -> tuple[tuple[float, float], ...]:
    ring = tuple([(x, y) for x, y in points[:-1]])
    if not all(type(v) in (int, float) for point in ring for v in point) or not ring:
        raise ValueError
    return ring


def annotation_lonlat(objects: Sequence[Object], header: Header) -> bytes:
    """A FeatureCollection in longitude and latitude (WGS 84); ``header`` must have a place.

    Raises:
        ValueError: a run leaves the image.
    """
    if header.crs is None or header.transform is None:
        raise ValueError("image without a place")
    crs, (a, b, c, d, e, f) = header.crs, header.transform

    def place(ring: Ring) -> Ring:
        column, row = np.array(ring, dtype=float).T
        lon, lat = lonlat_of(crs, a * column + b * row + c, d * column + e * row + f)
        points: Ring = np.stack((lon, lat), axis=-1).round(_DIGITS).tolist()
        return points

    features = [_feature(item, header, place) for item in objects]
    for feature in features:
        feature["geometry"] = _within_180(feature["geometry"])
    return orjson.dumps({"type": "FeatureCollection", "features": features})


def _within_180(shape: dict[str, Any]) -> dict[str, Any]:
    """The geometry, cut where its longitudes jump from 180 to -180 or go beyond (RFC 7946)."""
    several = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
    lons = [lon for rings in several for ring in rings for lon, _ in ring]
    if min(lons) >= -180 and max(lons) <= 180 and max(lons) - min(lons) <= 180:
        return shape
    polygons: list[Any] = []
    for rings in several:
        outer, *holes = (unrolled(*np.array(ring).T) for ring in rings)
        if abs(outer[-1, 0] - outer[0, 0]) > 180:
            outer = over_pole(outer, np.copysign(90, outer[:, 1].mean()))
        for hole in holes:
            hole[:, 0] += 360 * np.round((outer[0, 0] - hole[0, 0]) / 360)
        cut, _ = area_of([outer, *holes], _DIGITS)
        polygons += [cut["coordinates"]] if cut["type"] == "Polygon" else cut["coordinates"]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _feature(item: Object, header: Header, place: Callable[[Ring], Ring]) -> dict[str, Any]:
    if item.runs:
        shape = shape_of_runs(item.runs, header.shape)
    else:
        parts = [[[list(p) for p in (*ring, ring[0])] for ring in part] for part in item.parts]
        shape = {"type": "MultiPolygon", "coordinates": parts}
        if len(parts) == 1:
            shape = {"type": "Polygon", "coordinates": parts[0]}
    if shape["type"] == "Polygon":
        coordinates: Any = _oriented(map(place, shape["coordinates"]))
    else:
        coordinates = [_oriented(map(place, rings)) for rings in shape["coordinates"]]
    return {
        "type": "Feature",
        "properties": {"class": item.name, **item.properties},
        "geometry": {"type": shape["type"], "coordinates": coordinates},
    }


def _oriented(rings: Any) -> list[Ring]:
    """Outer ring anticlockwise, holes clockwise (RFC 7946, 3.1.6)."""
    turned = []
    for at, ring in enumerate(rings):
        x, y = np.array(ring, dtype=float).T
        anticlockwise = np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:]) >= 0
        turned.append(list(ring) if anticlockwise == (at == 0) else list(ring)[::-1])
    return turned
