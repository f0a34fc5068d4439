"""Windows of a large image: satimnet, the least that can be done, rasterio and torchgeo's sampler.

The image is one tiled GeoTIFF in a shard: uncompressed, deflated and as JPEG. Its picture is made
up of slow waves, blocks and grain. Windows with objects are measured beside those without.
"""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
import torch
from examples.networks.torchvision_cpu import import_torchvision
from numpy.typing import NDArray
from rasterio.windows import Window
from torch.utils.data import DataLoader

from benchmarks.data import Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.chipping import chip
from satimnet.builder.datasets import Dataset
from satimnet.builder.layouts import layout_dataset
from satimnet.builder.pipeline import build
from satimnet.builder.query.search import search
from satimnet.builder.scanning.archives import zip_data_offset
from satimnet.builder.storage.assets import gdal_path
from satimnet.training import Samples, open_samples
from satimnet.training.data.array_types import Dtype, Objects, WindowsBy
from satimnet.training.data.tile_index import TileIndex

Image = NDArray[np.uint8]
Corners = list[tuple[int, int]]
"""Left and top of windows."""
Quads = NDArray[np.float64]
"""Outlines of objects: x and y of four points (object, 4, 2)."""

_SIDE, _QUICK_SIDE = 20_000, 2_000
"""Pixels of the image."""
_OBJECTS_SIDE = 5_000
"""Pixels of that with objects, whose mask is drawn."""
_SIZE = 512
"""Of tiles and of windows."""
_BATCH = 8
_COMPRESSIONS: dict[str, dict[str, Any]] = {
    "uncompressed": {"compress": "none"},
    "deflate": {"compress": "deflate", "predictor": 2},
    "JPEG": {"compress": "jpeg", "photometric": "ycbcr", "JPEG_QUALITY": 85},
}
_COUNT = 256
"""Windows of a lap."""
_QUICK_COUNT = 2 * _BATCH
_GDAL_CACHE = 64 * 2**20
"""Bytes of blocks that GDAL keeps. By itself it takes a twentieth of the memory: all of this image,
and next to nothing of a training set."""
_OF_FLOOR = {"uncompressed": 1 / 2, "deflate": 1 / 1.2, "JPEG": 1 / 1.2}
"""A window may take 2 times the floor's time, or 1.2 times."""
_OF_TORCHGEO = {True: 6.0, False: 2.0}
"""What was promised for windows that are snapped to tiles, and for others."""
_OF_NO_OBJECTS = 1 / 1.1
"""Objects may add a tenth."""
_OBJECTS = 5
"""Objects on as many pixels as a window has, about as many as in DOTA: 188,282 on 2,806 images."""
_EPOCH = 1_000
"""Windows or chips of a lap with objects."""
_DTYPES: tuple[Dtype, ...] = ("float32", "stored")
_JPEG = 7  # TIFF's number of it
_STEP = 0.5  # metres a pixel
_LEFT, _TOP = 600_000.0, 3_400_000.0


def window_rows(data: Data, rounds: int) -> Iterator[Row]:
    """Rows for windows of each compression, and for the objects in windows and in chips."""
    torch.set_num_threads(1)
    quick = rounds == 1
    for name, options in _COMPRESSIONS.items():
        folder = data.folder / f"windows-{name}"
        with closing(_Scene.made(folder, _QUICK_SIDE if quick else _SIDE, options)) as scene:
            yield from _pixel_rows(scene, name, _QUICK_COUNT if quick else _COUNT, rounds)
    folder = data.folder / "windows-objects"
    yield from _object_rows(folder, _QUICK_SIDE if quick else _OBJECTS_SIDE, rounds)


