"""Where the pixels of samples lie in the shards: what a reader needs to know beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.headers import read_header
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.checked_offsets import FARTHEST, run_of
from satimnet.builder.storage.hrefs import is_url, join
from satimnet.builder.storage.ranges import fetch
from satimnet.training.data.array_types import Numbers
from satimnet.training.data.decoding import decode
from satimnet.training.data.image_sizes import (
    as_files,
    require_one_size,
    require_room,
    require_same_grid,
)
from satimnet.training.data.sample_table import ONE_COLLECTION, Collection, SampleTable
from satimnet.training.data.versioned_pickles import VersionedPickle


@dataclass(frozen=True)
class Layout(VersionedPickle):
    """All that is needed to read some bands of samples, all of one size; small, and it pickles.

    A sample is one file with all wanted bands, or one file for each band. ids: one per sample.
    shards: absolute hrefs. shard, start, size: (sample, file), which shard the bytes of a file are
    in, from which byte, how many. dtype, shape, order: what a sample holds, the same for all;
    order names the axes of shape out of y, x, band, and is (band, y, x) where each band is a file.
    bands, columns: names of the wanted bands, their positions on the band axis. encoded: the bytes
    are image files, to be decoded to that. crop: of which only the middle, of so many rows and
    columns, is wanted.
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

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Numbers) -> Layout:
        """Return the layout of some samples only, in the given order."""
        shard = self.shard[rows]
        used, inverse = np.unique(shard, return_inverse=True)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows.tolist()),
            shards=tuple(self.shards[k] for k in used.tolist()),
            shard=inverse.reshape(shard.shape).astype(np.int64),
            start=self.start[rows],
            size=self.size[rows],
        )

    def buffer_shape(self, count: int) -> tuple[int, ...]:
        """Return the shape of `count` samples as they are read: stored order, wanted bands."""
        sizes = dict(zip(self.order, self.shape, strict=True)) | {"band": len(self.columns)}
        return (count, *(sizes[axis] for axis in self.order))

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
    """Return where the pixels of bands of one size lie. Raises `SatimnetError` as `locate_all`.

    It is one, too, if the bands have several sizes.
    """
    layouts = locate_all(samples, bands)
    if len(layouts) > 1:
        raise SatimnetError(
            f"{layouts[0].shards[0]}: the bands have several sizes ({_sizes(layouts)}); "
            "choose bands of one size"
        )
    return layouts[0]


def locate_all(samples: SampleTable, bands: Sequence[str] | None) -> tuple[Layout, ...]:
    """Return where the pixels of `samples` lie: a layout for each size of image, finest first.

    They are in the image that has all of `bands`, or, where images have one band each, in as many
    images as there are bands. Without `bands` it is the image with most bands that all samples
    have, or all images of one band each. Raises `SatimnetError` when no images have the bands,
    samples lack them, or images of the same bands differ in size.
    """
    chosen = images_of(samples, bands)
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
    """Return where the label rasters of `samples` lie, in the asset `key`.

    Raises `SatimnetError` when samples lack it, or it is no raster of one band of uint8.
    """
    _require_samples(samples)
    missing = int((~_presence(samples.table, [key])).sum())
    if missing:
        raise SatimnetError(
            f"{missing} of the {len(samples)} samples have no asset {key} to take masks from; "
            "`stac satimnet info` lists the assets"
        )
    layout = _placed(samples, key, (key,), (key,))
    if layout.dtype != np.uint8:
        raise SatimnetError(
            f"{layout.shards[0]}: {key} of {layout.ids[0]} is {layout.dtype}; masks are uint8"
        )
    return layout


def have_bands(samples: SampleTable, bands: Sequence[str]) -> NDArray[np.bool_]:
    """Return for each of the samples whether its images have all of `bands`.

    Raises `SatimnetError` when no images of their collections have them.
    """
    homes = samples.table["collection"]
    found = np.zeros(len(samples), np.bool_)
    for name in with_bands(samples.collections, bands):
        own = np.asarray(pc.equal(homes, name))
        whole, single = _candidates(samples.collections[name].bands, bands)
        found |= own & _presence(samples.table, whole).any(axis=1)
        if single:
            found |= own & _presence(samples.table, single).all(axis=1)
    return found


def with_bands(
    collections: Mapping[str, Collection], bands: Sequence[str]
) -> dict[str, Collection]:
    """Return the collections that have images with all of `bands`.

    Raises `SatimnetError` when none has.
    """
    found = {
        name: home for name, home in collections.items() if any(_candidates(home.bands, bands))
    }
    if not found:
        raise _no_bands(bands, [home.bands for home in collections.values()])
    return found


