"""Where the pixels of samples lie in the shards: what a reader needs to know beforehand.

It is taken from the columns of the item table and checked before anything is read by it. The first
file is looked at: what the catalog says must be what the file itself says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import maxsize
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.imagery.headers import read_header
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.checked_offsets import FARTHEST, run_of
from satimnet.builder.storage.hrefs import is_url, join
from satimnet.builder.storage.ranges import fetch
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.decoding import decode
from satimnet.training.data.image_assets import field_of, have_assets, images_of, require_samples
from satimnet.training.data.image_sizes import (
    as_colour,
    as_files,
    image_sizes,
    require_one_size,
    require_room,
    require_same_grid,
)
from satimnet.training.data.order import Places
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.tile_index import TileIndex
from satimnet.training.data.versioned_pickles import VersionedPickle


@dataclass(frozen=True)
class Layout(VersionedPickle):
    """All that is needed to read some bands of samples, all of one size; small, and it pickles.

    A sample is one file with all wanted bands, or one file for each band.

    Attributes:
        ids: Item ids, one per sample.
        shards: Absolute hrefs.
        shard: Which of the shards the bytes of a file are in, int64 (sample, file).
        start: The first byte of each file's pixels, int64 (sample, file).
        size: How many bytes they are, int64 (sample, file).
        dtype: The type of the stored values, the same for all samples.
        shape: What a sample holds, the same for all samples.
        order: The axes of `shape`, out of y, x and band; (band, y, x) where each band is a file.
        bands: Names of the wanted bands.
        columns: Their positions on the band axis.
        encoded: Whether the bytes are image files, to be decoded to that.
        crop: Rows and columns of the middle that is wanted; None for all of it.
        pad: Whether smaller images get zeros around them.
        windows: Top and left of the part of each image that is read, int64 (sample, 2), of the size
            that `shape` says; None where images are read whole.
    """

    ids: tuple[str, ...]
    shards: tuple[str, ...]
    shard: Numbers
    start: Numbers
    size: Numbers
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: tuple[str, ...]
    bands: tuple[str, ...]
    columns: tuple[int, ...]
    encoded: bool
    crop: tuple[int, int] | None = None
    pad: bool = False
    windows: Numbers | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Numbers) -> Layout:
        """The layout of some samples only, in the order of `rows`."""
        shard = self.shard[rows]
        used, inverse = np.unique(shard, return_inverse=True)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows.tolist()),
            shards=tuple(self.shards[k] for k in used.tolist()),
            shard=inverse.reshape(shard.shape).astype(np.int64),
            start=self.start[rows],
            size=self.size[rows],
            windows=None if self.windows is None else self.windows[rows],
        )

    def buffer_shape(self, count: int) -> tuple[int, ...]:
        """The shape of `count` samples as they are read: stored order, wanted bands."""
        sizes = dict(zip(self.order, self.shape, strict=True)) | {"band": len(self.columns)}
        return (count, *(sizes[axis] for axis in self.order))

    @property
    def places(self) -> Places:
        """Where the samples lie, by their first file."""
        return Places(self.shard[:, 0], self.start[:, 0])

    @property
    def public_axes(self) -> tuple[int, int, int, int]:
        """Axes that transpose what has `buffer_shape` to (sample, band, y, x), without a copy."""
        band, y, x = (self.order.index(axis) + 1 for axis in ("band", "y", "x"))
        return (0, band, y, x)

    @property
    def image_size(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        sizes = dict(zip(self.order, self.shape, strict=True))
        return sizes["y"], sizes["x"]

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Shape of what one file of a sample holds, in stored order."""
        return self.shape if self.start.shape[1] == 1 else self.shape[1:]


def locate(samples: SampleTable, bands: Sequence[str] | None) -> Layout:
    """Where the pixels of bands lie that have one size.

    Raises:
        SatimnetError: As `locate_all`; an `ArgumentError` if the bands have several sizes.
    """
    layouts = locate_all(samples, bands)
    if len(layouts) > 1:
        raise ArgumentError(
            f"{layouts[0].shards[0]}: the bands have several sizes ({sizes_in_words(layouts)}); "
            "choose bands of one size",
            "bands",
        )
    return layouts[0]


def locate_all(samples: SampleTable, bands: Sequence[str] | None) -> tuple[Layout, ...]:
    """Where the pixels of samples lie: a layout for each size of image, the finest first.

    Args:
        samples: The samples.
        bands: Names of the bands wanted. Their pixels are in the image that has all of them or,
            where images have one band each, in as many images as there are bands. With None it is
            the image with most bands that all samples have, or all images of one band each.

    Returns:
        The layouts.

    Raises:
        ArgumentError: There are no samples, no images have the bands, samples lack them, or images
            of the same bands differ in size.
        BadCatalogError: The catalog contradicts itself or its files.
    """
    return locate_images(samples, images_of(samples, bands), bands)


