"""Run-length encoding (RLE): decoding its text, and drawing and outlining what it marks.

A code is pairs of start and length. Pixels are counted down the columns: from 1 in the text, as
Kaggle has them, from 0 everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def decode_runs(code: bytes, pixels: int) -> tuple[int, ...]:
    """Decodes the text of a run-length code.

    Args:
        code: ``start length start length …`` in decimal digits, in ascending order, without
            overlap; the first pixel is 1.
        pixels: How many pixels the image has.

    Returns:
        Start, length, start, length … where the first pixel is 0.

    Raises:
        ValueError: the code is no such text, or a run leaves the image.

    Example:
        >>> decode_runs(b"1 3 770 2", 768 * 768)
        (0, 3, 769, 2)
    """
    if code.count(b" ") > pixels:  # before a list is made of it
        raise ValueError("a code with more runs than the image has pixels")
    words = code.split()
    digits = len(str(pixels))
    if len(words) % 2 or not all(word.isdigit() and len(word) <= digits for word in words):
        raise ValueError("a code that is not pairs of start and length")
    numbers = [int(word) for word in words]
    end = 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        if start <= end or length < 1 or start + length - 1 > pixels:
            raise ValueError(f"run {start} {length} is empty, out of order or out of the image")
        end = start + length - 1
    numbers[::2] = [start - 1 for start in numbers[::2]]
    return tuple(numbers)


def draw_runs(
    objects: Sequence[tuple[Sequence[int], int]], shape: tuple[int, int], top: int, height: int
) -> NDArray[np.uint8]:
    """Draws the part of objects that lies in a strip of the image.

    Args:
        objects: The runs and the class value of each object; later ones lie on top.
        shape: Rows and columns of the whole image.
        top: The first row of the strip.
        height: How many rows the strip has.

    Returns:
        The strip, (y, x), uint8, 0 where no object is.

    Raises:
        ValueError: a run leaves the image.
    """
    rows, columns = shape
    flat = np.zeros(height * columns, np.uint8)
    for runs, value in objects:
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            if start < 0 or length < 1 or start + length > rows * columns:
                raise ValueError(f"run {start} {length} leaves an image of {rows}x{columns}")
        starts = np.array(runs[::2])
        ends = np.stack((starts, starts + np.array(runs[1::2])), axis=1)
        # how many pixels of the strip lie before each end of a run
        ends = ends // rows * height + (ends % rows - top).clip(0, height)
        for first, end in ends.tolist():
            flat[first:end] = value
    return flat.reshape(columns, height).T


def shape_of_runs(runs: Sequence[int], shape: tuple[int, int]) -> dict[str, Any]:
    """The GeoJSON geometry, in pixel coordinates, that outlines exactly the pixels of runs.

    Args:
        runs: Start, length, start, length … of one object.
        shape: Rows and columns of the image.

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
    part = draw_runs(
        [([v - (at % 2 == 0) * left * rows for at, v in enumerate(runs)], 1)],
        (rows, right - left),
        0,
        rows,
    )
    found = shapes(np.ascontiguousarray(part), mask=part > 0, transform=Affine.translation(left, 0))
    polygons = [shape["coordinates"] for shape, _ in found]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}
