"""Where the pixels of samples lie in the shards, and reading them into arrays, fast.

Pixels that lie uncompressed in a shard on disk are converted straight out of a map of it, so no
copy is made on the way to the batch. The kernel is told beforehand which ranges will be wanted and
not to read ahead on its own: without that, a shuffled pass over a cold map reads page by page and
is eight times slower than `pread`; with it, maps win both cold and warm (measured on ext4, one
core, 64 x 64 x 13 uint16: 64 to 136 us a sample against 145 cold, 15 against 20 warm). Compressed
members are read and decoded one by one.
"""

from __future__ import annotations

import bisect
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError
from satimnet.builder.rows import absolute

if TYPE_CHECKING:
    from .samples import Samples

Array = NDArray[Any]
Numbers = NDArray[np.int64]

_GAP = 64 * 1024
_BLOCK = 8 * 1024 * 1024
"""Over the network, ranges nearer to each other than a gap are one request of at most a block."""


@dataclass(frozen=True)
class Layout:
    """All that is needed to read one asset of some samples; small, and it pickles.

    ids: one per sample. shards: absolute hrefs. shard, start, size: which shard the bytes of a
    sample are in, from which byte, how many. dtype, shape, order: what the bytes hold, the same
    for all samples; order names the axes of shape out of y, x, band. bands, columns: names of the
    wanted bands, their positions on the band axis. encoded: the bytes are an image file, to be
    decoded to that.
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

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Numbers) -> Layout:
        """Return the layout of some samples only, in the given order."""
        used, shard = np.unique(self.shard[rows], return_inverse=True)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows.tolist()),
            shards=tuple(self.shards[k] for k in used.tolist()),
            shard=shard.astype(np.int64),
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


def locate(samples: Samples, bands: Sequence[str] | None) -> Layout:
    """Return where the pixels of `samples` lie, in the asset that has all of `bands`.

    Without `bands` it is the asset that all samples have; of several, the one with most bands.
    Raises `SatimnetError` when no asset has the bands, samples lack it, or images differ in size.
    """
    if not len(samples):
        raise SatimnetError("there are no samples to read: the search found none")
    key, names = _choose(samples, bands)
    wanted = names if bands is None else tuple(bands)
    asset = pc.struct_field(samples.table["assets"].combine_chunks(), [key])
    hrefs = pc.struct_field(asset, ["href"]).dictionary_encode()
    files = samples.table["parquet"].combine_chunks().dictionary_encode()
    codes = _numbers(files.indices) * len(hrefs.dictionary) + _numbers(hrefs.indices)
    pairs, shard = np.unique(codes, return_inverse=True)
    span = pc.struct_field(pc.list_element(pc.struct_field(asset, ["archive"]), 0), ["range"])
    first, last = _numbers(pc.list_element(span, 0)), _numbers(pc.list_element(span, 1))
    layout = Layout(
        ids=tuple(samples.ids),
        shards=tuple(
            absolute(hrefs.dictionary[href].as_py(), files.dictionary[file].as_py())
            for file, href in (divmod(pair, len(hrefs.dictionary)) for pair in pairs.tolist())
        ),
        shard=shard.astype(np.int64),
        start=first,
        size=last - first + 1,
        dtype=np.dtype(np.uint8),
        shape=(1, 1, len(names)),
        order=("y", "x", "band"),
        bands=wanted,
        columns=tuple(names.index(band) for band in wanted),
        encoded=True,
    )
    runs = _field(asset, "satimnet:pixels")
    if runs is not None and not runs.null_count:
        return _uncompressed(layout, runs, key)
    head = layout.take(np.zeros(1, np.int64))
    with Reader(head) as reader:
        image = reader.image(0)
    if image.shape[2] != len(names):
        raise SatimnetError(
            f"{head.shards[0]}: {key} of {head.ids[0]} has {image.shape[2]} bands, "
            f"its collection says {len(names)}; build the catalog again"
        )
    return replace(layout, dtype=image.dtype, shape=image.shape)


def have_bands(
    table: pa.Table, known: dict[str, tuple[str, ...]], bands: Sequence[str]
) -> NDArray[np.bool_]:
    """Return for each of the item rows whether one of its assets has all of `bands`.

    `known` gives the band names of each asset. Raises `SatimnetError` when no asset has them.
    """
    present = _presence(table, _assets_with(known, bands))
    return np.asarray(present.any(axis=1))


def _assets_with(known: dict[str, tuple[str, ...]], bands: Sequence[str]) -> list[str]:
    keys = [key for key, names in known.items() if set(bands) <= set(names)]
    if not keys:
        listing = "; ".join(f"{key}: {', '.join(names)}" for key, names in known.items())
        raise SatimnetError(f"no image has the bands {', '.join(bands)}; there are {listing}")
    return keys


def _presence(table: pa.Table, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Which samples (rows) have which of the assets (columns)."""
    assets = table["assets"].combine_chunks()
    present = np.zeros((len(table), len(keys)), np.bool_)
    for k, key in enumerate(keys):
        asset = _field(assets, key)
        if asset is not None:
            present[:, k] = asset.is_valid().to_numpy(zero_copy_only=False)
    return present


