"""Masks: what annotators marked, as a label raster on the image's grid.

Where objects overlap, larger ones are drawn first and equal ones in the order of the file, so that
the later and the smaller lie on top. A pixel belongs to an outline if its centre lies inside it.
Class values are those of the dataset's class table, 0 is background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import BadFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.samples import Object

    Mask = NDArray[np.uint8]

_CHUNK = 2**22  # pixels counted at once: counting makes 8 bytes of each
_MAX_COVERS = 200
"""How often objects may cover their image: in crowded scenes it is a few times, and each time
costs as much as drawing the image once."""


def draw(objects: Sequence[Object], values: Mapping[str, int], shape: tuple[int, int]) -> Mask:
    """The mask of these objects: (y, x), uint8; ``values`` maps class names to class values.

    Raises:
        ValueError: a run leaves the image, or the objects cover it absurdly often.
    """
    _refuse_heaps(objects, shape)
    mask = np.zeros(shape, np.uint8)
    ordered = sorted(objects, key=_area, reverse=True)  # stable: equal areas keep their order
    for by_runs, group in groupby(ordered, key=lambda o: bool(o.runs)):
        if by_runs:
            drawn = _runs([(o.runs, values[o.name]) for o in group], shape)
            np.copyto(mask, drawn, where=drawn > 0)
        else:
            _fill([(o.outline, values[o.name]) for o in group], mask)
    return mask


def _refuse_heaps(objects: Sequence[Object], shape: tuple[int, int]) -> None:
    rows, columns = shape
    pixels = 0.0
    for item in objects:
        if item.runs:
            pixels += sum(item.runs[1::2])
        elif item.outline:
            x, y = zip(*item.outline, strict=True)
            width = min(max(x), columns) - max(min(x), 0)
            height = min(max(y), rows) - max(min(y), 0)
            pixels += max(width + 1, 1) * max(height + 1, 1)
    if pixels > _MAX_COVERS * rows * columns + _CHUNK:
        raise ValueError(f"objects that cover the image {pixels / (rows * columns):.0f} times over")


def _area(item: Object) -> float:
    if item.runs:
        return float(sum(item.runs[1::2]))
    x, y = np.array(item.outline, dtype=float).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _fill(outlines: Sequence[tuple[Any, int]], mask: Mask) -> None:
    from rasterio.features import rasterize

    shapes = [
        ({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, value)
        for ring, value in outlines
        if len(set(ring)) > 2
    ]
    if shapes:
        rasterize(shapes, out=mask)


def _runs(objects: Sequence[tuple[Sequence[int], int]], shape: tuple[int, int]) -> Mask:
    rows, columns = shape
    flat = np.zeros(rows * columns, np.uint8)
    for runs, value in objects:
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            if start < 0 or length < 1 or start + length > flat.size:
                raise ValueError(f"run {start} {length} leaves an image of {rows}x{columns}")
            flat[start : start + length] = value
    return flat.reshape(columns, rows).T


def shape_of_runs(runs: Sequence[int], shape: tuple[int, int]) -> dict[str, Any]:
    """The GeoJSON geometry, in pixel coordinates, that outlines exactly the pixels of runs.

    Raises:
        ValueError: a run leaves the image.
    """
    from affine import Affine
    from rasterio.features import shapes

    rows, columns = shape
    starts = np.array(runs[::2])
    ends = starts + np.array(runs[1::2])
    left, right = int(starts.min()) // rows, int(ends.max() - 1) // rows + 1
    if left < 0 or right > columns:
        raise ValueError(f"a run leaves an image of {rows}x{columns}")
    part = _runs(
        [([v - (at % 2 == 0) * left * rows for at, v in enumerate(runs)], 1)], (rows, right - left)
    )
    found = shapes(np.ascontiguousarray(part), mask=part > 0, transform=Affine.translation(left, 0))
    polygons = [shape["coordinates"] for shape, _ in found]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def harmonise(mask: NDArray[Any], classes: Sequence[Mapping[str, Any]], label: str) -> Mask:
    """The publisher's mask with the values of the class table (``source_value`` to ``value``).

    A ``source_value`` may be a list of values; the mask itself comes back if nothing changes.

    Raises:
        BadFileError: it has a value that the table does not know.
    """
    if mask.dtype.kind not in "iu":
        raise BadFileError(label, f"a mask of {mask.dtype}; class values are whole numbers")
    lowest, highest = (int(mask.min()), int(mask.max())) if mask.size else (0, 0)
    if lowest < 0 or highest > 255:
        value = lowest if lowest < 0 else highest
        raise BadFileError(label, f"mask value {value} is not in the class table")
    read: Mask = mask.astype(np.uint8, copy=False)
    table = np.full(256, -1, np.int16)
    for row in classes:
        table[row.get("source_value", row["value"])] = row["value"]
    present = np.flatnonzero(_histogram(read))
    if unknown := [int(value) for value in present if table[value] < 0]:
        raise BadFileError(label, f"mask value {unknown[0]} is not in the class table")
    if (table[present] == present).all():
        return read
    harmonised: Mask = np.maximum(table, 0).astype(np.uint8)[read]
    return harmonised


def statistics(
    mask: Mask | None, objects: Sequence[Object] | None, classes: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Of each class but that of value 0: how many objects, and how many pixels of the mask.

    Rows in the order of the class table, as ``satimnet:statistics`` has them; classes that do not
    occur have none.
    """
    counts = Counter(o.name for o in objects or ())
    pixels = None if mask is None else _histogram(mask)
    rows = []
    for row in classes:
        name, value = row["name"], row["value"]
        area = 0 if pixels is None else int(pixels[value])
        if value == 0 or not (counts[name] or area):
            continue
        found: dict[str, Any] = {"class": name}
        if objects is not None:
            found["count"] = counts[name]
        if pixels is not None:
            found["pixels"] = area
        rows.append(found)
    return rows


def _histogram(mask: NDArray[Any]) -> NDArray[np.int64]:
    flat = mask.reshape(-1)
    total = np.zeros(256, np.int64)
    for start in range(0, flat.size, _CHUNK):
        total += np.bincount(flat[start : start + _CHUNK], minlength=256)
    return total
