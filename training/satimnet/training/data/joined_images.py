"""Joined images: what batches have instead of a tensor for each size of image.

With `images` it is a tensor for each name, as of several sensors. With `resample` all bands are on
one grid, so that those of several sizes are one tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.training.data.array_types import Images, Resample
from satimnet.training.data.batch_options import BatchOptions
from satimnet.training.data.image_assets import Assets, images_of, named_images
from satimnet.training.data.image_places import require_same_ground
from satimnet.training.data.image_sizes import require_same_grid
from satimnet.training.data.layouts import Layout, locate_images, sizes_in_words
from satimnet.training.data.sample_table import ONE_COLLECTION, SampleTable
from satimnet.training.data.versioned_pickles import VersionedPickle

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 2**14


@dataclass(frozen=True)
class JoinedImage(VersionedPickle):
    """An image of a batch, put together of what is read by some of its layouts.

    Attributes:
        name: What the batch calls it; None where there is one alone.
        bands: Names of its bands.
        first: The number of its first layout.
        places: Of each of its layouts, where the bands stand in the image.
        nodata: Of each of its layouts, the no-data values of the bands, as batches have them.
    """

    name: str | None
    bands: tuple[str, ...]
    first: int
    places: tuple[tuple[int, ...], ...]
    nodata: tuple[tuple[float | None, ...], ...]

    def own(self, layouts: Sequence[Layout]) -> Sequence[Layout]:
        """Those of all layouts that it is put together of."""
        return layouts[self.first : self.first + len(self.places)]

    def of(
        self, tensors: Sequence[Tensor], grid: tuple[int, int] | None, how: Resample | None
    ) -> Tensor:
        """The image, (sample, band, y, x), of tensors of its own layouts."""
        if grid is not None and how is not None:
            from satimnet.training.data.resampling import resampled

            tensors = [
                resampled(tensor, grid, how, nodata)
                for tensor, nodata in zip(tensors, self.nodata, strict=True)
            ]
        if len(tensors) == 1:
            return tensors[0]
        first = tensors[0]
        image = first.new_empty((len(first), len(self.bands), *first.shape[2:]))
        for tensor, places in zip(tensors, self.places, strict=True):
            image[:, list(places)] = tensor
        return image


@dataclass(frozen=True)
class JoinedImages(VersionedPickle):
    """All images of a batch.

    Attributes:
        images: What each is put together of.
        how: How they are brought to the grid.
        grid: Rows and columns of the grid of all; None where each has its own.
    """

    images: tuple[JoinedImage, ...]
    how: Resample | None
    grid: tuple[int, int] | None

    def of(self, tensors: Sequence[Tensor]) -> Tensor | dict[str, Tensor]:
        """The images, by name if they have names, of what was read by all layouts."""
        ends = (image.first + len(image.places) for image in self.images)
        made = [
            image.of(tensors[image.first : end], self.grid, self.how)
            for image, end in zip(self.images, ends, strict=True)
        ]
        names = [image.name for image in self.images]
        return {name: one for name, one in zip(names, made, strict=True) if name} or made[0]

    def masks(self, masks: Tensor) -> Tensor:
        """Masks (sample, y, x) on the grid of the images, each pixel the nearest one's."""
        if self.grid is None or tuple(masks.shape[1:]) == self.grid:
            return masks
        from satimnet.training.data.resampling import resampled

        return resampled(masks[:, None], self.grid, "nearest")[:, 0]

    def size(self, count: int, layouts: Sequence[Layout]) -> int:
        """How many values so many samples have, beyond those that are read."""
        sizes = [self.grid or image.own(layouts)[0].image_size for image in self.images]
        bands = [len(image.bands) for image in self.images]
        return count * sum(n * prod(size) for n, size in zip(bands, sizes, strict=True))


def assets_of(samples: SampleTable, bands: Sequence[str] | None, images: Images | None) -> Assets:
    """The image assets that are read for bands, or for several images.

    Raises:
        ArgumentError: Both are given, or samples do not have them.
    """
    if images is None:
        return {None: images_of(samples, bands)}
    if bands is not None:
        raise ArgumentError("bands and images exclude each other; give one of them", "images")
    return named_images(samples, images)


def keys_of(assets: Assets) -> list[str]:
    """The keys of all assets, each once."""
    return list(dict.fromkeys(key for own in assets.values() for key in own))


