"""Chip grids: where the chips of an image lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Window(NamedTuple):
    """A part of an image, in its pixels; it may go on beyond the right and the lower edge."""

    left: int
    top: int
    width: int
    height: int


def windows(
    shape: tuple[int, int], size: tuple[int, int], overlap: tuple[int, int] = (0, 0)
) -> Iterator[Window]:
    """The chips of an image, row by row from the upper left.

    The last of a row or column is moved back so that it ends with the image, and overlaps the one
    before it by more. Where the image is smaller than a chip, the chip goes on beyond it.

    Args:
        shape: Rows and columns of the image.
        size: Rows and columns of a chip.
        overlap: Rows and columns that neighbours have in common.

    Example:
        >>> [window.left for window in windows((100, 250), (100, 100), (0, 20))]
        [0, 80, 150]
    """
    rows, columns = size
    for top in _starts(shape[0], rows, overlap[0]):
        for left in _starts(shape[1], columns, overlap[1]):
            yield Window(left, top, columns, rows)


def _starts(length: int, size: int, overlap: int) -> Iterator[int]:
    """Where the chips along an axis begin."""
    step = size - overlap
    start = 0
    while start + size < length:
        yield start
        start += step
    yield max(length - size, 0)