def locate_images(
    samples: SampleTable, chosen: Mapping[str, tuple[str, ...]], bands: Sequence[str] | None
) -> tuple[Layout, ...]:
    """As `locate_all`, of the image assets ``chosen``, by key with the names of all their bands."""
    key, names = next(iter(chosen.items()))
    if len(chosen) == 1:
        return (_placed(samples, key, names, names if bands is None else tuple(bands)),)
    alike: dict[Any, list[Layout]] = {}
    if samples.crop is not None:
        require_same_grid(samples.table, chosen)
    for key, names in chosen.items():
        layout = _placed(samples, key, names, names)
        # one band: every order is this one
        layout = replace(layout, shape=(1, *layout.image_size), order=("band", "y", "x"))
        alike.setdefault((layout.image_size, layout.dtype, layout.encoded), []).append(layout)
    layouts = [group[0] if len(group) == 1 else _joined(group) for group in alike.values()]
    return tuple(sorted(layouts, key=lambda layout: layout.image_size, reverse=True))


def locate_mask(samples: SampleTable, key: str) -> Layout:
    """Where the label rasters of samples lie, in the asset `key`.

    Raises:
        ArgumentError: Samples lack the asset, or it is no raster of one band of uint8.
        BadCatalogError: The catalog contradicts itself or its files.
    """
    require_samples(samples)
    missing = int((~have_assets(samples.table, [key])).sum())
    if missing:
        known = ", ".join(field.name for field in samples.table["assets"].type)
        raise ArgumentError(
            f"{missing} of the {len(samples)} samples have no asset {key} to take masks from; "
            f"there are {known}",
            "mask",
        )
    layout = _placed(samples, key, (key,), (key,))
    if layout.dtype != np.uint8:
        raise ArgumentError(
            f"{layout.shards[0]}: {key} of {layout.ids[0]} is {layout.dtype}; masks are uint8",
            "mask",
        )
    return layout


def _placed(
    samples: SampleTable, key: str, names: tuple[str, ...], wanted: tuple[str, ...]
) -> Layout:
    """Where the pixels of one asset lie, or those of its middle if the samples are cropped."""
    if samples.window is not None:
        return _windowed(samples, key, names, wanted, samples.window)
    if samples.crop is None:
        require_one_size(samples.table, key)
        return _layout(samples, key, names, wanted)
    whole = replace(samples, crop=None, pad=False)
    if not samples.pad:
        require_room(samples.table, key, samples.crop)
    elif (image_sizes(samples.table, key) == samples.crop).all():
        with suppress(ArgumentError):  # they differ in bands, or in how they lie in their files
            return _layout(whole, key, names, wanted)
    files = replace(whole, table=as_files(samples.table, key))
    layout = _layout(files, key, names, wanted)
    shape = (*samples.crop, layout.shape[2])
    return replace(layout, shape=shape, crop=samples.crop, pad=samples.pad)


def _windowed(
    samples: SampleTable,
    key: str,
    names: tuple[str, ...],
    wanted: tuple[str, ...],
    window: tuple[int, int],
) -> Layout:
    """The images of one asset, of which windows are to be read; their tiles are looked up then."""
    files = replace(samples, table=as_files(samples.table, key))
    return replace(_layout(files, key, names, wanted), windows=np.zeros((len(samples), 2), int))


def _layout(
    samples: SampleTable, key: str, names: tuple[str, ...], wanted: tuple[str, ...]
) -> Layout:
    """Where the pixels of one asset lie."""
    try:
        return _read_layout(samples, key, names, wanted)
    except pa.ArrowException as error:  # a column is of another type than it should be
        raise _not_described(samples, key) from error


