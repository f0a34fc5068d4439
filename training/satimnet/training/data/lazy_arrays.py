"""Samples as lazy xarray arrays over dask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray
from dask.delayed import delayed
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError
from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.batch_options import DEFAULTS, BatchOptions
from satimnet.training.data.joined_images import (
    JoinedImage,
    JoinedImages,
    assets_of,
    locate_joined,
)
from satimnet.training.data.layouts import Layout, locate_mask
from satimnet.training.data.pixels import Reader
from satimnet.training.data.sample_table import SampleTable

_FEWEST = 64
"""Samples of a dask chunk, if there are as many: a task costs about as much as reading ten."""


def to_xarray(
    samples: SampleTable, bands: Sequence[str] | None, mask: str | None, options: BatchOptions
) -> xarray.DataArray | xarray.Dataset:
    """Gives the stored values as lazy arrays; see `Samples.to_xarray`."""
    chosen = DEFAULTS | options | {"bands": bands}
    samples = samples.fitted(chosen["size"])
    assets = assets_of(samples, bands, chosen["images"])
    layouts, joined = locate_joined(samples, assets, chosen)
    masks = None if mask is None else locate_mask(samples, mask)
    groups = _groups(layouts[0].shard[:, 0])
    ordered = samples.subset(np.concatenate(groups))
    coords: dict[str, Any] = {"id": ("sample", ordered.ids)} | _classes(ordered)
    if any(ordered.splits):
        coords["split"] = ("sample", [split or "" for split in ordered.splits])
    if joined is not None:
        times = {name: ordered.datetimes(next(iter(own))) for name, own in assets.items() if name}
        return _joined(joined, layouts, masks, groups, coords, times)
    names = [_name(layout) if len(layouts) > 1 else "images" for layout in layouts]
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


def _joined(
    joined: JoinedImages,
    layouts: Sequence[Layout],
    masks: Layout | None,
    groups: Sequence[Numbers],
    coords: Mapping[str, Any],
    times: Mapping[str, NDArray[np.datetime64]],
) -> xarray.DataArray | xarray.Dataset:
    """An array for each image that is put together of others; ``times`` by the images' names."""
    arrays = {}
    taken = {*coords, "masks", "band", "sample"}
    grid = ("y_masks", "x_masks") if joined.grid is None else ("y", "x")
    for image in joined.images:
        if image.name in taken:
            raise ArgumentError(f"images: {image.name} is the name of something else", "images")
        suffix = f"_{image.name}" if image.name else ""
        axes = ("y", "x") if joined.grid else (f"y{suffix}", f"x{suffix}")
        own = image.own(layouts)
        if masks is not None and own[0].image_size == masks.image_size and grid[0] == "y_masks":
            grid = axes
        named = dict(coords) | {f"band{suffix}": list(image.bands)}
        time = times.get(image.name or "")
        if time is not None and not np.isnat(time).all():
            named[f"datetime{suffix}"] = ("sample", time)
        name = image.name or "images"
        dims = ("sample", f"band{suffix}", *axes)
        arrays[name] = xarray.DataArray(_lazy_joined(joined, image, own, groups), named, dims, name)
    if masks is None and joined.images[0].name is None:
        return arrays["images"]
    if masks is not None:
        read = _lazy(masks, groups)[:, 0]
        if joined.grid is not None:
            chunks = (read.chunks[0], *joined.grid)
            read = read.map_blocks(_masks_on_grid, joined, dtype=np.uint8, chunks=chunks)
        arrays["masks"] = xarray.DataArray(read, coords, ("sample", *grid), name="masks")
    return xarray.Dataset(arrays)


def _lazy_joined(
    joined: JoinedImages, image: JoinedImage, own: Sequence[Layout], groups: Sequence[Numbers]
) -> da.Array:
    """The samples of the groups, (sample, band, y, x)."""
    sizes = (len(image.bands), *(joined.grid or own[0].image_size))
    dtype = np.result_type(*(layout.dtype for layout in own)) if joined.grid is None else np.float32
    chunks = [
        da.from_delayed(
            delayed(_read_joined)(joined, image, [layout.take(rows) for layout in own]),
            (len(rows), *sizes),
            dtype,
        )
        for rows in groups
    ]
    found: da.Array = da.concatenate(chunks)
    return found


def _read_joined(joined: JoinedImages, image: JoinedImage, own: Sequence[Layout]) -> Array:
    """Some samples of an image, (sample, band, y, x): as they are stored, or resampled."""
    parts = [_read(layout) for layout in own]
    if joined.grid is None:
        found = np.empty(
            (len(parts[0]), len(image.bands), *parts[0].shape[2:]),
            np.result_type(*(part.dtype for part in parts)),
        )
        for part, places in zip(parts, image.places, strict=True):
            found[:, list(places)] = part
        return found
    import torch

    tensors = [torch.from_numpy(part.astype(np.float32)) for part in parts]
    return image.of(tensors, joined.grid, joined.how).numpy()


def _masks_on_grid(masks: Array, joined: JoinedImages) -> Array:
    import torch

    return joined.masks(torch.from_numpy(masks)).numpy()


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
