"""Object targets: boxes, polygons and masks of the objects of samples, as detectors take them.

The dictionaries are those of torchvision's detectors: ``boxes`` (left, top, right, bottom, float32)
and ``labels`` (int64, from 1, since 0 is their background). Files of objects are small; they are
read a batch ahead by a thread of their own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import compress
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import torch

from satimnet.builder.chipping.chip_grid import Window
from satimnet.builder.chipping.clipping import (
    MIN_INSIDE,
    Clipper,
    all_boxes,
    boxes_inside,
    corners_inside,
)
from satimnet.builder.chipping.outlines import Outlines
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.imagery.masks import draw
from satimnet.builder.imagery.object_shapes import box_of
from satimnet.builder.storage.hrefs import is_url, join, open_regular
from satimnet.builder.storage.ranges import fetch
from satimnet.training.data.array_types import Numbers, Objects
from satimnet.training.data.image_assets import have_assets
from satimnet.training.data.image_sizes import image_sizes
from satimnet.training.data.known_objects import (
    KnownObjects,
    Parsed,
    have_size,
    outlines_in,
)
from satimnet.training.data.sample_table import SampleTable
from satimnet.training.data.versioned_pickles import VersionedPickle
from satimnet.training.data.window_plans import WindowPlan

Target = dict[str, Any]
"""The objects of one sample."""

_AHEAD = 2  # batches whose objects are read ahead
_KNOWN = KnownObjects()


@dataclass(frozen=True)
class ObjectTargets(VersionedPickle):
    """Where the files of objects of samples lie, and what is made of them.

    Attributes:
        ids: Item ids, one per sample.
        shards: Absolute hrefs.
        shard: Which of them a file is in, int64 (sample).
        start: Its first byte, int64 (sample).
        size: How many bytes it has, int64 (sample).
        kind: What is given beside boxes.
        labels: Class names to labels, from 1.
        windows: The part of each image that is read, in its pixels, int64 (sample, 4): left, top,
            width and height. Empty where images are read whole.
        image_size: Rows and columns of an image of the batch.
    """

    ids: tuple[str, ...]
    shards: tuple[str, ...]
    shard: Numbers
    start: Numbers
    size: Numbers
    kind: Objects
    labels: dict[str, int]
    windows: Numbers
    image_size: tuple[int, int]

    @classmethod
    def of(
        cls,
        samples: SampleTable,
        kind: Objects,
        image: str,
        image_size: tuple[int, int],
    ) -> ObjectTargets:
        """The targets of samples, whose images, assets ``image``, have a size in batches.

        Raises:
            ArgumentError: There is no such kind, or samples have no objects.
            BadCatalogError: The catalog does not say where their files lie.
        """
        if kind not in ("boxes", "oriented", "polygons", "masks"):
            raise ArgumentError(
                f'objects {kind}: there are "boxes", "oriented", "polygons", "masks" and None',
                "objects",
            )
        key = _key_of(samples)
        asset = pc.struct_field(samples.table["assets"], [key])
        try:
            archive = pc.list_flatten(pc.struct_field(asset, ["archive"]))
            ranges = pc.list_flatten(pc.struct_field(archive, ["range"]))
            first, last = np.asarray(ranges, np.int64).reshape(len(samples), 2).T
        except (ValueError, pa.ArrowException) as error:
            raise BadCatalogError(
                f"{samples.table['parquet'][0].as_py()}: not every {key} is one member of a shard "
                "with its byte range; build the catalog again"
            ) from error
        if (first < 0).any() or (last < first).any():
            raise BadCatalogError(
                f"{samples.table['parquet'][0].as_py()}: a byte range of {key} cannot be; build "
                "the catalog again"
            )
        hrefs = pc.struct_field(asset, ["href"]).to_pylist()
        places = list(map(join, hrefs, samples.table["parquet"].to_pylist()))
        shards = {place: at for at, place in enumerate(dict.fromkeys(places))}
        return cls(
            tuple(samples.ids),
            tuple(shards),
            np.array([shards[place] for place in places], np.int64),
            first,
            last - first + 1,
            kind,
            {name: at for at, name in enumerate(samples.classes, 1)},
            _windows(samples, image),
            image_size,
        )

    def of_windows(self, windows: WindowPlan) -> ObjectTargets:
        """The targets of windows, each of one of the samples; `at` says where they lie."""
        rows = windows.rows
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows.tolist()),
            shard=self.shard[rows],
            start=self.start[rows],
            size=self.size[rows],
        )

    def at(self, corners: Numbers, size: tuple[int, int]) -> ObjectTargets:
        """The targets where the part of each image that is read begins there (top, left)."""
        whole = np.broadcast_to([size[1], size[0]], corners.shape)
        return replace(self, windows=np.concatenate([corners[:, ::-1], whole], axis=1))

    def ahead(self, parts: Sequence[Numbers]) -> Generator[list[Target]]:
        """Yields the targets of each part of the samples, in order.

        Raises:
            SatimnetError: A file cannot be read.
        """
        with ExitStack() as stack:
            files = stack.enter_context(closing(_Files()))
            pool = stack.enter_context(ThreadPoolExecutor(1))
            stack.callback(pool.shutdown, cancel_futures=True)
            waiting: deque[Future[list[Target]]] = deque()
            for at in range(len(parts)):
                for rows in parts[at + len(waiting) : at + 1 + _AHEAD]:
                    waiting.append(pool.submit(self._read, rows, files))
                yield waiting.popleft().result()

    def _read(self, rows: Numbers, files: _Files) -> list[Target]:
        shards = [self.shards[k] for k in self.shard[rows].tolist()]
        starts, sizes = self.start[rows].tolist(), self.size[rows].tolist()
        labels = [f"{shard}: sample {self.ids[row]}" for shard, row in zip(shards, rows.tolist())]
        use = "outlines" if self._boxed else "windows" if len(self.windows) else "all"
        keys: list[Hashable] = [
            (use, files.identity(shard), start, size)
            for shard, start, size in zip(shards, starts, sizes, strict=True)
        ]
        known: dict[Hashable, Parsed] = {}
        asked: dict[Hashable, int] = {}
        for at, key in enumerate(keys):
            parsed = _KNOWN.get(key)
            if parsed is None:
                asked[key] = at
            else:
                known[key] = parsed
        places = ([every[at] for at in asked.values()] for every in (shards, starts, sizes))
        for (key, at), data in zip(asked.items(), files.read(*places), strict=True):
            known[key] = parsed = self._parsed(data, labels[at])
            # objects of Python take several times the bytes of their file
            takes = parsed.nbytes if isinstance(parsed, Outlines) else 6 * len(data)
            _KNOWN.add(key, parsed, takes + 400)
        outlines = [one for one in map(known.__getitem__, keys) if isinstance(one, Outlines)]
        if len(outlines) == len(rows):
            return self._boxes_of(rows, outlines, labels)
        return [
            self._target(row, known[key], label)
            for row, key, label in zip(rows.tolist(), keys, labels, strict=True)
        ]

    @property
    def _boxed(self) -> bool:
        """Whether boxes are all that is made, so that outlines need not become objects."""
        return self.kind in ("boxes", "oriented")

    def _parsed(self, data: bytes, label: str) -> Parsed:
        """What is kept of a file of objects."""
        if self._boxed:
            quick = outlines_in(data)
            return Outlines.of(objects_in(data, label)) if quick is None else quick
        objects = objects_in(data, label)
        return Clipper(objects) if len(self.windows) else objects

    def _boxes_of(
        self, rows: Numbers, outlines: Sequence[Outlines], labels: Sequence[str]
    ) -> list[Target]:
        """The targets of samples where nothing but boxes is wanted, all of them at once."""
        inside = all_boxes(outlines)
        if len(self.windows):
            inside = boxes_inside(outlines, self.windows[rows], MIN_INSIDE)
        boxes = inside.boxes.astype(np.float32)
        real = have_size(boxes)
        owner = np.arange(len(rows)).repeat(inside.counts)[real]
        counts = np.bincount(owner, minlength=len(rows)).tolist()
        parts = np.split(inside.rows, inside.counts.cumsum()[:-1])
        numbers = np.concatenate(
            [self._numbers(one)[one.codes[part]] for one, part in zip(outlines, parts, strict=True)]
        )[real]
        if not numbers.all():
            at = int(numbers.argmin())
            one = outlines[owner[at]]
            name = one.names[one.codes[inside.rows[real][at]]]
            raise _not_in_table(labels[owner[at]], name)
        made = {"boxes": torch.from_numpy(boxes[real]), "labels": torch.from_numpy(numbers)}
        if self.kind == "oriented":
            windows = self.windows[rows] if len(self.windows) else None
            corners = corners_inside(outlines, windows, MIN_INSIDE, inside)[real]
            made["corners"] = torch.from_numpy(corners.astype(np.float32).reshape(-1, 8))
        split = {key: torch.split(tensor, counts) for key, tensor in made.items()}
        return [{key: split[key][k] for key in split} for k in range(len(rows))]

    def _numbers(self, outlines: Outlines) -> Numbers:
        """The labels of the classes of outlines; 0 of those that are not in the class table."""
        return np.array([self.labels.get(name, 0) for name in outlines.names], np.int64)

    def _target(self, row: int, parsed: Parsed, label: str) -> Target:
        """The target of a sample with its outlines."""
        assert not isinstance(parsed, Outlines)
        if isinstance(parsed, Clipper):
            parsed = parsed.inside(Window(*self.windows[row].tolist()), MIN_INSIDE)
        found = np.array([box_of(item) for item in parsed], np.float32).reshape(-1, 4)
        real = have_size(found)
        objects = list(compress(parsed, real.tolist()))
        try:
            labels = np.array([self.labels[item.name] for item in objects], np.int64)
        except KeyError as error:
            raise _not_in_table(label, error.args[0]) from error
        made: Target = {
            "boxes": torch.from_numpy(found[real]),
            "labels": torch.from_numpy(labels),
        }
        if self.kind == "polygons":
            made["polygons"] = [
                [torch.tensor(ring, dtype=torch.float32) for part in item.parts for ring in part]
                for item in objects
            ]
        elif self.kind == "masks":
            masks = np.zeros((len(objects), *self.image_size), np.uint8)
            for mask, item in zip(masks, objects, strict=True):
                mask[:] = next(draw([item], {item.name: 1}, self.image_size))
            made["masks"] = torch.from_numpy(masks)
        return made


def _not_in_table(label: str, name: str) -> BadCatalogError:
    return BadCatalogError(f"{label}: the class {name!r:.80} is not in the class table")


def to_device(targets: list[Target], device: torch.device) -> list[Target]:
    """The targets on a device."""
    if device.type == "cpu":
        return targets

    def moved(value: Any) -> Any:
        return [moved(one) for one in value] if isinstance(value, list) else value.to(device)

    return [{key: moved(value) for key, value in target.items()} for target in targets]


def _key_of(samples: SampleTable) -> str:
    """The asset with the objects in pixels of the image, which all samples must have."""
    keys = dict.fromkeys(
        asset.key for home in samples.collections.values() for asset in home.document.annotations
    )
    present = have_assets(samples.table, list(keys))
    best, most = None, -1
    for key, having in zip(keys, present.T, strict=True):
        if having.any() and int(having.sum()) > most and _in_pixels(samples, key, having):
            best, most = key, int(having.sum())
    if best is None:
        raise ArgumentError(
            f"none of the {len(samples):,} samples has objects; search a collection of detection, "
            "or give objects=None",
            "objects",
        )
    if most < len(samples):
        raise ArgumentError(
            f"{len(samples) - most:,} of the {len(samples):,} samples have no objects, as nobody "
            f"has annotated them; search for those with them, as by "
            'filter="satimnet:classes IS NOT NULL"',
            "objects",
        )
    return best


def _in_pixels(samples: SampleTable, key: str, having: Any) -> bool:
    """Whether the first file of an asset is in pixels of the image."""
    row = samples.table.slice(int(having.argmax()), 1).to_pylist()[0]
    asset = row["assets"][key]
    place = join(asset["href"], row["parquet"])
    try:
        first, last = asset["archive"][0]["range"]
        with closing(_Files()) as files:
            (data,) = files.read([place], [first], [last - first + 1])
        return is_in_pixels(orjson.loads(data))
    except (ValueError, TypeError, LookupError):
        return False


def _windows(samples: SampleTable, image: str) -> Numbers:
    """The part of each image that is read, where they are cropped or padded."""
    if samples.crop is None:
        return np.zeros((0, 4), np.int64)
    rows, columns = samples.crop
    sizes = image_sizes(samples.table, image)
    if (sizes == 0).any():
        raise BadCatalogError(
            f"{samples.table['parquet'][0].as_py()}: the size of an image is not said; build the "
            "catalog again"
        )
    # as `image_sizes.middle` and `image_sizes.fitted` have it
    tops, lefts = (
        np.where(have >= want, (have - want) // 2, -((want - have) // 2))
        for have, want in zip(sizes.T, (rows, columns), strict=True)
    )
    whole = np.broadcast_to([columns, rows], (len(sizes), 2))
    return np.concatenate([lefts[:, None], tops[:, None], whole], axis=1)


class _Files:
    """Shards that are open for one pass; those on other machines are asked by ranges."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[BufferedReader, Hashable]] = {}

    def close(self) -> None:
        for file, _ in self._open.values():
            file.close()

    def identity(self, place: str) -> Hashable:
        """What tells a shard from all others, and from itself when it has been changed."""
        return place if is_url(place) else self._opened(place)[1]

    def read(
        self, places: Sequence[str], starts: Sequence[int], sizes: Sequence[int]
    ) -> list[bytes]:
        """Ranges of shards.

        Raises:
            SatimnetError: One cannot be read.
        """
        if any(map(is_url, places)):
            return [bytes(data) for data in fetch(places, starts, sizes)]
        return [self._part(*one) for one in zip(places, starts, sizes, strict=True)]

    def _opened(self, place: str) -> tuple[BufferedReader, Hashable]:
        if place not in self._open:
            try:
                file = open_regular(place)
                stat = os.fstat(file.fileno())
            except OSError as error:
                raise _lost(place, error) from error
            identity = (place, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            self._open[place] = file, identity
        return self._open[place]

    def _part(self, place: str, first: int, size: int) -> bytes:
        try:
            data = os.pread(self._opened(place)[0].fileno(), size, first)
        except SatimnetError:
            raise
        except OSError as error:
            raise _lost(place, error) from error
        if len(data) != size:
            raise BadCatalogError(f"{place}: ends too early; copy it or build it again")
        return data


def _lost(place: str, error: OSError) -> BadCatalogError:
    return BadCatalogError(f"{place}: {error.strerror}; the catalog needs this shard")
