"""Previews: the part of a sample that can be seen at a glance, as arrays of a picture's size."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.whole_images import decode
from satimnet.builder.storage.assets import gdal_path, read_bytes

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from satimnet.builder.catalog.items import Item

_LARGEST = 60_000_000
"""Pixels of an image beyond which decoding it would hold up the build for seconds."""
_ACROSS = 16
"""How many objects of mean size a view is wide at most: they are seen, and where they lie."""
_FINEST = 512
"""Pixels a side of the copy of a mask in which the view is sought."""

_SMALL = 2**20
"""Bytes of a file that is sooner decoded as a whole than opened by GDAL, which takes 1 ms."""

_Box = tuple[float, float, float, float]
"""A part of an image: left, top, width and height as fractions of the image's."""
_WHOLE: _Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class View:
    """The part of a sample that is shown."""

    item: Item
    values: NDArray[Any]
    """Of axis order (band, y, x), uint8 or float32; one band or red, green and blue.

    Of fewer pixels than asked for where the image has no more: their picture is sooner made.
    """
    raw: bool
    """Whether values are not yet grey values of a picture."""
    mask: NDArray[np.integer[Any]] | None
    area: int
    """Pixels of the whole image."""
    outlines: list[tuple[str, NDArray[np.float64]]]
    """Class name and ring (point, xy) of each object, in pixels of what is shown."""
    detail: bool
    """Whether the image goes on outside of what is shown."""


def read_views(
    items: Iterable[Item], collection: Mapping[str, Any], size: int, most: int
) -> Iterator[View]:
    """Reads the parts of samples that are shown. Items that cannot be read are left out.

    Args:
        items: Items whose shards can be read.
        collection: Their Collection as JSON.
        size: Rows and columns of the arrays; of the values, at most.
        most: How many views there are at most.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    read = 0
    # No looking for files beside the shard, none to be written there.
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for item in items:
            if read == most:
                return
            try:
                shown = _read_one(item, collection, size)
            except (RasterioError, SatimnetError, OSError, ValueError):
                continue
            if shown is not None:
                read += 1
                yield shown


def _read_one(item: Item, collection: Mapping[str, Any], size: int) -> View | None:
    """None if the Item has no image, or one too large to be decoded in passing."""
    bands = true_colour(item["assets"], collection["item_assets"])
    if not bands:
        return None
    with ExitStack() as files:
        return _read_opened(item, bands, size, files)


def _read_opened(
    item: Item, bands: list[tuple[str, int]], size: int, files: ExitStack
) -> View | None:
    """As `_read_one`, of these bands; files are opened once, as that takes as long as reading."""
    import rasterio

    @cache
    def opened(path: str) -> DatasetReader:
        return files.enter_context(rasterio.open(path))

    assets, mask = item["assets"], mask_of(item)
    if mask is None and (small := _small(assets, bands, size)) is not None:
        return View(item, _shown(small), small.dtype != np.uint8, None, small[0].size, [], False)
    image = opened(gdal_path(assets[bands[0][0]]))
    height, width, dtype = image.height, image.width, image.dtypes[0]
    if height * width > _LARGEST and not image.overviews(1):  # a COG has them
        return None
    side = _side(item, min(height, width), size)
    box = _centred(0.5, 0.5, side, width, height)
    labels, outlines = None, []
    if mask is not None:
        if side < max(height, width):
            box = _box_of_most(opened(gdal_path(mask)), side, width, height)
        labels = _pixels(opened(gdal_path(mask)), [1], box, size, labels=True)[0]
        if "annotation" in assets:
            scale = np.array([size / box[2] / width, size / box[3] / height])
            corner = np.array([box[0] * width, box[1] * height])
            rings = _rings(read_bytes(assets["annotation"]))
            outlines = [(name, (ring - corner) * scale) for name, ring in rings]
    values = [
        _pixels(opened(gdal_path(assets[key])), [n for _, n in group], box, min(side, size))
        for key, group in groupby(bands, key=lambda band: band[0])
    ]
    stack = _shown(np.concatenate(values))
    return View(
        item, stack, dtype != "uint8", labels, height * width, outlines, side < max(height, width)
    )


def _shown(stack: NDArray[Any]) -> NDArray[Any]:
    """The values as `View` has them."""
    if stack.dtype == np.uint8:
        return stack
    whole = np.issubdtype(stack.dtype, np.integer)
    stack = stack.astype(np.float32)
    return stack if whole else np.nan_to_num(stack)


def _small(
    assets: Mapping[str, Any], bands: list[tuple[str, int]], size: int
) -> NDArray[Any] | None:
    """The bands of a square image that is shown as it is, as all its pixels fit; else None.

    Of one file, a JPEG or one whose pixels lie uncompressed, as those of most patches.
    """
    asset = assets[bands[0][0]]
    if len({key for key, _ in bands}) > 1 or len(asset.get("archive", ())) != 1:
        return None
    (member,) = asset["archive"]
    if "satimnet:pixels" not in asset and member.get("type", asset.get("type")) != "image/jpeg":
        return None
    if not 0 < member.get("file:size", 0) <= _SMALL:
        return None
    values: NDArray[Any] | None = decode(read_bytes(asset), member["href"])
    if values is None:  # far more pixels than bytes
        return None
    height, width = values.shape[1:]
    if not height == width <= size or max(number for _, number in bands) > len(values):
        return None
    return values[[number - 1 for _, number in bands]]


def mask_of(item: Item) -> dict[str, Any] | None:
    """The asset that is the label raster of the Item, if it has one."""
    return next((a for a in item["assets"].values() if "mask" in a.get("roles", ())), None)


def _rings(annotation: bytes) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Class name and outer ring (point, xy) of each object in an ``annotation`` asset."""
    for feature in orjson.loads(annotation)["features"]:
        shape = feature["geometry"]
        several = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
        for rings in several:
            yield feature["properties"]["class"], np.array(rings[0], dtype=float)


