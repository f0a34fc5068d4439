"""Masks: what annotators marked, as a label raster on the image's grid.

Where objects overlap, larger ones are drawn first and equal ones in the order of the file, so that
the later and the smaller lie on top. A pixel belongs to an outline if its centre lies inside it.
Class values are those of the dataset's class table, 0 is background.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import BadCatalogError, BadFileError
from satimnet.builder.imagery.run_lengths import draw_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.samples import Object

    Mask = NDArray[np.uint8]

_CHUNK = 2**22  # pixels counted at once: counting makes 8 bytes of each
_MAX_VALUE = 2**16 - 1  # of publishers' masks; land-cover codes have three digits, as of CORINE
_MAX_COVERS = 200
"""How often objects may cover their image: in crowded scenes it is a few times, and each time
costs as much as drawing the image once."""


def draw(
    objects: Sequence[Object],
    values: Mapping[str, int],
    shape: tuple[int, int],
    height: int | None = None,
) -> Iterator[Mask]:
    """Draws the mask of objects in strips, from its top.

    Args:
        objects: What annotators marked.
        values: Class names to class values.
        shape: Rows and columns of the image.
        height: How many rows a strip has; None is all of them.

    Yields:
        Strips (y, x), uint8.

    Raises:
        ValueError: a run leaves the image, or the objects cover it absurdly often.
    """
    _refuse_heaps(objects, shape)
    rows, columns = shape
    ordered = sorted(objects, key=_area, reverse=True)  # stable: equal areas keep their order
    groups = [(by_runs, list(group)) for by_runs, group in groupby(ordered, lambda o: bool(o.runs))]
    for top in range(0, rows, height or rows):
        mask = np.zeros((min(height or rows, rows - top), columns), np.uint8)
        for by_runs, group in groups:
            if by_runs:
                runs = [(o.runs, values[o.name]) for o in group]
                drawn = draw_runs(runs, shape, top, len(mask))
                np.copyto(mask, drawn, where=drawn > 0)
            else:
                _fill([(part, values[o.name]) for o in group for part in o.parts], mask, top)
        yield mask


def filled(value: int, shape: tuple[int, int], height: int | None = None) -> Iterator[Mask]:
    """The mask of an image that is of one class as a whole, in strips from its top.

    Args:
        value: Class value.
        shape: Rows and columns of the image.
        height: How many rows a strip has; None is all of them.

    Yields:
        Strips (y, x), uint8.

    Example:
        >>> next(filled(3, (1, 2))).tolist()
        [[3, 3]]
    """
    rows, columns = shape
    for top in range(0, rows, height or rows):
        yield np.full((min(height or rows, rows - top), columns), value, np.uint8)


def _refuse_heaps(objects: Sequence[Object], shape: tuple[int, int]) -> None:
    rows, columns = shape
    pixels = 0.0
    for item in objects:
        if item.runs:
            pixels += sum(item.runs[1::2])
        for outer, *_ in item.parts:
            x, y = zip(*outer, strict=True)
            width = min(max(x), columns) - max(min(x), 0)
            height = min(max(y), rows) - max(min(y), 0)
            pixels += max(width + 1, 1) * max(height + 1, 1)
    if pixels > _MAX_COVERS * rows * columns + _CHUNK:
        raise ValueError(f"objects that cover the image {pixels / (rows * columns):.0f} times over")


def _area(item: Object) -> float:
    if item.runs:
        return float(sum(item.runs[1::2]))
    return (
        sum(_ring_area(outer) - sum(map(_ring_area, holes)) for outer, *holes in item.parts) or 0.0
    )


def _ring_area(ring: Sequence[tuple[float, float]]) -> float:
    x, y = np.array(ring, dtype=float).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _fill(polygons: Sequence[tuple[Any, int]], mask: Mask, top: int) -> None:
    """Fills the part of polygons that lies in ``mask``, the rows of the image from ``top``."""
    from affine import Affine
    from rasterio.features import rasterize

    shapes = [
        ({"type": "Polygon", "coordinates": [[*one, one[0]] for one in (ring, *holes)]}, value)
        for (ring, *holes), value in polygons
        if len(set(ring)) > 2
        and min(y for _, y in ring) < top + len(mask)
        and max(y for _, y in ring) > top
    ]
    if shapes:
        rasterize(shapes, out=mask, transform=Affine.translation(0, top))


def harmonise(mask: NDArray[Any], classes: Sequence[Mapping[str, Any]], label: str) -> Mask:
    """Translates the publisher's mask into the values of the class table.

    A mask of one band has values (``source_value`` to ``value``), one of three or four bands has
    colours (``source_color``, else ``color_hint``, to ``value``). A class may have several of them.

    Args:
        mask: The publisher's mask, (band, y, x).
        classes: Rows of the class table.
        label: The name of the mask in errors.

    Returns:
        The mask, (y, x), uint8; the band itself if nothing changes.

    Raises:
        BadFileError: it has a value or a colour that the table does not know.
    """
    if mask.dtype.kind not in "iu":
        raise BadFileError(label, f"a mask of {mask.dtype}; class values are whole numbers")
    if len(mask) > 1:
        return _of_colours(mask, classes, label)
    band = mask[0]
    known = _source_values(classes)
    lowest, highest = (int(band.min()), int(band.max())) if band.size else (0, 0)
    if lowest < 0 or highest > max(255, *known):
        value = lowest if lowest < 0 else highest
        raise BadFileError(label, f"mask value {value} is not in the class table")
    table = np.full(max(255, *known) + 1, -1, np.int16)
    table[list(known)] = list(known.values())
    present = np.flatnonzero(histogram(band, len(table)))
    if unknown := [int(value) for value in present if table[value] < 0]:
        raise BadFileError(label, f"mask value {unknown[0]} is not in the class table")
    if (table[present] == present).all():
        read: Mask = band.astype(np.uint8, copy=False)
        return read
    harmonised: Mask = np.maximum(table, 0).astype(np.uint8)[band]
    return harmonised


def _source_values(classes: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """The values that publisher's masks have, each with that of the class table.

    Raises:
        BadCatalogError: no image has such a value.
    """
    known = {}
    for row in classes:
        stated = row.get("source_value", row["value"])
        for value in [stated] if isinstance(stated, int) else stated:
            if not 0 <= value <= _MAX_VALUE:
                raise BadCatalogError(
                    f"class {row['name']} of the record: masks have values from 0 to "
                    f"{_MAX_VALUE}, not {value}"
                )
            known[value] = row["value"]
    return known


def _of_colours(mask: NDArray[Any], classes: Sequence[Mapping[str, Any]], label: str) -> Mask:
    """The class values of red, green and blue; a fourth band, transparency, is not looked at."""
    if len(mask) not in (3, 4) or mask.dtype != np.uint8:
        raise BadFileError(label, f"a mask of {len(mask)} bands of {mask.dtype}, not of RGB")
    known = {colour: row["value"] for row in classes for colour in colours_of(row)}
    order = np.array(sorted(known), np.uint32)
    values = np.array([known[colour] for colour in order.tolist()], np.uint8)
    bands = mask[:3].reshape(3, -1)
    found = np.empty(bands.shape[1], np.uint8)
    for start in range(0, found.size, _CHUNK):
        red, green, blue = bands[:, start : start + _CHUNK].astype(np.uint32)
        codes = red << 16 | green << 8 | blue
        unknown = codes[~np.isin(codes, order)]
        if unknown.size:
            raise BadFileError(label, f"mask colour #{unknown[0]:06X} is not in the class table")
        found[start : start + _CHUNK] = values[np.searchsorted(order, codes)]
    return found.reshape(mask.shape[1:])


def colours_of(row: Mapping[str, Any]) -> list[int]:
    """The colours that a class of the table has in the publisher's masks, as 0xRRGGBB.

    Raises:
        BadCatalogError: one of them is not written as six hexadecimal digits.
    """
    found = row.get("source_color", row.get("color_hint", []))
    try:
        return [
            int.from_bytes(bytes.fromhex(text.removeprefix("#")))
            for text in ([found] if isinstance(found, str) else found)
        ]
    except (ValueError, AttributeError, TypeError):
        raise BadCatalogError(
            f"class {row['name']} of the record: {found!r:.60} is no colour; write #RRGGBB"
        ) from None


def statistics(
    pixels: NDArray[np.int64] | None,
    objects: Sequence[Object] | None,
    classes: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """How many objects and pixels each class has, but for the class of value 0.

    Args:
        pixels: The mask's `histogram`; None without a mask.
        objects: What annotators marked; None where they marked no single objects.
        classes: Rows of the class table.

    Returns:
        Rows of ``satimnet:statistics`` in the order of the class table; classes that do not occur
        have none.
    """
    counts = Counter(o.name for o in objects or ())
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


def histogram(mask: NDArray[Any], values: int = 256) -> NDArray[np.int64]:
    """How many pixels of a mask have each of the values from 0 on, of which there are so many."""
    flat = mask.reshape(-1)
    total = np.zeros(values, np.int64)
    for start in range(0, flat.size, _CHUNK):
        total += np.bincount(flat[start : start + _CHUNK], minlength=values)
    return total
