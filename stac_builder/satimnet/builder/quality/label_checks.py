"""The checks of labels: tags, objects and mask of an Item against each other and its classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from satimnet.builder.errors import BadFileError
from satimnet.builder.quality.findings import MOST_OUTSIDE, TINY_SIDE, Ring, Said

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Labelled:
    """An object of an annotation: its class, and the outer rings of its outline."""

    name: str
    rings: tuple[Ring, ...]


def read_objects(data: bytes, label: str) -> list[Labelled]:
    """The objects of an ``annotation`` member (GeoJSON in pixels).

    Raises:
        BadFileError: it is not what the builder writes.
    """
    try:
        objects = []
        for feature in orjson.loads(data)["features"]:
            shape = feature["geometry"]
            parts = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
            rings = tuple(tuple((float(x), float(y)) for x, y in rings[0]) for rings in parts)
            objects.append(Labelled(str(feature["properties"]["class"]), rings))
    except (ValueError, LookupError, TypeError) as error:
        raise BadFileError(label, f"no GeoJSON of objects ({error:.200})") from error
    return objects


def check_objects(
    objects: Sequence[Labelled], shape: tuple[int, int] | None, classes: Collection[str]
) -> Iterator[Said]:
    """What is wrong with the objects of an image of this shape (rows, columns)."""
    for name, number in Counter(o.name for o in objects if o.name not in classes).items():
        yield "unknown-class", f"{_objects(number)} of {name!r}, which the table lacks", ()
    found: dict[str, list[tuple[str, Ring]]] = {}
    for one in objects:
        ring = tuple(point for ring in one.rings for point in ring)
        for check, what in _wrong(one, shape):
            found.setdefault(check, []).append((what, ring))
    for check, cases in found.items():
        what, ring = cases[0]
        more = f" (and {len(cases) - 1} more)" if len(cases) > 1 else ""
        yield check, what + more, ring
    yield from _identical(objects)


def _wrong(one: Labelled, shape: tuple[int, int] | None) -> Iterator[tuple[str, str]]:
    points = np.array([point for ring in one.rings for point in ring], dtype=float).reshape(-1, 2)
    if len(points) == 0 or not np.isfinite(points).all():
        yield "object-empty", f"{one.name} without corners"
        return
    (left, top), (right, bottom) = points.min(0), points.max(0)
    if shape is not None:
        rows, columns = shape
        outside = max(-left, -top, right - columns, bottom - rows)
        if outside > MOST_OUTSIDE:
            gone = left >= columns or top >= rows or right <= 0 or bottom <= 0
            how = "wholly outside" if gone else f"{outside:.4g} pixels outside"
            yield "object-outside", f"{one.name} lies {how} of an image of {columns} x {rows}"
    if sum(map(_area, one.rings)) == 0:
        yield "object-empty", f"{one.name} without an area at ({left:g}, {top:g})"
    elif min(right - left, bottom - top) < TINY_SIDE:
        size = f"{right - left:.3g} x {bottom - top:.3g}"
        yield "object-tiny", f"{one.name} of {size} pixels at ({left:g}, {top:g})"


def _area(ring: Ring) -> float:
    x, y = np.array(ring, dtype=float).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _identical(objects: Sequence[Labelled]) -> Iterator[Said]:
    groups: dict[frozenset[Any], list[Labelled]] = {}
    for one in objects:
        if one.rings:
            groups.setdefault(frozenset(map(frozenset, one.rings)), []).append(one)
    same = [group for group in groups.values() if len(group) > 1]
    if same:
        first = same[0]
        names = " and ".join(sorted({one.name for one in first}))
        more = f" (and {len(same) - 1} more outlines)" if len(same) > 1 else ""
        yield (
            "object-identical",
            f"{len(first)} objects with one outline: {names}{more}",
            tuple(point for ring in first[0].rings for point in ring),
        )


def check_tags(
    properties: Mapping[str, Any],
    classes: Mapping[str, int | None],
    objects: Sequence[Labelled] | None,
    mask: NDArray[Any] | None,
) -> Iterator[Said]:
    """Contradictions between tags, statistics, objects and mask (y, x) of an Item.

    ``classes`` are the names and values of the class table, None where it gives no value. An Item
    without objects or without a mask has None of them.
    """
    tags = properties.get("satimnet:classes")
    for name in tags or ():
        if name not in classes:
            yield "unknown-class", f"tag {name!r}, which the table lacks", ()
    pixels: dict[str, int] | None = None
    if mask is not None:
        names = {value: name for name, value in classes.items() if value is not None}
        values, numbers = np.unique(mask, return_counts=True)
        pixels = {}
        for value, number in zip(values.tolist(), numbers.tolist()):
            if value in names:
                pixels[names[value]] = number
            elif value != 0:
                yield "unknown-class", f"{number:,} mask pixels of {value}, no class's value", ()
    counts = None if objects is None else Counter(one.name for one in objects)
    background = {name for name, value in classes.items() if value == 0}
    yield from _against_statistics(properties, counts, pixels, background)
    if tags is None or (counts is None and pixels is None):
        return
    seen = (set(counts or ()) | set(pixels or ())) & set(classes) - background
    for name in sorted(set(tags) - seen - background):
        if name in classes:
            yield "label-mismatch", f"tag {name!r}, but no pixel or object of it", ()
    for name in sorted(seen - set(tags)):
        yield "label-mismatch", f"pixels or objects of {name!r}, but no such tag", ()


def _against_statistics(
    properties: Mapping[str, Any],
    counts: Mapping[str, int] | None,
    pixels: Mapping[str, int] | None,
    background: set[str],
) -> Iterator[Said]:
    rows = {row["class"]: row for row in properties.get("satimnet:statistics", ())}
    for key, found, what in (("count", counts, "objects"), ("pixels", pixels, "mask pixels")):
        if found is None or (not rows and key == "pixels" and counts is None):
            continue
        said = {name: row[key] for name, row in rows.items() if row.get(key)}
        for name in sorted({*said, *found} - background):
            if said.get(name, 0) != found.get(name, 0):
                words = f"{found.get(name, 0):,} {what} of {name!r}, {said.get(name, 0):,} stated"
                yield "label-mismatch", words, ()


def _objects(number: int) -> str:
    return f"{number:,} object{'' if number == 1 else 's'}"