def _choose(samples: Samples, bands: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    known = samples.bands
    keys = list(known) if bands is None else _assets_with(known, bands)
    present = _presence(samples.table, keys)
    complete = [key for key, column in zip(keys, present.T, strict=True) if column.all()]
    if complete:
        best = max(complete, key=lambda key: len(known[key]))
        return best, known[best]
    counts = ", ".join(
        f"{count} have {key}" for key, count in zip(keys, present.sum(axis=0), strict=True)
    )
    example = ",".join(known[keys[int(present.sum(axis=0).argmax())]])
    raise SatimnetError(
        f"the {len(samples)} samples do not all have the same image ({counts}); "
        f"search for those that have it, with bands={example}"
    )


def _uncompressed(layout: Layout, runs: pa.StructArray, key: str) -> Layout:
    first = runs[0].as_py()
    for name in ("dtype", "shape", "order"):
        values = pc.struct_field(runs, [name])
        if isinstance(first[name], list):
            same = len(values.flatten()) == len(first[name]) * len(values) and all(
                pc.all(pc.equal(pc.list_element(values, k), value)).as_py()
                for k, value in enumerate(first[name])
            )
        else:
            same = pc.all(pc.equal(values, first[name])).as_py()
        if not same:
            raise SatimnetError(
                f"the {key} images of the {len(layout)} samples differ in {name}; "
                "batches need images of one size and type"
            )
    dtype, shape, order = np.dtype(first["dtype"]), tuple(first["shape"]), tuple(first["order"])
    if "band" not in order:
        shape, order = (*shape, 1), (*order, "band")
    size = dtype.itemsize * int(np.prod(shape))
    return replace(
        layout,
        start=_numbers(pc.struct_field(runs, ["offset"])),
        size=np.full(len(layout), size, np.int64),
        dtype=dtype,
        shape=shape,
        order=order,
        encoded=False,
    )


def _field(column: pa.StructArray, name: str) -> pa.Array | None:
    """A field of a struct column, null where the struct is null; None where there is no field."""
    if column.type.get_field_index(name) < 0:
        return None
    return pc.struct_field(column, [name])


def _numbers(values: pa.Array) -> Numbers:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.int64)


