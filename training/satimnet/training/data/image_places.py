"""Image places: whether the images of a sample, of several sensors, show the same ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.image_assets import field_of
from satimnet.training.data.image_sizes import image_sizes

_APART = 0.5
"""Of the larger pixels, how far corners of two images may lie from each other."""


def require_same_ground(table: pa.Table, keys: Sequence[str], argument: str) -> None:
    """Refuses images that do not cover the same ground, as far as the catalog says where they lie.

    Args:
        table: Rows as in ``items.parquet``.
        keys: The image assets.
        argument: What needs it.

    Raises:
        ArgumentError: Corners of two images of a sample are more than half a pixel apart, or their
            coordinate systems differ.
    """
    first, *others = keys
    corners, pixel = _corners(table, first)
    system = _systems(table, first)
    for key in others:
        own, own_pixel = _corners(table, key)
        far = np.abs(own - corners).max(axis=(1, 2)) > _APART * np.maximum(pixel, own_pixel)
        elsewhere = np.array(pc.fill_null(pc.not_equal(_systems(table, key), system), False))
        wrong = far | elsewhere
        if wrong.any():
            raise ArgumentError(
                f"{first} and {key} do not cover the same ground in {int(wrong.sum()):,} of the "
                f"{len(table):,} samples, {table['id'][int(wrong.argmax())]} first; leave out "
                f"{argument}, or choose other images",
                argument,
            )


def _corners(table: pa.Table, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two opposite corners of each image, (sample, 2, 2), and the side of a pixel; NaN: unknown."""
    own_grid = _has_own_grid(table, key)
    own, items = (_transforms(one) for one in _columns(table, key, "proj:transform"))
    a, b, c, d, e, f = np.where(own_grid[:, None], own, items).T
    sizes = image_sizes(table, key).astype(np.float64)
    rows, columns = np.where(sizes > 0, sizes, np.nan).T
    first = np.stack([c, f], axis=-1)
    last = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=-1)
    return np.stack([first, last], axis=1), np.maximum(np.hypot(a, d), np.hypot(b, e))


def _systems(table: pa.Table, key: str) -> pa.Array:
    """The code of the coordinate system of each image; null: unknown."""
    own, items = (
        pa.nulls(len(table), pa.string()) if one is None else pc.cast(one, pa.string())
        for one in _columns(table, key, "proj:code")
    )
    return pc.if_else(pa.array(_has_own_grid(table, key)), own, items)


def _has_own_grid(table: pa.Table, key: str) -> NDArray[np.bool_]:
    """Whether an image has another grid than its Item; then it has nothing of it."""
    own, _ = _columns(table, key, "proj:shape")
    if own is None:
        return np.zeros(len(table), np.bool_)
    return np.asarray(own.is_valid())


def _columns(
    table: pa.Table, key: str, name: str
) -> tuple[pa.ChunkedArray | None, pa.ChunkedArray | None]:
    """What the images and what their Items say."""
    item = table[name] if name in table.column_names else None
    return field_of(pc.struct_field(table["assets"], [key]), name), item


def _transforms(lists: pa.ChunkedArray | None) -> NDArray[np.float64]:
    """The six numbers of each affine transform; NaN where there is none."""
    if lists is None:
        return np.full((1, 6), np.nan)
    lists = lists.combine_chunks()
    found = np.full((len(lists), 6), np.nan)
    for length in (6, 9):  # STAC allows the last row, too
        such = pc.fill_null(pc.equal(pc.list_value_length(lists), length), False)
        numbers = pc.cast(pc.list_flatten(lists.filter(such)), pa.float64())
        found[np.asarray(such)] = np.asarray(numbers).reshape(-1, length)[:, :6]
    return found