# --- pixels ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scene:
    """The image in its shard, as everybody gets it; the shard is removed on closing."""

    samples: Samples
    shard: Path
    start: int
    """Its first byte in the shard."""
    index: TileIndex
    """Where its tiles lie from there."""
    gdal: str
    """Where GDAL finds it."""

    @classmethod
    def made(cls, folder: Path, side: int, options: dict[str, Any]) -> _Scene:
        """Writes it, and a catalog of it.

        A build would compress an image of this size anew, in one way. So the catalog is built of a
        small one, and the large one takes its place in the shard and in the row.
        """
        source = folder / "source" / "city" / "scene.tif"
        source.parent.mkdir(parents=True)
        _write_image(source, _SIZE, options)
        _build(folder, layout_dataset([folder / "source"], "image-folder", "city"))
        _write_image(source, side, options)
        (item,) = search(folder / "catalog", collections=["city"])
        ((key, asset),) = item["assets"].items()
        shard = Path(asset["href"])
        with zipfile.ZipFile(shard, "w") as archive:
            archive.write(source, asset["archive"][0]["href"])
        source.unlink()
        (info,) = zipfile.ZipFile(shard).infolist()
        with shard.open("rb") as file:
            start = zip_data_offset(os.pread(file.fileno(), 1024, info.header_offset), 0)
        if start is None:
            raise AssertionError(f"{shard} has no image")
        first, last = start, start + info.file_size - 1
        _change_row(folder / "catalog" / "city", key, [first, last], side)
        (item,) = search(folder / "catalog", collections=["city"])
        asset = item["assets"][key]

        def part(at: int, count: int) -> bytes:
            with shard.open("rb") as file:
                return os.pread(file.fileno(), count, first + at)

        index = TileIndex.read(part, last - first + 1, str(shard))
        if index is None or index.shape != (side, side, 3) or index.tile != (_SIZE, _SIZE):
            raise AssertionError(f"{shard} does not hold the image as it was written")
        samples = open_samples(folder / "catalog").search(collections=["city"])
        return cls(samples, shard, first, index, gdal_path(asset))

    def close(self) -> None:
        self.shard.unlink()


def _pixel_rows(scene: _Scene, name: str, count: int, rounds: int) -> Iterator[Row]:
    """Rows for one compression."""
    places = {snap: _places(scene.samples, count, snap) for snap in (True, False)}
    for snap, corners in places.items():
        _require_same(scene, corners, snap)
    contenders: dict[str, Contender] = {}
    for snap, corners in places.items():
        how = "snapped" if snap else "anywhere"
        contenders[how] = Contender(partial(_read_ours, scene.samples, count, snap, "float32"))
        own = partial(_read_ours, scene.samples, count, snap, "stored")
        contenders[f"{how}, stored"] = Contender(own)
        contenders[f"{how}, floor"] = Contender(partial(_read_floor, scene, corners))
        contenders[f"{how}, rasterio"] = Contender(partial(_read_rasterio, scene.gdal, corners))
    sampler = _torchgeo(scene, count)
    peer = "torchgeo, RandomGeoSampler"
    if isinstance(sampler, str):
        peer = f"{peer}: cannot be had here ({sampler})"
    else:
        contenders[peer] = sampler
    for contender in contenders.values():
        contender.before()
        contender.work()
    laps = race(contenders, rounds)
    for snap in places:
        how = "snapped" if snap else "anywhere"
        what = f"{name} windows, {how}"
        ours, stored = laps[how], laps[f"{how}, stored"]
        yield Row(f"{what}: windows", peer, ours, laps.get(peer), _OF_TORCHGEO[snap])
        what += ", as stored: windows"
        yield Row(what, "rasterio, opened once", stored, laps[f"{how}, rasterio"])
        yield Row(what, "pread and imagecodecs", stored, laps[f"{how}, floor"], _OF_FLOOR[name])


def _batches(samples: Samples, count: int, snap: bool, dtype: Dtype) -> Iterator[Any]:
    return samples.to_batches(
        _BATCH,
        window=_SIZE,
        windows_per_image=count // len(samples),
        snap=snap,
        labels=None,
        dtype=dtype,
        threads=0,
    )


def _read_ours(samples: Samples, count: int, snap: bool, dtype: Dtype) -> int:
    return sum(len(batch.indices) for batch in _batches(samples, count, snap, dtype))


def _places(samples: Samples, count: int, snap: bool) -> Corners:
    """Where the windows lie that satimnet draws; they are the same in every lap."""
    found: Corners = []
    for batch in _batches(samples, count, snap, "stored"):
        found += [(left, top) for left, top, _, _ in batch.windows.tolist()]
    if len(set(found)) < 2:
        raise AssertionError("all windows lie at one place")
    return found


