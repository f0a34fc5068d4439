"""Sizes of images, as the Items state them: batches need images of one size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError

_SHOWN = 3  # sizes that an error lists


def image_sizes(table: pa.Table, key: str) -> NDArray[np.int64]:
    """Return rows and columns of the images `key`, int64 (sample, 2); 0 where nobody says.

    table: rows as in ``items.parquet``. An asset without ``proj:shape`` has that of its Item.
    """
    columns = [table["proj:shape"]] if "proj:shape" in table.column_names else []
    asset = pc.struct_field(table["assets"], [key])
    if asset.type.get_field_index("proj:shape") >= 0:
        columns.insert(0, pc.struct_field(asset, ["proj:shape"]))
    sizes = np.zeros((len(table), 2), np.int64)
    for shapes in map(_pairs, columns):
        sizes = np.where(sizes > 0, sizes, shapes)
    return sizes


def have_size(table: pa.Table, keys: Iterable[str], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which samples have, among the images `keys`, one of that many rows and columns."""
    fits = np.zeros(len(table), np.bool_)
    for key in keys:
        fits |= (image_sizes(table, key) == size).all(axis=1)
    return fits


def _pairs(shapes: pa.ChunkedArray) -> NDArray[np.int64]:
    """Lists of two numbers as array; zeros for others."""
    shapes = shapes.combine_chunks()
    two = pc.fill_null(pc.equal(pc.list_value_length(shapes), 2), False)
    found = np.zeros((len(shapes), 2), np.int64)
    found[np.asarray(two)] = np.asarray(pc.list_flatten(shapes.filter(two))).reshape(-1, 2)
    return found


def require_one_size(table: pa.Table, key: str) -> None:
    """Raise `SatimnetError`, with what to do, if the images `key` have several sizes."""
    sizes = image_sizes(table, key)
    if (sizes == sizes[0]).all() or (sizes == 0).any():
        return
    counts = Counter(map(tuple, sizes.tolist())).most_common()
    listed = [f"{number:,} of {y} x {x}" for (y, x), number in counts[:_SHOWN]]
    if len(counts) > _SHOWN:
        listed.append(f"{sum(number for _, number in counts[_SHOWN:]):,} of other sizes")
    (rows, columns), _ = counts[0]
    raise SatimnetError(
        f"the {key} images of the {len(table):,} samples have several sizes ({', '.join(listed)}); "
        f"batches need one: take samples.of_size({rows}, {columns}), or give the command "
        f"--image-size {rows}x{columns}"
    )