def true_colour(assets: Mapping[str, Any], specs: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Asset and number (from 1) of the red, green and blue band, else of a single one."""
    found: dict[str, tuple[str, int]] = {}
    roles = {key: asset.get("roles", ()) for key, asset in assets.items()}
    images = [key for key in assets if assets[key].get("bands") and "mask" not in roles[key]]
    images.sort(key=lambda key: "visual" not in roles[key])
    for key in images:
        common = {b["name"]: b.get("eo:common_name") for b in specs.get(key, {}).get("bands", ())}
        for index, band in enumerate(assets[key]["bands"], 1):
            name = band.get("name", "")
            found.setdefault(common.get(name) or name, (key, index))
    if {"red", "green", "blue"} <= found.keys():
        return [found["red"], found["green"], found["blue"]]
    return [(images[0], 1)] if images else []


def _side(item: Item, shortest: int, size: int) -> int:
    """Pixels a side of the part that is shown: objects are to be seen in the picture."""
    statistics = item["properties"].get("satimnet:statistics", ())
    if not statistics or shortest <= size:
        return shortest
    objects = sum(row.get("count", 0) for row in statistics)
    pixels = sum(row.get("pixels", 0) for row in statistics)
    if objects and pixels:
        return min(shortest, max(size, round(_ACROSS * sqrt(pixels / objects))))
    return min(shortest, 3 * size)


def _centred(x: float, y: float, side: int, width: int, height: int) -> _Box:
    across, down = side / width, side / height
    left = min(max(x - across / 2, 0.0), 1 - across)
    top = min(max(y - down / 2, 0.0), 1 - down)
    return left, top, across, down


def _box_of_most(image: DatasetReader, side: int, width: int, height: int) -> _Box:
    """The square in which the most of each class lies, all classes counting the same."""
    scale = min(1.0, _FINEST / max(width, height))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    labels = _pixels(image, [1], _WHOLE, shape, labels=True)[0]
    numbers = np.bincount(labels.ravel(), minlength=1)
    weights = np.divide(1.0, numbers, where=numbers > 0, out=np.zeros(len(numbers)))
    weights[0] = 0
    # Sums over all squares from a table of sums, F. C. Crow, 1984, doi.org/10.1145/800031.808600
    sums = np.pad(weights[labels], ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    h, w = (min(max(1, round(side * scale)), length) for length in shape)
    inside = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    # Of equally good squares the middle one: objects stand away from the edge.
    rows, columns = np.nonzero(inside >= inside.max() - 1e-9)
    row, column = np.median(rows), np.median(columns)
    at = np.argmin((rows - row) ** 2 + (columns - column) ** 2)
    y, x = (rows[at] + h / 2) / shape[0], (columns[at] + w / 2) / shape[1]
    return _centred(x, y, side, width, height)


def _pixels(
    image: DatasetReader,
    bands: list[int],
    box: _Box,
    size: int | tuple[int, int],
    *,
    labels: bool = False,
) -> NDArray[Any]:
    """That part of the image, of axis order (band, y, x), resampled to ``size`` pixels."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    height, width = (size, size) if isinstance(size, int) else size
    left, top, across, down = box
    window = Window(
        left * image.width, top * image.height, across * image.width, down * image.height
    )
    if labels:
        method = Resampling.nearest
    elif window.width > width:
        method = Resampling.average
    else:
        method = Resampling.cubic
    shape = (len(bands), height, width)
    values: NDArray[Any] = image.read(bands, window=window, out_shape=shape, resampling=method)
    return values