def _floor(scene: _Scene, file: int, corners: Corners, out: Image) -> None:
    """Reads the tiles under windows, or of uncompressed ones the rows, and decodes them."""
    import imagecodecs

    index = scene.index
    kind = {1: "none", _JPEG: "JPEG"}.get(index.compression, "deflate")
    sizes, offsets = index.sizes.tolist(), index.offsets.tolist()
    row = _SIZE * 3
    for (left, top), image in zip(corners, out, strict=False):
        for number, y, x in index.under(top, left, _SIZE, _SIZE):
            y0, y1 = max(y, top), min(y + _SIZE, top + _SIZE)
            x0, x1 = max(x, left), min(x + _SIZE, left + _SIZE)
            start, size = scene.start + offsets[number], sizes[number]
            if kind == "none":
                start, size = start + (y0 - y) * row, (y1 - y0) * row
            data = os.pread(file, size, start)
            if kind == "none":
                tile = np.frombuffer(data, np.uint8).reshape(-1, _SIZE, 3)
            elif kind == "JPEG":
                decoded = imagecodecs.jpeg8_decode(
                    data, tables=index.tables, colorspace="YCBCR", outcolorspace="RGB"
                )
                tile = decoded[y0 - y : y1 - y]
            else:
                plain = imagecodecs.deflate_decode(data, out=_SIZE * row)
                differences = np.frombuffer(plain, np.uint8).reshape(_SIZE, _SIZE, 3)
                tile = imagecodecs.delta_decode(differences, axis=1)[y0 - y : y1 - y]
            image[y0 - top : y1 - top, x0 - left : x1 - left] = tile[:, x0 - x : x1 - x]


def _read_floor(scene: _Scene, corners: Corners) -> int:
    out = np.empty((_BATCH, _SIZE, _SIZE, 3), np.uint8)
    with scene.shard.open("rb") as file:
        for at in range(0, len(corners), _BATCH):
            _floor(scene, file.fileno(), corners[at : at + _BATCH], out)
    return len(corners)


def _read_rasterio(path: str, corners: Corners) -> int:
    """By a file that is opened anew for each lap: GDAL keeps blocks as long as it is open."""
    out = np.empty((_BATCH, 3, _SIZE, _SIZE), np.uint8)
    with rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE), rasterio.open(path) as file:
        for k, (left, top) in enumerate(corners):
            file.read(window=Window(left, top, _SIZE, _SIZE), out=out[k % _BATCH])
    return len(corners)


def _require_same(scene: _Scene, corners: Corners, snap: bool) -> None:
    """Windows of satimnet must be those of the floor, and of GDAL as far as JPEG allows it."""
    out = np.empty((_BATCH, _SIZE, _SIZE, 3), np.uint8)
    batches = [_batches(scene.samples, len(corners), snap, dtype) for dtype in _DTYPES]
    with scene.shard.open("rb") as shard, rasterio.open(scene.gdal) as file:
        for at in range(0, len(corners), _BATCH):
            images, stored = (next(each).images.permute(0, 2, 3, 1).numpy() for each in batches)
            _floor(scene, shard.fileno(), corners[at : at + _BATCH], out)
            if not ((images == out).all() and (stored == out).all()):
                raise AssertionError(f"{scene.shard}: the windows differ from the floor's")
            for image, (left, top) in zip(out, corners[at : at + _BATCH], strict=False):
                part = file.read(window=Window(left, top, _SIZE, _SIZE)).transpose(1, 2, 0)
                _require_near(scene, image, part)


def _require_near(scene: _Scene, image: Image, other: Any) -> None:
    """Refuses pixels of another reader; those of JPEG may differ, as colours are interpolated."""
    difference = np.abs(image.astype(np.int16) - other.astype(np.int16))
    allowed = 2 if scene.index.compression == _JPEG else 0
    if difference.mean() > allowed or (not allowed and difference.any()):
        raise AssertionError(f"{scene.gdal}: other pixels are read there")