def locate_joined(
    samples: SampleTable, assets: Assets, options: BatchOptions
) -> tuple[tuple[Layout, ...], JoinedImages | None]:
    """Where the pixels of images lie, and how they are put together.

    Args:
        samples: The samples.
        assets: What `assets_of` gives.
        options: All options of `Samples.to_batches`.

    Returns:
        The layouts; None where batches have a tensor for each of them.

    Raises:
        ArgumentError: An image has bands of several sizes or types, or the images cannot be brought
            to one grid.
        SatimnetError: As `layouts.locate_all`.
    """
    images, how = options["images"], options["resample"]
    _require_fitting(options)
    if images is None and how is None:
        return locate_images(samples, assets[None], options["bands"]), None
    keys = keys_of(assets)
    if samples.crop is not None:
        require_same_grid(samples.table, keys)
    if how is not None:
        require_same_ground(samples.table, keys, "resample")
    layouts: list[Layout] = []
    joined: list[JoinedImage] = []
    for name, own in assets.items():
        bands = options["bands"] if name is None or images is None else images[name]
        found = locate_images(samples, own, bands)
        if how is None:
            _require_one_size(str(name), found)
        _require_one_type(found, options)
        factor = factor_of(name, options)
        order = [one for names in own.values() for one in names] if len(own) > 1 else found[0].bands
        joined.append(
            JoinedImage(
                name,
                tuple(order),
                len(layouts),
                tuple(tuple(map(order.index, layout.bands)) for layout in found),
                tuple(_nodata(samples, own, layout, factor) for layout in found),
            )
        )
        layouts += found
    grid = None if how is None else options["grid"] or layouts[0].image_size
    return tuple(layouts), JoinedImages(tuple(joined), how, grid)


def factors_of(
    joined: JoinedImages | None, layouts: Sequence[Layout], options: BatchOptions
) -> tuple[float | None, ...] | None:
    """What the values of each layout are multiplied by; None: nothing."""
    if options["scale"] is None:
        return None
    if joined is None:
        return (factor_of(None, options),) * len(layouts)
    return tuple(factor_of(image.name, options) for image in joined.images for _ in image.places)


def factor_of(name: str | None, options: BatchOptions) -> float | None:
    """What the values of an image are multiplied by."""
    scale = options["scale"]
    return scale.get(name or "") if isinstance(scale, Mapping) else scale


def _require_fitting(options: BatchOptions) -> None:
    """Refuses options that exclude each other."""
    how, grid, scale = options["resample"], options["grid"], options["scale"]
    names = options["images"] or {}
    if how not in (None, "nearest", "bilinear"):
        raise ArgumentError(f'resample {how}: there are "nearest", "bilinear" and None', "resample")
    if grid is not None and how is None:
        raise ArgumentError("grid is for resample; give both or none", "grid")
    if grid is not None and not all(1 <= side <= _LARGEST for side in grid):
        raise ArgumentError(f"grid {grid[0]} x {grid[1]}: from 1 to {_LARGEST:,}", "grid")
    if options["dtype"] not in ("float32", "stored"):
        raise ArgumentError(f'dtype {options["dtype"]}: there are "float32" and "stored"', "dtype")
    if options["dtype"] == "stored" and (how is not None or scale is not None):
        raise ArgumentError(
            'dtype "stored" leaves values as they are; leave out scale and resample', "dtype"
        )
    if isinstance(scale, Mapping):
        unknown = [name for name in scale if name not in names]
        if unknown:
            there = ", ".join(names) or "none; give a number"
            raise ArgumentError(f"scale: no image {unknown[0]}; there are {there}", "scale")


def _require_one_size(name: str, layouts: Sequence[Layout]) -> None:
    if len({layout.image_size for layout in layouts}) > 1:
        raise ArgumentError(
            f"the bands of {name} have several sizes ({sizes_in_words(layouts)}); give "
            'resample="bilinear" or "nearest", or a name to the bands of each size',
            "images",
        )


def _require_one_type(layouts: Sequence[Layout], options: BatchOptions) -> None:
    if options["dtype"] == "stored" and len({layout.dtype for layout in layouts}) > 1:
        raise ArgumentError(
            f"bands of one image are stored in several types ({sizes_in_words(layouts)}); leave "
            "out dtype, or give a name to the bands of each type",
            "dtype",
        )


def _nodata(
    samples: SampleTable,
    assets: Mapping[str, tuple[str, ...]],
    layout: Layout,
    factor: float | None,
) -> tuple[float | None, ...]:
    """The no-data values of the bands of a layout, as batches have them: scaled, in float32."""
    found = []
    for band in layout.bands:
        key = next(key for key, names in assets.items() if band in names)
        values = {
            asset.nodata if one.nodata is None else one.nodata
            for home in samples.collections.values()
            if (asset := home.document.item_assets.get(key)) is not None
            for one in asset.bands
            if one.name == band
        }
        if len(values) > 1:
            raise ArgumentError(
                f"{key} has several no-data values, which resample must not mix; {ONE_COLLECTION}",
                "collections",
            )
        value = values.pop() if values else None
        found.append(None if value is None else _number(value, factor, samples, key))
    return tuple(found)


def _number(value: float | str, factor: float | None, samples: SampleTable, key: str) -> float:
    """A no-data value, multiplied as the pixels are."""
    try:
        number = np.float32(value)
    except ValueError as error:
        raise BadCatalogError(
            f"{samples.table['parquet'][0].as_py()}: the no-data value {value!r:.60} of {key} is "
            "no number; build the catalog again"
        ) from error
    with np.errstate(over="ignore"):
        return float(number if factor is None else number * np.float32(factor))
