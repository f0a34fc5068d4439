"""Samples as lazy xarray arrays over dask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray
from dask.delayed import delayed

from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.layouts import Layout, locate_all, locate_mask
from satimnet.training.data.pixels import Reader
from satimnet.training.data.sample_table import SampleTable

_FEWEST = 64
"""Samples of a dask chunk, if there are as many: a task costs about as much as reading ten."""


def to_xarray(
    samples: SampleTable,
    bands: Sequence[str] | None = None,
    mask: str | None = None,
    size: tuple[int, int] | None = None,
) -> xarray.DataArray | xarray.Dataset:
    """Gives the stored values as lazy arrays; see `Samples.to_xarray`."""
    samples = samples.fitted(size)
    layouts = locate_all(samples, bands)
    masks = None if mask is None else locate_mask(samples, mask)
    groups = _groups(layouts[0].shard[:, 0])
    names = [_name(layout) if len(layouts) > 1 else "images" for layout in layouts]
    ordered = samples.subset(np.concatenate(groups))
    coords: dict[str, Any] = {"id": ("sample", ordered.ids)} | _classes(ordered)
    if any(ordered.splits):
        coords["split"] = ("sample", [split or "" for split in ordered.splits])
    arrays = {}
    for name, layout in zip(names, layouts, strict=True):
        suffix = name.removeprefix("images")
        dims = ("sample", f"band{suffix}", f"y{suffix}", f"x{suffix}")
        named = coords | {dims[1]: list(layout.bands)}
        arrays[name] = xarray.DataArray(_lazy(layout, groups), named, dims, name=name)
    if masks is None and len(arrays) == 1:
        return arrays["images"]
    if masks is not None:
        grid = ("y_masks", "x_masks")
        for name, layout in zip(names, layouts, strict=True):
            if layout.image_size == masks.image_size:
                suffix = name.removeprefix("images")
                grid = (f"y{suffix}", f"x{suffix}")
        arrays["masks"] = xarray.DataArray(
            _lazy(masks, groups)[:, 0], coords, ("sample", *grid), name="masks"
        )
    return xarray.Dataset(arrays)


def _groups(shard: Numbers) -> list[Numbers]:
    """Rows of each chunk: those of a shard, of several if they are few."""
    _, first, inverse = np.unique(shard, return_index=True, return_inverse=True)
    order = np.argsort(first[inverse], kind="stable")
    groups: list[Numbers] = []
    few: list[Numbers] = []
    for rows in np.split(order, np.flatnonzero(np.diff(shard[order])) + 1):
        few.append(rows)
        if sum(map(len, few)) >= _FEWEST:
            groups.append(np.concatenate(few))
            few = []
    if few:
        groups[-1:] = [np.concatenate([*groups[-1:], *few])]
    return groups


def _name(layout: Layout) -> str:
    """The name of the array where there are several."""
    return "images_" + "x".join(map(str, layout.image_size))


def _classes(samples: SampleTable) -> dict[str, Any]:
    """The coordinate with the classes, if the catalog says any."""
    tags = samples.table["satimnet:classes"].to_pylist()
    if all(own is None for own in tags):
        return {}
    if all(own is not None and len(own) == 1 for own in tags):
        return {"class": ("sample", np.array(samples.classes)[samples.labels])}
    # of some samples nobody may know: their text is empty, and so is that of those without any
    places = {name: at for at, name in enumerate(samples.classes)}
    joined = [", ".join(sorted(own or (), key=lambda name: places.get(name, 0))) for own in tags]
    return {"classes": ("sample", joined)}


def _lazy(layout: Layout, groups: Sequence[Numbers]) -> da.Array:
    """The samples of the groups, (sample, band, y, x)."""
    _, *sizes = (layout.buffer_shape(0)[axis] for axis in layout.public_axes)
    chunks = [
        da.from_delayed(delayed(_read)(layout.take(rows)), (len(rows), *sizes), layout.dtype)
        for rows in groups
    ]
    joined: da.Array = da.concatenate(chunks)
    return joined


def _read(layout: Layout) -> Array:
    """Some samples, (sample, band, y, x)."""
    out = np.empty(layout.buffer_shape(len(layout)), layout.dtype)
    with Reader(layout) as reader:
        reader.read(np.arange(len(layout)), out)
    return np.asarray(out.transpose(layout.public_axes))
