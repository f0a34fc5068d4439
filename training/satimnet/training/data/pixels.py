"""Reading the pixels of samples out of the shards into arrays, fast.

Shards on disk are mapped, and pixels that lie uncompressed are converted straight out of the map:
no copy is made on the way to the batch, and no step of Python is taken for a sample, as the list
of the views of a batch is made and concatenated into the batch by numpy itself. The kernel is told
beforehand which ranges will be wanted and not to read ahead on its own: without that, a shuffled
pass over a cold map reads page by page and is eight times slower than `pread`; with it, maps win
both cold and warm (measured on ext4, one core, 64 x 64 x 13 uint16: 64 to 136 us a sample against
145 cold, 12 against 20 warm, where the conversion alone takes 9.5). A shard that gets shorter while
it is mapped is an error: see `satimnet.training.data.mapped_shards`. Files to be decoded are
decoded one by one. Those on other machines come as ranges, many at once, and each is converted as
soon as it is there.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from math import prod
from operator import getitem
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided

from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError, StorageError
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.ranges import fetch, fetch_each
from satimnet.training.data.array_types import Array, Numbers
from satimnet.training.data.decoding import (
    are_small_colours,
    decode,
    decode_small_jpeg,
    room_for,
)
from satimnet.training.data.image_sizes import as_colour, fitted, middle
from satimnet.training.data.layouts import Layout
from satimnet.training.data.mapped_shards import MappedShard, catch_bus_errors
from satimnet.training.data.window_pixels import Piece, read_windows

_CACHED = 512 * 1024
"""Bytes of pixels that are picked from or scaled at a time: they stay near the processor."""
_NEAR = 192 * 1024
"""Bytes of images that are decoded before they are converted together: they stay in the second
cache of the processor."""
_WINDOW = 64 * 1024 * 1024
"""Bytes that a reader asks other machines for at a time."""
_SPARE_FILES = 256


class Reader:
    """The open shards of a layout, which threads may share; a context manager.

    Attributes:
        remote: Whether shards are on other machines.

    Raises:
        BadCatalogError: On entering: a shard is shorter than the catalog says.
        StorageError: On entering: a shard cannot be opened.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        axis = layout.order.index("band")
        self._whole = layout.columns == tuple(range(layout.shape[axis]))
        """Whether all bands of the files are wanted, in their order."""
        self._quick = (
            layout.encoded
            and layout.crop is None
            and layout.dtype == np.uint8
            and axis == 2
            and are_small_colours(layout.shape)
        )
        """Whether they are small images of three bands, as many JPEGs are."""
        self.remote = any(map(is_url, layout.shards))
        self._shards: list[MappedShard] = []
        self._maps: list[mmap.mmap] = []
        self._views: list[Array] = []

    def __enter__(self) -> Self:
        layout = self._layout
        if self.remote:
            return self
        _allow_files(len(layout.shards))
        catch_bus_errors()
        ends = np.zeros(len(layout.shards), np.int64)
        np.maximum.at(ends, layout.shard, layout.start + layout.size)
        for href, end in zip(layout.shards, ends.tolist(), strict=True):
            try:
                stat = os.stat(href)
                if end > stat.st_size:
                    raise _cut_short(href)
                shard = _mapped(href, stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if not shard.whole:
                    _mapped.cache_clear()
                    shard = _mapped(href, stat.st_ino, stat.st_size, stat.st_mtime_ns)
                if end > len(shard.data):
                    raise _cut_short(href)
            except SatimnetError:
                raise
            except OSError as error:
                raise StorageError(
                    f"{href}: {error.strerror}; the catalog needs this shard"
                ) from error
            except ValueError as error:  # it was emptied meanwhile
                raise _cut_short(href) from error
            self._shards.append(shard)
            self._maps.append(shard.data)
            self._views.append(self._view(shard.data))
        return self

    def __exit__(self, *_: object) -> None:
        self._views.clear()
        self._maps.clear()
        self._shards.clear()

    def read(self, rows: Numbers, out: Array, scale: float | None = None) -> None:
        """Reads samples into an array.

        Args:
            rows: Numbers of the samples.
            out: What they are written to, of the shape `layout.buffer_shape(len(rows))`; values are
                converted to its dtype.
            scale: What the values are multiplied by; None leaves them as they are.

        Raises:
            BadCatalogError: A shard is cut short, or an image cannot be decoded; the message names
                the shard.
            ArgumentError: An image is of another size or type than the first.
            StorageError: A shard on another machine cannot be read.
        """
        layout = self._layout
        if layout.windows is not None:
            return self._read_windows(rows, out, scale)
        if self.remote:
            return read_together([self], rows, [out], [scale])
        self._advise(rows)
        for at, end in self._cuts(rows, scale):
            some, part = rows[at:end], out[at:end]
            shard, start = layout.shard[some].ravel().tolist(), layout.start[some].ravel().tolist()
            if layout.encoded:
                # copied, for decoders are not to work on what may change or go meanwhile
                size = layout.size[some].ravel().tolist()
                files = [self._maps[k][at : at + n] for k, at, n in zip(shard, start, size)]
                self._decode(some, files, part)
            else:
                views: Iterator[Any] = map(self._views.__getitem__, shard)
                self._convert(list(map(getitem, views, start)), part)
            if scale is not None:
                np.multiply(part, scale, out=part)
        self._require_whole(rows)

    @property
    def windowed(self) -> bool:
        """Whether parts of images are read, not whole files."""
        return self._layout.windows is not None

    def size(self, rows: Numbers) -> int:
        """How many bytes the files of samples have."""
        return int(self._layout.size[rows].sum())

    def places(self, rows: Numbers) -> tuple[list[str], list[int], list[int]]:
        """The shard, first byte and size of all files of samples, one sample after the other."""
        layout = self._layout
        shard, start, size = (
            a[rows].ravel().tolist() for a in (layout.shard, layout.start, layout.size)
        )
        return [layout.shards[k] for k in shard], start, size

    def putter(
        self, rows: Numbers, out: Array, scale: float | None
    ) -> Callable[[int, memoryview], None]:
        """What writes a file where it belongs in `out`, given its number (as `places` counts)."""
        layout, files = self._layout, self._layout.start.shape[1]
        each = out if files == 1 else out.reshape(-1, *layout.file_shape)
        room = room_for(1, layout.shape) if self._quick else None
        axis, shape = layout.order.index("band"), (1, *layout.file_shape)

        def put(number: int, data: memoryview) -> None:
            place = each[number : number + 1]
            if not layout.encoded:
                self._convert([np.frombuffer(data, layout.dtype).reshape(shape)], place)
            elif room is not None:
                if not decode_small_jpeg(data, room[0]):
                    room[0] = self._decoded(data, int(rows[number]))
                self._convert([room], place)
            else:
                row, band = divmod(number, files)
                image = self._decoded(data, int(rows[row]), band)
                self._convert([np.moveaxis(image, -1, axis).reshape(shape)], place)
            if scale is not None:
                np.multiply(place, scale, out=place)

        return put

    def _read_windows(self, rows: Numbers, out: Array, scale: float | None) -> None:
        """Reads windows of images, from the tiles under them."""
        read_windows(self._layout, rows, out, self._pieces)
        if scale is not None:
            np.multiply(out, scale, out=out)
        if not self.remote:
            self._require_whole(rows)

    def _pieces(
        self, shard: list[int], start: list[int], size: list[int], plain: list[bool]
    ) -> Sequence[Piece]:
        """Ranges of shards; those of plain pixels are not copied, as parts of them will do."""
        if self.remote:
            return fetch([self._layout.shards[k] for k in shard], start, size)
        return [
            (memoryview(self._maps[k]) if as_is else self._maps[k])[at : at + n]
            for k, at, n, as_is in zip(shard, start, size, plain)
        ]

    def _require_whole(self, rows: Numbers) -> None:
        """Refuses what was read of shards that have become shorter."""
        for k in set(self._layout.shard[rows].ravel().tolist()):
            if not self._shards[k].whole:
                raise _cut_short(self._layout.shards[k])

    def _cuts(self, rows: Numbers, scale: float | None) -> Iterator[tuple[int, int]]:
        """Which samples, first and end, are read together."""
        layout = self._layout
        step = max(1, len(rows))
        if scale is not None or layout.encoded or not self._whole:
            step = max(1, len(rows) * _CACHED // max(self.size(rows), 1))
        for at in range(0, len(rows), step):
            yield at, min(at + step, len(rows))

    def _view(self, shard: mmap.mmap) -> Array:
        """The shard as array of files, (byte, 1, ...): at each byte the file that begins there."""
        layout = self._layout
        if layout.encoded:
            return np.frombuffer(shard, np.uint8)
        first = np.ndarray((1, *layout.file_shape), layout.dtype, shard)
        places = len(shard) - first.nbytes + 1
        return as_strided(first, (places, *first.shape), (1, *first.strides), writeable=False)

    def _advise(self, rows: Numbers) -> None:
        """Tells the kernel which bytes will be read; the files of a sample together if close."""
        layout = self._layout
        shard, start, size = layout.shard[rows], layout.start[rows], layout.size[rows]
        first, end = start.min(axis=1), (start + size).max(axis=1)
        if (shard == shard[:, :1]).all() and (end - first).sum() <= 2 * size.sum():
            shard = shard[:, 0]
        else:
            shard, first, end = shard.ravel(), start.ravel(), (start + size).ravel()
        first -= first % mmap.PAGESIZE
        maps = map(self._maps.__getitem__, shard.tolist())
        lengths = (end - first).tolist()
        calls = map(mmap.mmap.madvise, maps, repeat(mmap.MADV_WILLNEED), first.tolist(), lengths)
        deque(calls, maxlen=0)  # makes them, without a step of Python for each

    def _convert(self, files: Sequence[Array], out: Array) -> None:
        """Converts files, each (1, ...) in stored order, into `out`."""
        layout = self._layout
        if layout.start.shape[1] > 1:
            out = out.reshape(-1, *layout.file_shape)
        if self._whole:
            np.concatenate(files, out=out, casting="unsafe")
            return
        axis = layout.order.index("band") + 1
        for k, column in enumerate(layout.columns):
            source: tuple[Any, ...] = (*[slice(None)] * axis, column)
            place: tuple[Any, ...] = (*[slice(None)] * axis, k)
            picked: Any = [file[source] for file in files]
            np.concatenate(picked, out=out[place], casting="unsafe")

    def _decode(self, rows: Numbers, files: Sequence[bytes], out: Array) -> None:
        """Decodes files of samples into `out`."""
        layout, count = self._layout, self._layout.start.shape[1]
        if self._quick:
            self._decode_quickly(rows, files, out)
            return
        axis, shape = layout.order.index("band"), (1, *layout.file_shape)
        each = out if count == 1 else out.reshape(-1, *layout.file_shape)
        for k, data in enumerate(files):
            image = self._decoded(data, int(rows[k // count]), k % count)
            self._convert([np.moveaxis(image, -1, axis).reshape(shape)], each[k : k + 1])

    def _decode_quickly(self, rows: Numbers, files: Sequence[bytes], out: Array) -> None:
        """Decodes small images of three bands: into `out` itself if it is of their type."""
        shape = self._layout.shape
        straight = self._whole and out.dtype == np.uint8
        step = len(files) if straight else max(1, _NEAR // prod(shape))
        room = out if straight else room_for(min(step, len(files)), shape)
        for at in range(0, len(files), step):
            some = files[at : at + step]
            for k, (data, place) in enumerate(zip(some, room)):
                if not decode_small_jpeg(data, place):
                    place[:] = self._decoded(data, int(rows[at + k]))
            if not straight:
                self._convert([room[: len(some)]], out[at : at + len(some)])

    def _decoded(self, data: bytes | memoryview, row: int, band: int = 0) -> Array:
        """The image of a file (y, x, band), which is as the first one."""
        layout = self._layout
        bands = 1 if layout.start.shape[1] > 1 else layout.shape[layout.order.index("band")]
        expected = (*layout.image_size, bands)
        stored = None if layout.crop is not None else layout.image_size  # cut, they have any size
        try:
            image = decode(data, bands, stored)
        except SatimnetError as error:
            raise BadCatalogError(f"{self._name(row, band)} {error}") from error
        image = as_colour(image, bands)
        if layout.crop is not None:
            image = (fitted if layout.pad else middle)(image, layout.crop)
        if image.shape != expected or image.dtype != layout.dtype:
            raise ArgumentError(
                f"{self._name(row, band)} is {image.dtype} {image.shape}, the first sample is "
                f"{layout.dtype} {expected}; batches need images of one size and type",
                "bands",
            )
        return image

    def _name(self, row: int, band: int = 0) -> str:
        """The shard and the id of a sample, for messages."""
        layout = self._layout
        return f"{layout.shards[layout.shard[row, band]]}: sample {layout.ids[row]}"


def read_together(
    readers: Sequence[Reader],
    rows: Numbers,
    outs: Sequence[Array],
    scales: Sequence[float | None],
) -> None:
    """Reads samples by several readers into their arrays; arguments and errors as `Reader.read`.

    From other machines, the near files of a sample come in one request, whoever reads them.
    """
    far = []
    for reader, out, scale in zip(readers, outs, scales, strict=True):
        if reader.remote and not reader.windowed:
            far.append((reader, out, scale))
        else:
            reader.read(rows, out, scale)
    size = sum(reader.size(rows) for reader, _, _ in far)
    step = max(1, len(rows) * _WINDOW // max(size, 1))
    for at in range(0, len(rows) if far else 0, step):
        end = min(at + step, len(rows))
        _fetch([(reader, out[at:end], scale) for reader, out, scale in far], rows[at:end])


def _fetch(far: Sequence[tuple[Reader, Array, float | None]], rows: Numbers) -> None:
    """Reads samples from other machines, all ranges at once."""
    hrefs, starts, sizes = list[str](), list[int](), list[int]()
    homes = list[tuple[Callable[[int, memoryview], None], int]]()
    for reader, out, scale in far:
        places = reader.places(rows)
        hrefs += places[0]
        starts += places[1]
        sizes += places[2]
        homes += zip(repeat(reader.putter(rows, out, scale)), range(len(places[0])))

    def put(k: int, data: memoryview) -> None:
        write, number = homes[k]
        write(number, data)

    fetch_each(hrefs, starts, sizes, put)


def _cut_short(href: str) -> BadCatalogError:
    """What is wrong with a shard that has less bytes than the catalog says."""
    return BadCatalogError(
        f"{href}: the file ends too early or is not what the catalog describes; "
        "copy it or build it again"
    )


def _allow_files(count: int) -> None:
    """Raises the limit of open files as far as the system allows, if so many are needed.

    A map keeps its file open, and the shards of a large dataset are more than the usual 1,024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and count + _SPARE_FILES > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@lru_cache(maxsize=4096)
def _mapped(path: str, inode: int, size: int, changed: int) -> MappedShard:
    """A map of a shard; kept, for a page that was touched once costs nothing in the next pass."""
    return MappedShard(path)