def _torchgeo(scene: _Scene, count: int) -> Contender | str:
    """Its dataset and sampler, or why they cannot be had.

    For each lap they are made anew, because GDAL keeps blocks of open files.
    """
    try:
        import_torchvision()
        from torchgeo.datasets import RasterDataset, stack_samples
        from torchgeo.samplers import RandomGeoSampler
    except (ImportError, RuntimeError) as error:
        return str(error)
    loaders: list[Any] = []

    def prepare() -> None:
        loaders.clear()
        RasterDataset._cached_load_warp_file.cache_clear()
        dataset = RasterDataset([scene.gdal])
        with warnings.catch_warnings(action="ignore"):  # it has a successor, of the same speed
            sampler = RandomGeoSampler(dataset, _SIZE, count)
        loaders.append(DataLoader(dataset, _BATCH, sampler=sampler, collate_fn=stack_samples))

    def read() -> int:
        with warnings.catch_warnings(action="ignore"), rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE):
            return sum(len(batch["image"]) for batch in loaders[0])

    prepare()
    with warnings.catch_warnings(action="ignore"), rasterio.open(scene.gdal) as file:
        batch = next(iter(loaders[0]))
        for image, bounds in zip(batch["image"], batch["bounds"].tolist(), strict=True):
            left, top = (bounds[0] - _LEFT) / _STEP, (_TOP - bounds[4]) / _STEP
            part = file.read(window=Window(left, top, _SIZE, _SIZE))
            if image.shape != part.shape or not (image.numpy() == part).all():
                raise AssertionError(f"{scene.gdal}: torchgeo reads other pixels")
    return Contender(read, prepare)


def _write_image(path: Path, side: int, options: dict[str, Any]) -> None:
    """Writes the picture, tiled, in red, green and blue."""
    random = np.random.default_rng(0)
    place = rasterio.Affine(_STEP, 0, _LEFT, 0, -_STEP, _TOP)
    across, tint = np.arange(side), np.array([0, 12, 24], np.uint8).reshape(3, 1, 1)
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", tiled=True,
        blockxsize=_SIZE, blockysize=_SIZE, interleave="pixel", crs="EPSG:32614",
        transform=place, num_threads="all_cpus", **options,
    ) as file:  # fmt: skip
        for top in range(0, side, _SIZE):
            rows = min(_SIZE, side - top)
            down = np.arange(top, top + rows)
            waves = 90 + 40 * np.sin(across / 700) + 30 * np.cos(down / 500)[:, None]
            blocks = random.integers(0, 40, (-(-rows // 32), -(-side // 32)), np.uint8)
            blocks = blocks.repeat(32, 0).repeat(32, 1)[:rows, :side]
            grain = random.integers(0, 8, (3, rows, side), np.uint8)
            part = waves.astype(np.uint8) + blocks + grain + tint
            file.write(part, window=Window(0, top, side, rows))


def _change_row(home: Path, key: str, range_: list[int], side: int) -> None:
    """Says in the only row of a collection where its image lies now, and its size."""
    (path,) = home.rglob(PARQUET_NAME)
    table = pq.read_table(path)
    (row,) = table.to_pylist()
    row["assets"][key]["archive"][0]["range"] = range_
    for place in (row, row["assets"][key]):
        if "proj:shape" in place:
            place["proj:shape"] = [side, side]
    changed = pa.Table.from_pylist([row], table.schema)
    pq.write_table(changed, path)


def _build(folder: Path, dataset: Dataset) -> None:
    places = {dataset.id: [folder / "source"]}
    build([], folder / "catalog", assigned=places, datasets={dataset.id: dataset}, overview=False)


# --- objects --------------------------------------------------------------------------------------


def _object_rows(folder: Path, side: int, rounds: int) -> Iterator[Row]:
    """Rows for windows and chips with their objects, beside the same without them."""
    quads = _made_up_objects(side)
    source = folder / "source"
    (source / "images").mkdir(parents=True)
    _write_image(source / "images" / "scene.tif", side, _COMPRESSIONS["uncompressed"])
    (source / "annotations.json").write_text(json.dumps(_coco(quads, side)))
    _build(folder, layout_dataset([source], "coco", "ships"))
    chip(folder / "catalog", "ships", (_SIZE, _SIZE))
    catalog = open_samples(folder / "catalog")
    whole, chips = (catalog.search(collections=[name]) for name in ("ships", "ships-chips"))
    _require_boxes(whole, chips, quads)
    epoch = chips.subset(np.resize(np.arange(len(chips)), _EPOCH))
    works: dict[str, Callable[[Objects | None], int]] = {
        "windows": partial(_pass, whole, _SIZE),
        "chips": partial(_pass, epoch, None),
    }
    kinds: dict[Objects, str] = {"boxes": "boxes", "oriented": "oriented boxes"}
    contenders = {}
    for name, work in works.items():
        for kind in (None, *kinds):
            contenders[f"{name}, {kind}"] = Contender(partial(work, kind))
    for contender in contenders.values():
        contender.work()
    laps = race(contenders, rounds)
    for name in works:
        none = laps[f"{name}, None"]
        for kind, words in kinds.items():
            what = f"{name} of {_SIZE} pixels with {words}: {name}"
            yield Row(what, "without objects", laps[f"{name}, {kind}"], none, _OF_NO_OBJECTS)


def _pass(samples: Samples, window: int | None, kind: Objects | None) -> int:
    """A pass as long as one over a training set, whose objects are known from an earlier one."""
    batches = samples.to_batches(
        _BATCH,
        objects=kind,
        labels=None,
        window=window,
        windows_per_image=None if window is None else _EPOCH,
        snap=False,
        threads=0,
    )
    return sum(len(batch.images) for batch in batches)


def _made_up_objects(side: int) -> Quads:
    """Ships of all directions, a third of them along the axes."""
    random = np.random.default_rng(0)
    count = _OBJECTS * side**2 // _SIZE**2
    middles = random.uniform(60, side - 60, (count, 1, 2))
    lengths, widths = random.uniform(20, 80, count), random.uniform(8, 30, count)
    angles = np.where(np.arange(count) % 3, random.uniform(0, np.pi, count), 0.0)
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
    x, y = signs[:, 0] * lengths[:, None], signs[:, 1] * widths[:, None]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.asarray((middles + np.stack([x * cos - y * sin, x * sin + y * cos], -1)).round(1))


def _coco(quads: Quads, side: int) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "scene.tif", "width": side, "height": side}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 1, "segmentation": [quad.ravel().tolist()]}
            for k, quad in enumerate(quads, 1)
        ],
    }


