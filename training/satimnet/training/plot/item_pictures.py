"""Item pictures: image, mask and objects of a whole sample, as small as a page shows them.

Images are shrunk while they are read: of one that has overviews, only these are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError, printable
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.imagery.asset_rasters import opened_asset
from satimnet.builder.imagery.colours import Picture, natural, plain
from satimnet.builder.overview.previews import mask_of, true_colour
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.types import Json

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

_LARGEST = 60_000_000
"""Pixels of an image without overviews beyond which it is not decoded for a picture."""

Outline = tuple[str, NDArray[np.float64]]
"""Class name and ring (point, xy) of an object, in pixels of the picture."""


@dataclass(frozen=True)
class Wanted:
    """What is read of each Item.

    Attributes:
        size: Pixels of the longer side at most.
        bands: Names of one or three bands; None takes red, green and blue, else a single one.
        mask: Whether its mask is read.
        objects: Whether its objects are.
        crop: Rows and columns of the middle that is shown; None shows all.
    """

    size: int
    bands: tuple[str, ...] | None = None
    mask: bool = False
    objects: bool = False
    crop: tuple[int, int] | None = None


@dataclass(frozen=True)
class ItemPicture:
    """What was read of an Item.

    Attributes:
        item: It, as JSON.
        document: What its collection says.
        values: Of axis order (band, y, x), one band or three; None if they cannot be read.
        mask: Values of the label raster (y, x); None without one.
        outlines: Its objects; None where nobody has annotated.
        problem: Why there are no values.
    """

    item: Json
    document: CollectionDocument
    values: NDArray[Any] | None = None
    mask: NDArray[Any] | None = None
    outlines: tuple[Outline, ...] | None = None
    problem: str = ""


def read_pictures(
    items: Iterable[tuple[Json, CollectionDocument]], wanted: Wanted
) -> Iterator[ItemPicture]:
    """Reads Items, each with its collection; what cannot be read has a `ItemPicture.problem`."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    # No looking for files beside the shard, none to be written there.
    with (
        warnings.catch_warnings(),
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"),
    ):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for item, document in items:
            item = _described(item, document)
            try:
                with ExitStack() as files:
                    picture = _read(item, document, wanted, files)
            except (RasterioError, SatimnetError, OSError, ValueError) as error:
                reason = printable(" ".join(str(error).split()))
                picture = ItemPicture(item, document, problem=reason or type(error).__name__)
            yield picture


def _described(item: Json, document: CollectionDocument) -> Json:
    """The Item, whose assets say themselves what the collection says of all such assets."""
    specs = document.json.get("item_assets", {})
    assets = {
        key: {name: specs[key][name] for name in ("bands", "roles") if name in specs[key]} | asset
        if key in specs
        else asset
        for key, asset in item["assets"].items()
    }
    return item | {"assets": assets}


def _read(
    item: Json, document: CollectionDocument, wanted: Wanted, files: ExitStack
) -> ItemPicture:
    @cache
    def opened(key: str) -> DatasetReader:
        return files.enter_context(opened_asset(item["assets"][key], f"{item['id']}: {key}"))

    bands = _bands_of(item, document, wanted.bands)
    image = opened(bands[0][0])
    width, height = image.width, image.height
    if width * height > _LARGEST and not image.overviews(1):  # a COG has them
        raise BadCatalogError(
            f"{item['id']}: {height:,} x {width:,} pixels without overviews are not shrunk for a "
            "picture; chip the scene first"
        )
    rows, columns = wanted.crop or (height, width)
    rows, columns = min(rows, height), min(columns, width)
    left, top = (width - columns) // 2, (height - rows) // 2
    scale = min(1.0, wanted.size / max(rows, columns))
    shape = max(1, round(rows * scale)), max(1, round(columns * scale))
    box = left / width, top / height, columns / width, rows / height
    parts = [
        _pixels(opened(key), [number for _, number in group], box, shape, labels=False)
        for key, group in groupby(bands, key=lambda band: band[0])
    ]
    mask, outlines = None, None
    asset = mask_of(item) if wanted.mask else None
    if asset is not None:
        key = next(key for key, one in item["assets"].items() if one is asset)
        mask = _pixels(opened(key), [1], box, shape, labels=True)[0]
    if wanted.objects:
        outlines = _outlines(item, document, (left, top), (shape[1] / columns, shape[0] / rows))
    return ItemPicture(item, document, np.concatenate(parts), mask, outlines)


def _bands_of(
    item: Json, document: CollectionDocument, names: Sequence[str] | None
) -> list[tuple[str, int]]:
    """Asset and number (from 1) of each band that is shown."""
    assets = item["assets"]
    if names is None:
        found = true_colour(assets, document.json.get("item_assets", {}))
        if not found:
            raise ArgumentError(f"{item['id']}: it has no image whose bands are named")
        return found
    images = {asset.key: asset.band_names for asset in document.images if asset.key in assets}
    whole = [key for key, own in images.items() if set(names) <= set(own)]
    bands = []
    for name in names:
        key = next((key for key in whole or images if name in images[key]), None)
        if key is None:
            known = dict.fromkeys(band for own in images.values() for band in own)
            raise ArgumentError(
                f"{item['id']}: it has no band {name}; there are {', '.join(known)}", "bands"
            )
        bands.append((key, images[key].index(name) + 1))
    return bands


def _pixels(
    image: DatasetReader,
    bands: list[int],
    box: tuple[float, float, float, float],
    shape: tuple[int, int],
    *,
    labels: bool,
) -> NDArray[Any]:
    """That part of the image (left, top, width and height as fractions), resampled to a shape."""
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    left, top, across, down = box
    window = Window(
        left * image.width, top * image.height, across * image.width, down * image.height
    )
    shrunk = window.width > shape[1] and not labels
    values: NDArray[Any] = image.read(
        bands,
        window=window,
        out_shape=(len(bands), *shape),
        resampling=Resampling.average if shrunk else Resampling.nearest,
    )
    return values


def _outlines(
    item: Json,
    document: CollectionDocument,
    corner: tuple[int, int],
    scale: tuple[float, float],
) -> tuple[Outline, ...] | None:
    """The outer rings of the Item's objects, from that corner of the image on."""
    for asset in document.annotations:
        if asset.key not in item["assets"]:
            continue
        data = read_bytes(item["assets"][asset.key])
        if is_in_pixels(orjson.loads(data)):  # others are in degrees
            return tuple(
                (one.name, (np.array(rings[0], float) - corner) * scale)
                for one in objects_in(data, f"{item['id']}: {asset.key}")
                for rings in one.parts
            )
    return None


def coloured(pictures: Sequence[ItemPicture]) -> list[Picture | None]:
    """Pictures as the eye sees them; None where there are no values.

    Values of more than 8 bits are stretched, those of a collection alike.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    found: list[Picture | None] = [None] * len(pictures)
    for at, one in enumerate(pictures):
        if one.values is None:
            continue
        if one.values.dtype == np.uint8:
            found[at] = plain(one.values)
        else:
            groups.setdefault((one.document.id, len(one.values)), []).append(at)
    for alike in groups.values():
        values = [np.asarray(pictures[at].values, np.float32) for at in alike]
        for at, picture in zip(alike, natural(values), strict=True):
            found[at] = picture
    return found