def _read_layout(
    samples: SampleTable, key: str, names: tuple[str, ...], wanted: tuple[str, ...]
) -> Layout:
    """As `_layout`. Raises `pa.ArrowException` where a column is of another type than it should."""
    asset = pc.struct_field(samples.table["assets"], [key])  # all others are never copied
    hrefs = pc.struct_field(asset, ["href"]).combine_chunks().dictionary_encode()
    files = samples.table["parquet"].combine_chunks().dictionary_encode()
    archive = pc.struct_field(asset, ["archive"])
    ranges = pc.struct_field(pc.list_flatten(archive), ["range"])
    if hrefs.null_count or not (_have_length(archive, 1) and _have_length(ranges, 2)):
        raise _not_described(samples, key)
    first, last = _numbers(pc.list_flatten(ranges)).reshape(-1, 2).T
    codes = _numbers(files.indices) * len(hrefs.dictionary) + _numbers(hrefs.indices)
    pairs, shard = np.unique(codes, return_inverse=True)
    layout = Layout(
        ids=tuple(samples.ids),
        shards=tuple(
            join(hrefs.dictionary[href].as_py(), files.dictionary[file].as_py())
            for file, href in (divmod(pair, len(hrefs.dictionary)) for pair in pairs.tolist())
        ),
        shard=shard.astype(np.int64)[:, None],
        start=first[:, None],
        size=(last - first + 1)[:, None],
        dtype=np.dtype(np.uint8),
        shape=(1, 1, len(names)),
        order=("y", "x", "band"),
        bands=wanted,
        columns=tuple(names.index(band) for band in wanted),
        encoded=True,
    )
    possible = (first >= 0) & (first <= last) & (last < FARTHEST)
    _require(layout, possible, f"the byte range of {key} cannot be")
    runs = field_of(asset, "satimnet:pixels")
    if runs is not None and not runs.null_count and not _some_are_grey(runs, len(names)):
        layout = _uncompressed(layout, runs.combine_chunks(), key)
    elif samples.window is not None:
        dtype, bands_there = first_image(layout)
        layout = replace(layout, dtype=dtype, shape=(*samples.window, bands_there))
    else:
        layout = _decoded(layout)
    bands = layout.shape[layout.order.index("band")]
    if bands != len(names):
        where = layout.shards[int(layout.shard[0, 0])]
        raise BadCatalogError(
            f"{where}: {key} of {layout.ids[0]} has {bands} bands, its collection says "
            f"{len(names)}; build the catalog again"
        )
    return layout


def _some_are_grey(runs: pa.ChunkedArray, bands: int) -> bool:
    """Whether some of the images have one band and others three, so that they are decoded."""
    shapes = pc.struct_field(runs, ["shape"]).combine_chunks()
    if bands != 3 or _alike(shapes) or not _have_length(shapes, 3):
        return False
    values = _numbers(pc.list_flatten(shapes)).reshape(-1, 3).prod(axis=1)
    return bool(np.isin(values, (values.min(), 3 * values.min())).all())


def _decoded(layout: Layout) -> Layout:
    """The layout with size and type of its first image, which has to be decoded to know them."""
    data = _first_file(layout)
    try:
        image = as_colour(decode(data, layout.shape[2]), layout.shape[2])
    except SatimnetError as error:
        where = layout.shards[int(layout.shard[0, 0])]
        raise BadCatalogError(f"{where}: sample {layout.ids[0]} {error}") from error
    return replace(layout, dtype=image.dtype, shape=image.shape)


def first_image(layout: Layout) -> tuple[np.dtype[Any], int]:
    """Type and bands of the first image, of which only the header is read if it is tiled."""
    index = tile_index_of(layout, 0)
    if index is not None:
        return index.dtype.newbyteorder("="), _as_many(index.shape[2], layout.shape[2])
    data = _first_file(layout)
    header = read_header(data, f"sample {layout.ids[0]}", maxsize, place=False)
    return np.dtype(header.dtype).newbyteorder("="), _as_many(header.bands, layout.shape[2])


def _as_many(bands: int, wanted: int) -> int:
    """The bands of an image; grey ones among colour images are given as these."""
    return wanted if (bands, wanted) == (1, 3) else bands


def tile_index_of(layout: Layout, row: int) -> TileIndex | None:
    """Where the tiles of a sample's image lie; None if it is not tiled. Kept once it is read.

    Raises:
        BadCatalogError: It is a damaged TIFF.
        StorageError: It cannot be read.
    """
    shard = layout.shards[int(layout.shard[row, 0])]
    start, size = int(layout.start[row, 0]), int(layout.size[row, 0])
    return _read_index(shard, start, size, f"{shard}: sample {layout.ids[row]}")


@lru_cache(maxsize=1024)
def _read_index(shard: str, start: int, size: int, label: str) -> TileIndex | None:
    def part(first: int, count: int) -> bytes:
        at = start + first
        if is_url(shard):  # requests are repeated there
            return bytes(fetch([shard], [at], [count])[0])
        return read_bytes({"href": shard, "archive": [{"range": [at, at + count - 1]}]})

    return TileIndex.read(part, size, label)


