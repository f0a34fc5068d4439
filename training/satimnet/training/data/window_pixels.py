"""Window pixels: parts of large images, put together from the tiles under them.

The ranges of all tiles of a call are asked for at once; a tile under several windows is decoded
once. Images that are not tiled are decoded whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.decoding import decode
from satimnet.training.data.image_sizes import as_colour
from satimnet.training.data.layouts import Layout, tile_index_of
from satimnet.training.data.tile_index import TileIndex

Piece = bytes | memoryview
Pieces = Callable[[list[int], list[int], list[int], list[bool]], Sequence[Piece]]
"""Gives ranges: numbers of shards, first bytes, numbers of bytes, and which are not decoded."""

_Key = tuple[int, int]  # shard and first byte of a file
_Place = tuple[int, int, int, int, int]  # window; row and column there; row and column of the tile


def read_windows(layout: Layout, rows: Numbers, out: Array, pieces: Pieces) -> None:
    """Reads windows into an array.

    Args:
        layout: Where the images lie, and their windows.
        rows: Numbers of the windows.
        out: What they are written to (window, y, x, band); 0 beyond the image.
        pieces: Reads ranges of shards.

    Raises:
        BadCatalogError: An image cannot be decoded.
        ArgumentError: An image is of another type than the first.
        StorageError: A shard cannot be read.
    """
    if layout.windows is None:
        raise ArgumentError("layout: has no windows", "layout")
    asked: dict[tuple[_Key, int], list[int]] = {}
    whole: dict[_Key, list[int]] = {}
    indexes: dict[_Key, TileIndex] = {}
    for k, row in enumerate(rows.tolist()):
        key = (int(layout.shard[row, 0]), int(layout.start[row, 0]))
        index = tile_index_of(layout, row)
        if index is None:
            whole.setdefault(key, []).append(k)
            continue
        indexes[key] = index
        top, left, height, width = _inside(layout, row, index.shape[:2])
        if (height, width) != layout.image_size or not index.sizes.all():
            out[k] = 0
        for number, _, _ in index.under(top, left, height, width):
            asked.setdefault((key, number), []).append(k)
    there = [one for one in asked if indexes[one[0]].sizes[one[1]]]
    found = pieces(
        [key[0] for key, _ in there],
        [key[1] + int(indexes[key].offsets[number]) for key, number in there],
        [int(indexes[key].sizes[number]) for key, number in there],
        [indexes[key].plain for key, _ in there],
    )
    for (key, number), data in zip(there, found, strict=True):
        _paste(layout, rows, out, indexes[key], number, data, asked[key, number])
    for key, own in whole.items():
        row = int(rows[own[0]])
        (data,) = pieces([key[0]], [key[1]], [int(layout.size[row, 0])], [False])
        try:
            image = as_colour(decode(data, layout.shape[2]), layout.shape[2])
        except SatimnetError as error:
            raise BadCatalogError(f"{_name(layout, row)} {error}") from error
        _require_like(layout, row, image.shape[2], image.dtype)
        for k in own:
            top, left, height, width = _inside(layout, int(rows[k]), image.shape[:2])
            out[k] = 0
            part = image[top : top + height, left : left + width]
            out[k, :height, :width] = part[..., list(layout.columns)]


def _paste(
    layout: Layout,
    rows: Numbers,
    out: Array,
    index: TileIndex,
    number: int,
    data: Piece,
    windows: Sequence[int],
) -> None:
    """Writes a tile into the windows that lie on it."""
    row = int(rows[windows[0]])
    _require_like(layout, row, index.shape[2], index.dtype)
    plane = index.plane_of(number)
    each = len(index.offsets) // (index.shape[2] if index.planes else 1)
    per_row = -(-index.shape[1] // index.tile[1])
    y, x = divmod(number % each, per_row)
    y, x = y * index.tile[0], x * index.tile[1]
    insides = [_inside(layout, int(rows[k]), index.shape[:2]) for k in windows]
    first = max(0, min(top for top, *_ in insides) - y)
    end = min(index.tile[0], max(top + height for top, _, height, _ in insides) - y)
    tile = index.decode(data, slice(first, end), _name(layout, row))
    y += first
    for k, (top, left, height, width) in zip(windows, insides, strict=True):
        y0, y1 = max(y, top), min(y + len(tile), top + height)
        x0, x1 = max(x, left), min(x + index.tile[1], left + width)
        part = tile[y0 - y : y1 - y, x0 - x : x1 - x]
        target = out[k, y0 - top : y1 - top, x0 - left : x1 - left]
        if plane is not None:
            for at, column in enumerate(layout.columns):
                if column == plane:
                    target[..., at] = part[..., 0]
        elif index.shape[2] == 1:
            target[:] = part  # also into three bands: grey among colour images
        elif layout.columns == tuple(range(index.shape[2])):
            target[:] = part
        else:
            target[:] = part[..., list(layout.columns)]


def _inside(layout: Layout, row: int, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Top, left, rows and columns of the part of a window that lies in its image."""
    if layout.windows is None:
        raise ArgumentError("layout: has no windows", "layout")
    top, left = layout.windows[row].tolist()
    height, width = (
        min(want, have - at)
        for want, have, at in zip(layout.image_size, shape, (top, left), strict=True)
    )
    if height < 1 or width < 1:
        raise BadCatalogError(
            f"{_name(layout, row)} is smaller than the catalog says; build the catalog again"
        )
    return top, left, height, width


def _require_like(layout: Layout, row: int, bands: int, dtype: np.dtype[np.generic]) -> None:
    """Refuses an image of another type than the first."""
    wanted = layout.shape[2]
    if (bands != wanted and (bands, wanted) != (1, 3)) or dtype.newbyteorder("=") != layout.dtype:
        raise ArgumentError(
            f"{_name(layout, row)} has {bands} bands of {dtype}, the first sample {wanted} of "
            f"{layout.dtype}; batches need images of one type",
            "bands",
        )


def _name(layout: Layout, row: int) -> str:
    """The shard and the id of a sample, for messages."""
    return f"{layout.shards[int(layout.shard[row, 0])]}: sample {layout.ids[row]}"
