"""Samples as one lazy xarray array over dask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import xarray
from dask.delayed import delayed

from .pixels import Array, Layout, Reader, locate

if TYPE_CHECKING:
    from .samples import Samples


def to_xarray(samples: Samples, bands: Sequence[str] | None = None) -> xarray.DataArray:
    """Return the stored values as a lazy array (sample, band, y, x), one dask chunk per shard.

    Samples are grouped by shard, in the order in which their shards first occur, and keep their
    order within it: a search's result stays as it is. Coordinates: id (the index of sample),
    class (name), split where there is one, band. Nothing but the tasks' positions is read or
    held before it is computed, and the tasks pickle, so any dask scheduler can run them.
    Raises `SatimnetError` as `to_batches` does.
    """
    layout = locate(samples, bands)
    _, first, inverse = np.unique(layout.shard, return_index=True, return_inverse=True)
    order = np.argsort(first[inverse], kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(layout.shard[order])) + 1)
    _, *sizes = (layout.buffer_shape(0)[axis] for axis in layout.public_axes)
    chunks = [
        da.from_delayed(delayed(_read)(layout.take(rows)), (len(rows), *sizes), layout.dtype)
        for rows in groups
    ]
    samples = samples.subset(order)
    coords = {
        "id": ("sample", samples.ids),
        "band": ("band", list(layout.bands)),
        "class": ("sample", np.array(samples.classes)[samples.labels]),
    }
    if any(samples.splits):
        coords["split"] = ("sample", [split or "" for split in samples.splits])
    dims = ("sample", "band", "y", "x")
    return xarray.DataArray(da.concatenate(chunks), coords, dims, name="images")


def _read(layout: Layout) -> Array:
    """The samples of one shard, (sample, band, y, x)."""
    out = np.empty(layout.buffer_shape(len(layout)), layout.dtype)
    with Reader(layout) as reader:
        reader.read(np.arange(len(layout)), out)
    return out.transpose(layout.public_axes)