def images_of(samples: SampleTable, bands: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the images that `locate_all` reads, with the names of their bands; it raises as it."""
    _require_samples(samples)
    known = samples.bands
    if not known:
        raise _no_bands(bands or (), [known])
    if bands is not None:
        whole, single = _candidates(known, bands)
        if not (whole or single):
            raise _no_bands(bands, [known])
    elif all(len(names) == 1 for names in known.values()):
        whole, single = [], list(known)
    else:
        whole, single = list(known), []
    having = _presence(samples.table, whole)
    complete = [key for key, column in zip(whole, having.T, strict=True) if column.all()]
    if complete:
        best = max(complete, key=lambda key: len(known[key]))
        return {best: known[best]}
    if single and _presence(samples.table, single).all():
        return {key: known[key] for key in single}
    keys = list(dict.fromkeys([*whole, *single]))
    counts = _presence(samples.table, keys).sum(axis=0).tolist()
    listing = ", ".join(f"{count} have {key}" for key, count in zip(keys, counts, strict=True))
    if bands is not None:
        needed, lacking = list(bands), not have_bands(samples, bands).all()
    else:
        most = keys[int(np.argmax(counts))]
        needed = list(known[most]) if whole else [known[key][0] for key in single]
        lacking = True
    if len(samples.collections) > 1:
        advice = ONE_COLLECTION
    elif lacking:
        advice = f"search for those that have it, with bands={json.dumps(needed)}"
    else:  # all have the bands, some in one image and some in another
        advice = "read those of each image by themselves"
    raise SatimnetError(
        f"the {len(samples)} samples do not all have the same image ({listing}); {advice}"
    )


def _candidates(
    known: Mapping[str, tuple[str, ...]], bands: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The assets with all of the bands; the assets with one band each that have them together."""
    if not bands:
        raise SatimnetError("bands: name at least one, or give None for all")
    whole = [key for key, names in known.items() if set(bands) <= set(names)]
    homes = {names[0]: key for key, names in known.items() if len(names) == 1}
    single = [homes[band] for band in bands] if set(bands) <= set(homes) else []
    return whole, single


def _no_bands(
    bands: Sequence[str], known: Iterable[Mapping[str, tuple[str, ...]]]
) -> SatimnetError:
    images = [f"{key}: {', '.join(names)}" for own in known for key, names in own.items()]
    if not images:
        return SatimnetError(
            "no collection searched names bands of its images (item_assets); search others"
        )
    listing = "; ".join(dict.fromkeys(images))
    return SatimnetError(f"no image has the bands {', '.join(bands)}; there are {listing}")


def _require_samples(samples: SampleTable) -> None:
    if not len(samples):
        raise SatimnetError("there are no samples to read: the search found none")


def _presence(table: pa.Table, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Which samples (rows) have which of the assets (columns)."""
    assets = table["assets"]
    present = np.zeros((len(table), len(keys)), np.bool_)
    for k, key in enumerate(keys):
        asset = _field(assets, key)
        if asset is not None:
            present[:, k] = asset.is_valid().to_numpy()
    return present


def _placed(
    samples: SampleTable, key: str, names: tuple[str, ...], wanted: tuple[str, ...]
) -> Layout:
    """Where the pixels of one asset lie, or of the samples' part of it."""
    if samples.crop is None:
        require_one_size(samples.table, key)
        return _layout(samples, key, names, wanted)
    require_room(samples.table, key, samples.crop)
    files = replace(samples, table=as_files(samples.table, key), crop=None)
    layout = _layout(files, key, names, wanted)
    return replace(layout, shape=(*samples.crop, layout.shape[2]), crop=samples.crop)


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
    runs = _field(asset, "satimnet:pixels")
    if runs is not None and not runs.null_count:
        layout = _uncompressed(layout, runs.combine_chunks(), key)
    else:
        layout = _decoded(layout)
    bands = layout.shape[layout.order.index("band")]
    if bands != len(names):
        where = layout.shards[int(layout.shard[0, 0])]
        raise SatimnetError(
            f"{where}: {key} of {layout.ids[0]} has {bands} bands, its collection says "
            f"{len(names)}; build the catalog again"
        )
    return layout


def _decoded(layout: Layout) -> Layout:
    """The layout with size and type of its first image, which has to be decoded to know them."""
    data = _first_file(layout)
    try:
        image = decode(data, layout.shape[2])
    except SatimnetError as error:
        where = layout.shards[int(layout.shard[0, 0])]
        raise SatimnetError(f"{where}: sample {layout.ids[0]} {error}") from error
    return replace(layout, dtype=image.dtype, shape=image.shape)


def _uncompressed(layout: Layout, runs: pa.StructArray, key: str) -> Layout:
    for name in ("dtype", "shape", "order"):
        if not _alike(pc.struct_field(runs, [name])):
            raise SatimnetError(
                f"the {key} images of the {len(layout)} samples differ in {name}; "
                "batches need images of one size and type"
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
        raise SatimnetError(f"{where} is not laid out as the catalog says; build the catalog again")


def _first_file(layout: Layout) -> bytes:
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
        raise SatimnetError(f"{where}: sample {layout.ids[row]}: {fault}; build the catalog again")


def _not_described(samples: SampleTable, key: str) -> SatimnetError:
    return SatimnetError(
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


def _sizes(layouts: Iterable[Layout]) -> str:
    return "; ".join(
        f"{', '.join(x.bands)}: {x.dtype} {' x '.join(map(str, x.image_size))}" for x in layouts
    )


def _field(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray | None:
    """A field of a struct column, null where the struct is null; None where there is no field."""
    if column.type.get_field_index(name) < 0:
        return None
    return pc.struct_field(column, [name])


def _numbers(values: pa.Array | pa.ChunkedArray) -> Numbers:
    """As int64. Raises `pa.ArrowException` where one is null or no integer."""
    if values.null_count:
        raise pa.ArrowInvalid("null")
    return np.asarray(pc.cast(values, pa.int64()))


def _have_length(lists: pa.Array | pa.ChunkedArray, length: int) -> bool:
    """Whether all the lists are there and have that many values."""
    return bool(pc.all(pc.equal(pc.fill_null(pc.list_value_length(lists), -1), length)).as_py())


def _alike(values: pa.Array) -> bool:
    """Whether all rows hold the same, be it a value or a list; nulls are like nothing."""
    if values.null_count:
        return False
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return bool(pc.all(pc.equal(values, values[0])).as_py())
    length = len(values[0])
    return _have_length(values, length) and all(
        _alike(pc.list_element(values, k)) for k in range(length)
    )
