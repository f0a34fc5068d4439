"""The peer of the builder: a catalog made by hand, as a careful user of pystac and rasterio would.

Every patch gets an Item with the fields that satimnet gives it, its asset pointing at the file
itself: nothing is packed, no index is written. What is known of the whole dataset (title, class
table and what its classes mean, names of the bands) comes from the same record.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import rasterio
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import transform_geom

from satimnet.builder.catalog.items import PROCESSING_URI
from satimnet.builder.vocabulary.concepts import THEMES_URI, concepts_by_class, scheme_of, themes_of
from satimnet.extension import SCHEMA_URI
from stactools.eurosat import create_collection

_ABSENT = ("satimnet:has_mask", "satimnet:has_annotation", "satimnet:has_nodata")


def catalog_by_hand(files: Iterable[Path], record: Mapping[str, Any], out: Path) -> int:
    """Writes ``out/collection.json`` and an Item file for each image; returns how many Items."""
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the RGB edition has no place
    collection = create_collection()
    meanings = _meanings(record)
    for file in files:
        collection.add_item(_item(file, record, meanings[file.parent.name]))
    collection.normalize_hrefs(str(out))
    count = 0
    for item in collection.get_items():
        item.save_object(include_self_link=False)
        count += 1
    collection.save_object(include_self_link=False)
    return count


def _meanings(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of the Items of each class that say what it is."""
    scheme = scheme_of([record])
    return {
        name: {
            "satimnet:classes": [name],
            "satimnet:concepts": [concept],
            "themes": themes_of([concept], scheme),
        }
        for name, concept in concepts_by_class(record).items()
    }


def _item(file: Path, record: Mapping[str, Any], meaning: Mapping[str, Any]) -> pystac.Item:
    key = "multispectral" if file.suffix == ".tif" else "rgb"
    spec = record["assets"][key]
    data = file.read_bytes()
    with rasterio.open(file) as image:
        crs, transform, shape = image.crs, image.transform, image.shape
        bands, dtype = image.count, image.dtypes[0]
        pixels = _pixels(image)
    names = [band["name"] for _, band in zip(range(bands), spec["bands"])]
    geometry = None if crs is None else _footprint(crs, transform, shape)
    item = pystac.Item(
        id=file.stem,
        geometry=geometry,
        bbox=None if geometry is None else _bbox(geometry),
        datetime=None,
        start_datetime=datetime.fromisoformat(record["start_datetime"]),
        end_datetime=datetime.fromisoformat(record["end_datetime"]),
        properties={
            "title": file.stem,
            **record["properties"],
            **meaning,
            "data_type": dtype,
            "proj:shape": list(shape),
            "satimnet:formats": ["tif" if file.suffix == ".tif" else "jpg"],
            "satimnet:data_types": [dtype],
            "satimnet:band_counts": [bands],
            "satimnet:band_names": sorted(names),
            "satimnet:rows": shape[0],
            "satimnet:columns": shape[1],
            "satimnet:bytes": len(data),
            "satimnet:georeferenced": crs is not None,
            **dict.fromkeys(_ABSENT, False),
        },
        stac_extensions=[PROCESSING_URI, THEMES_URI, SCHEMA_URI],
    )
    asset = pystac.Asset(
        str(file),
        title=spec["title"],
        media_type=spec["type"],
        roles=spec["roles"],
        extra_fields={
            "data_type": dtype,
            "bands": [{"name": name} for name in names],
        },
    )
    item.add_asset(key, asset)
    file_info = FileExtension.ext(asset, add_if_missing=True)
    file_info.size = len(data)
    file_info.checksum = "1220" + hashlib.sha256(data).hexdigest()
    if crs is None:
        ProjectionExtension.ext(asset, add_if_missing=True).shape = list(shape)
    else:
        projection = ProjectionExtension.ext(item, add_if_missing=True)
        projection.code = f"EPSG:{crs.to_epsg()}"
        projection.shape = list(shape)
        projection.transform = list(transform)[:6]
    if pixels is not None:
        asset.extra_fields["satimnet:pixels"] = pixels
    return item


def _footprint(crs: Any, transform: Any, shape: tuple[int, int]) -> dict[str, Any]:
    rows, columns = shape
    corners = [(0, 0), (0, rows), (columns, rows), (columns, 0), (0, 0)]
    ring = [transform * corner for corner in corners]
    outline = {"type": "Polygon", "coordinates": [ring]}
    footprint: dict[str, Any] = transform_geom(crs, "EPSG:4326", outline, precision=7)
    return footprint


def _bbox(geometry: dict[str, Any]) -> list[float]:
    xs, ys = zip(*geometry["coordinates"][0])
    return [min(xs), min(ys), max(xs), max(ys)]


def _pixels(image: Any) -> dict[str, Any] | None:
    """Where the pixels lie if they are one uncompressed run, from GDAL's offsets of the blocks."""
    if image.driver != "GTiff" or image.compression is not None:
        return None
    last_block = (image.height - 1) // image.block_shapes[0][0]
    first = int(image.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    last = int(image.get_tag_item(f"BLOCK_OFFSET_0_{last_block}", "TIFF", bidx=1))
    end = last + int(image.get_tag_item(f"BLOCK_SIZE_0_{last_block}", "TIFF", bidx=1))
    interleaved = image.interleaving.name == "pixel"
    if not interleaved or end - first != image.height * image.width * image.count * 2:
        return None
    return {
        "offset": first,
        "dtype": "<u2",
        "shape": [image.height, image.width, image.count],
        "order": ["y", "x", "band"],
    }