def _require_boxes(whole: Samples, chips: Samples, quads: Quads) -> None:
    """The boxes of windows must be those that shapely cuts, and those of chips the grid's."""
    shapes = shapely.polygons(quads)
    grid: dict[tuple[int, int], NDArray[np.float32]] = {}
    ways: tuple[WindowsBy, ...] = ("random", "grid")
    for by in ways:
        for batch in whole.to_batches(
            _BATCH, window=_SIZE, windows=by, objects="boxes", labels=None
        ):
            for (left, top, *_), target in zip(batch.windows.tolist(), batch.objects, strict=True):
                view = shapely.box(left, top, left + _SIZE, top + _SIZE)
                rest = shapely.intersection(shapes, view)
                kept = shapely.area(rest) >= shapely.area(shapes) / 2
                boxes = shapely.bounds(rest[kept]) - (left, top, left, top)
                if not _same_boxes(boxes, target["boxes"].numpy()):
                    raise AssertionError(f"other objects in the window at {left}, {top}")
                grid[left, top] = target["boxes"].numpy()
    # a chip's id ends with its place: _y512_x0
    places = [tuple(int(part[1:]) for part in id_.split("_")[-2:]) for id_ in chips.ids]
    wanted = [grid[left, top] for top, left in places]
    found = [
        target["boxes"].numpy()
        for batch in chips.to_batches(_BATCH, objects="boxes", labels=None)
        for target in batch.objects
    ]
    if not all(map(_same_boxes, wanted, found)) or len(wanted) != len(found):
        raise AssertionError("the objects of the chips differ from those of windows on a grid")


def _same_boxes(some: NDArray[Any], others: NDArray[Any]) -> bool:
    return some.shape == others.shape and bool(np.allclose(some, others, atol=1e-3))
