"""The checks of one Item: its files against what the catalog says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.imagery.whole_images import Image
from satimnet.builder.overview.previews import true_colour
from satimnet.builder.quality.findings import EMPTY_SHARE, SATURATED_SHARE, Said
from satimnet.builder.quality.label_checks import check_objects, check_tags
from satimnet.builder.quality.member_contents import Content, Shards, read_content
from satimnet.builder.quality.pixel_statistics import (
    band_statistics,
    digest,
    empty_share,
    small_copy,
)
from satimnet.builder.types import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from satimnet.builder.catalog.items import Item


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known about an Item once it has been read."""

    row: Json
    """Its numbers, as `satimnet.builder.quality.measuring.result_schema` has them."""
    said: list[Said]
    """What is wrong with the Item."""
    copy: NDArray[np.uint8] | None
    """A small copy of its image, see `satimnet.builder.quality.pixel_statistics.small_copy`."""


def inspect(item: Item, collection: CollectionDocument, shards: Shards) -> Inspection:
    """Reads and checks the members of an Item; only the result stays in memory."""
    content = read_content(item, shards)
    said = content.said
    bands: list[Json] = []
    for key, image in content.images.items():
        said += _against_metadata(key, image, item, collection)
        names = [str(band.get("name")) for band in item["assets"][key]["bands"]]
        for at, band in enumerate(image):
            name = names[at] if at < len(names) else str(at + 1)
            bands.append({"asset": key, "band": name, **band_statistics(band)})
    view = _view(content, item, collection)
    row = {
        "collection": item["collection"],
        "id": item["id"],
        "split": item["properties"].get("satimnet:split"),
        "classes": item["properties"].get("satimnet:classes"),
        "predecessor": item["properties"].get("satimnet:predecessor"),
        "members": content.members,
        "bytes": content.size,
        "objects": None if content.objects is None else len(content.objects),
        "pixels": None if view is None else digest(view),
        "no_data": None if view is None else empty_share(view),
        "comparable": view is not None and any(b["minimum"] < b["maximum"] for b in bands),
        "bands": bands,
    }
    said += _of_values(row)
    said += _of_labels(content, item, collection)
    return Inspection(row, said, None if view is None else small_copy(view))


def _against_metadata(
    key: str, image: Image, item: Item, collection: CollectionDocument
) -> Iterator[Said]:
    asset, common = item["assets"][key], collection.item_assets.get(key)
    bands, rows, columns = image.shape
    shape = asset.get("proj:shape") or item["properties"].get("proj:shape")
    promised: dict[str, Any] = {}
    if common is not None:
        promised = {
            "rows and columns": common.shape and list(common.shape),
            "data type": common.data_type,
            "number of bands": len(common.bands) or None,
        }
    for what, found, by_item in (
        ("rows and columns", [rows, columns], shape),
        ("data type", image.dtype.name, asset.get("data_type")),
        ("number of bands", bands, len(asset["bands"])),
    ):
        by_collection = promised.get(what)
        if by_item is not None and found != by_item:
            yield "shape", f"{key}: {what} {found}, where its Item says {by_item}", ()
        elif by_collection is not None and found != by_collection:
            yield "odd-image", f"{key}: {what} {found}, the collection's {by_collection}", ()


def _view(content: Content, item: Item, collection: CollectionDocument) -> Image | None:
    """What people see of the Item: red, green and blue, or the only band."""
    chosen = true_colour(item["assets"], collection.json.get("item_assets", {}))
    try:
        bands = [content.images[key][number - 1] for key, number in chosen]
    except LookupError:  # unreadable, or with fewer bands than stated
        return None
    return np.stack(bands) if len({band.shape for band in bands}) == 1 else None


def _of_values(row: Json) -> Iterator[Said]:
    bands = row["bands"]
    # All NaN is constant, too.
    constant = [band for band in bands if not band["minimum"] < band["maximum"]]
    if bands and len(constant) == len(bands):
        values = sorted({band["minimum"] for band in bands})
        yield "constant", "every pixel is " + ", ".join(f"{value:g}" for value in values), ()
        return
    if constant:
        names = ", ".join(f"{band['band']} ({band['minimum']:g})" for band in constant)
        yield "constant-band", f"one value only in {names}", ()
    if (share := row["no_data"] or 0) >= EMPTY_SHARE:
        yield "no-data", f"{share:.0%} of the pixels are empty in all bands", ()
    full = [band for band in bands if band["saturated"] >= SATURATED_SHARE]
    if full:
        names = ", ".join(f"{band['saturated']:.0%} of {band['band']}" for band in full)
        yield "saturated", f"saturated: {names}", ()


def _of_labels(content: Content, item: Item, collection: CollectionDocument) -> Iterator[Said]:
    properties = item["properties"]
    table = {row.name: row.value for row in collection.classes}
    shapes = {image.shape[1:] for image in content.images.values()}
    largest = max(shapes, default=None)
    mask = None
    for key, raster in content.masks.items():
        if shapes and raster.shape[1:] not in shapes:
            rows, columns = raster.shape[1:]
            sizes = ", ".join(f"{x} x {y}" for y, x in sorted(shapes))
            yield "mask-shape", f"{key} of {columns} x {rows} pixels, image of {sizes}", ()
        common = collection.item_assets.get(key)
        if common is None or common.classes is None:
            mask = raster[0]
            continue
        # A mask with its own class table shows something else than the Item's tags.
        for value in np.setdiff1d(
            raster, [0, *(row.value for row in common.classes if row.value is not None)]
        ).tolist():
            yield "unknown-class", f"{key}: pixels of {value}, which is no class's value", ()
    if content.objects is not None:
        yield from check_objects(content.objects, largest, table)
    yield from check_tags(properties, table, content.objects, mask)
    roles = [{*asset.get("roles", ())} for asset in item["assets"].values()]
    labels = [own for own in roles if {"mask", "annotation"} & own]
    split = properties.get("satimnet:split")
    if split in ("train", "validation") and "satimnet:classes" not in properties and not labels:
        yield "no-label", f"nothing says what it shows, though it is for {split}", ()