class Reader:
    """The open shards of a layout; a context manager that closes them. Threads may share it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._remote = any("://" in href for href in layout.shards)
        self._files: list[int] = []
        self._maps: list[mmap.mmap] = []

    def __enter__(self) -> Self:
        for href in [] if self._remote else self._layout.shards:
            try:
                self._files.append(os.open(href, os.O_RDONLY))
            except OSError as error:
                self.__exit__()
                raise SatimnetError(
                    f"{href}: {error.strerror}; the catalog needs this shard"
                ) from error
        if not (self._remote or self._layout.encoded):
            try:
                self._map_shards()
            except SatimnetError:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._maps.clear()
        while self._files:
            os.close(self._files.pop())

    def read(self, rows: Numbers, out: Array, scale: float | None = None) -> None:
        """Read the samples `rows` into `out`, converted to its dtype, times `scale` if given.

        `out` has the shape `layout.buffer_shape(len(rows))`. Raises `SatimnetError`, naming the
        shard, where a shard is cut short or an image cannot be decoded.
        """
        at = 0
        for block in self._blocks(rows):
            part = out[at : at + len(block)]
            self._convert(block, part)
            if scale is not None:
                np.multiply(part, scale, out=part)
            at += len(block)

    def _map_shards(self) -> None:
        layout = self._layout
        for k, file in enumerate(self._files):
            # Reading a map past the end of its file kills the process: refuse that beforehand.
            ends = (layout.start + layout.size)[layout.shard == k]
            if len(ends) and ends.max() > os.fstat(file).st_size:
                raise self._cut_short(k)
            self._maps.append(_mapped(layout.shards[k], *_identity(file)))

    def image(self, row: int) -> Array:
        """Return one sample, decoded, (y, x, band), whatever size it has."""
        return _decode(next(self._members(np.array([row]))), self._name(row))

    def _convert(self, block: Array, out: Array) -> None:
        columns, axis = self._layout.columns, self._layout.order.index("band") + 1
        if columns == tuple(range(block.shape[axis])):
            np.copyto(out, block, casting="unsafe")
            return
        source, target = np.moveaxis(block, axis, -1), np.moveaxis(out, axis, -1)
        for k, column in enumerate(columns):
            np.copyto(target[..., k], source[..., column], casting="unsafe")

    def _blocks(self, rows: Numbers) -> Iterator[Array]:
        """Yield the stored pixels, a few samples at a time; valid until the next is asked for."""
        layout = self._layout
        if not (layout.encoded or self._remote):
            yield from self._runs(rows)
            return
        for row, data in zip(rows.tolist(), self._members(rows), strict=True):
            if layout.encoded:
                image = _decode(data, self._name(row))
            else:
                image = np.frombuffer(data, layout.dtype).reshape(layout.shape)
            if image.shape != layout.shape or image.dtype != layout.dtype:
                raise SatimnetError(
                    f"{self._name(row)} is {image.dtype} {image.shape}, the first sample is "
                    f"{layout.dtype} {layout.shape}; batches need images of one size and type"
                )
            yield image[None]

    def _runs(self, rows: Numbers) -> Iterator[Array]:
        layout = self._layout
        maps = [self._maps[k] for k in layout.shard[rows].tolist()]
        starts = layout.start[rows].tolist()
        size = int(layout.size[0])
        for shard, start in zip(maps, starts):
            page = start - start % mmap.PAGESIZE
            shard.madvise(mmap.MADV_WILLNEED, page, start + size - page)
        shape = (1, *layout.shape)
        for shard, start in zip(maps, starts):
            yield np.ndarray(shape, layout.dtype, shard, start)

    def _members(self, rows: Numbers) -> Iterator[bytes]:
        """Yield the bytes of the samples."""
        layout = self._layout
        shard, start, size = (a[rows].tolist() for a in (layout.shard, layout.start, layout.size))
        if self._remote:
            blobs = _fetch([layout.shards[k] for k in shard], start, size)
        else:
            blobs = (os.pread(self._files[k], n, at) for k, at, n in zip(shard, start, size))
        for k, n, data in zip(shard, size, blobs, strict=True):
            if len(data) != n:
                raise self._cut_short(k)
            yield data

    def _cut_short(self, shard: int) -> SatimnetError:
        return SatimnetError(
            f"{self._layout.shards[shard]}: the file ends too early or is not what the catalog "
            "describes; copy it or build it again"
        )

    def _name(self, row: int) -> str:
        return f"{self._layout.shards[self._layout.shard[row]]}: sample {self._layout.ids[row]}"


def _identity(file: int) -> tuple[int, int, int]:
    """What changes when another file takes a shard's name."""
    stat = os.fstat(file)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=4096)
def _mapped(path: str, inode: int, size: int, changed: int) -> mmap.mmap:
    """A map of a shard; kept, for a page that was touched once costs nothing in the next pass."""
    with open(path, "rb") as file:
        shard = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    shard.madvise(mmap.MADV_RANDOM)
    return shard


def _decode(data: bytes, name: str) -> Array:
    """The image in a file's bytes, (y, x, band)."""
    import simplejpeg
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    image: Array
    try:
        if data[:2] == b"\xff\xd8":
            grey = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
            image = simplejpeg.decode_jpeg(data, colorspace="GRAY" if grey else "RGB")
        else:
            with MemoryFile(data) as file, file.open() as dataset:
                image = np.moveaxis(dataset.read(), 0, -1)
    except (ValueError, RasterioError) as error:
        raise SatimnetError(f"{name} cannot be decoded ({error}); build it again") from error
    return image


def _fetch(hrefs: list[str], starts: list[int], sizes: list[int]) -> Iterator[bytes]:
    """Yield ranges of remote files; neighbouring ranges come in one request, all at once."""
    import fsspec
    from fsspec.utils import merge_offset_ranges

    file_system = fsspec.core.url_to_fs(hrefs[0])[0]
    ends = [start + size for start, size in zip(starts, sizes)]
    merged = merge_offset_ranges(hrefs, starts, ends, max_gap=_GAP, max_block=_BLOCK)
    try:
        blocks = file_system.cat_ranges(*merged, on_error="raise")
    except Exception as error:  # every file system has errors of its own
        raise SatimnetError(f"{hrefs[0]}: cannot be read ({error})") from error
    for href, first, end, block in zip(*merged, blocks, strict=True):
        if len(block) != end - first:
            raise SatimnetError(
                f"{href}: {end - first} bytes were asked for, {len(block)} came; "
                "the server must answer range requests"
            )
    keys = sorted(zip(merged[0], merged[1], range(len(blocks)), strict=True))
    for href, start, end in zip(hrefs, starts, ends):
        _, first, k = keys[bisect.bisect_right(keys, (href, start, len(blocks))) - 1]
        yield blocks[k][start - first : end - first]