def _uncompressed(layout: Layout, runs: pa.StructArray, key: str) -> Layout:
    """The layout by which the pixels are read as they lie, without decoding the files."""
    for name in ("dtype", "shape", "order"):
        if not _alike(pc.struct_field(runs, [name])):
            raise ArgumentError(
                f"the {key} images of the {len(layout)} samples differ in {name}; "
                "batches need images of one size and type",
                "bands",
            )
    run = run_of(runs[0].as_py(), f"{layout.shards[0]}: {key} of {layout.ids[0]}")
    start = _numbers(pc.struct_field(runs, ["offset"]))[:, None]
    end = layout.start + layout.size
    inside = (layout.start <= start) & (start <= end) & (run.size <= end - start)
    _require(layout, inside[:, 0], f"the pixels of {key} lie outside of its file")
    found = replace(
        layout,
        start=start,
        size=np.full((len(layout), 1), run.size, np.int64),
        dtype=run.dtype,
        shape=run.shape,
        order=run.order,
        encoded=False,
    )
    _require_as_in_file(found, layout, key)
    return found


def _require_as_in_file(layout: Layout, files: Layout, key: str) -> None:
    """Refuses a layout by which the first file would be read otherwise than it says itself."""
    where = f"{layout.shards[int(layout.shard[0, 0])]}: {key} of {layout.ids[0]}"
    header = read_header(_first_file(files), where, place=False)
    pixels = header.pixels
    alike = (
        pixels is not None
        and np.dtype(header.dtype) == layout.dtype
        and dict(zip(pixels.order, pixels.shape)) == dict(zip(layout.order, layout.shape))
        and (header.bands == 1 or pixels.order == layout.order)
        and pixels.offset == layout.start[0, 0] - files.start[0, 0]
    )
    if not alike:
        raise BadCatalogError(
            f"{where} is not laid out as the catalog says; build the catalog again"
        )


def _first_file(layout: Layout) -> bytes:
    """The bytes of the first sample's file."""
    first, size = int(layout.start[0, 0]), int(layout.size[0, 0])
    shard = layout.shards[int(layout.shard[0, 0])]
    if is_url(shard):  # requests are repeated there
        return bytes(fetch([shard], [first], [size])[0])
    return read_bytes({"href": shard, "archive": [{"range": [first, first + size - 1]}]})


def _require(layout: Layout, right: NDArray[np.bool_], fault: str) -> None:
    """Refuses a layout of which something is wrong, before anything is read by it."""
    if not right.all():
        row = int(right.argmin())
        where = layout.shards[int(layout.shard[row, 0])]
        raise BadCatalogError(
            f"{where}: sample {layout.ids[row]}: {fault}; build the catalog again"
        )


def _not_described(samples: SampleTable, key: str) -> BadCatalogError:
    """What is wrong with a catalog that does not say where images lie."""
    return BadCatalogError(
        f"{samples.table['parquet'][0].as_py()}: not every {key} is one member of a shard with its "
        "byte range and pixels; build the catalog again"
    )


def _joined(layouts: Sequence[Layout]) -> Layout:
    """The layout of several files a sample, each a band."""
    shards = {href: k for k, href in enumerate(dict.fromkeys(h for x in layouts for h in x.shards))}
    renumbered = [
        np.array([shards[href] for href in layout.shards], np.int64)[layout.shard]
        for layout in layouts
    ]
    return replace(
        layouts[0],
        shards=tuple(shards),
        shard=np.concatenate(renumbered, axis=1),
        start=np.concatenate([layout.start for layout in layouts], axis=1),
        size=np.concatenate([layout.size for layout in layouts], axis=1),
        shape=(len(layouts), *layouts[0].image_size),
        bands=tuple(band for layout in layouts for band in layout.bands),
        columns=tuple(range(len(layouts))),
    )


def sizes_in_words(layouts: Iterable[Layout]) -> str:
    """The bands of each layout with their type and size, for people."""
    return "; ".join(
        f"{', '.join(x.bands)}: {x.dtype} {' x '.join(map(str, x.image_size))}" for x in layouts
    )


def _numbers(values: pa.Array | pa.ChunkedArray) -> Numbers:
    """As int64. Raises `pa.ArrowException` where one is null or no integer."""
    if values.null_count:
        raise pa.ArrowInvalid("null")
    return np.asarray(pc.cast(values, pa.int64()))


def _have_length(lists: pa.Array | pa.ChunkedArray, length: int) -> bool:
    """Whether all the lists are there and have that many values."""
    return bool(pc.all(pc.equal(pc.fill_null(pc.list_value_length(lists), -1), length)).as_py())


def _alike(values: pa.Array) -> bool:
    """Whether all rows hold the same, be it a value or a list; nulls are like nothing else."""
    if values.null_count:
        return False
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return bool(pc.all(pc.equal(values, values[0])).as_py())
    length = len(values[0])
    return _have_length(values, length) and all(
        _alike(pc.list_element(values, k)) for k in range(length)
    )
