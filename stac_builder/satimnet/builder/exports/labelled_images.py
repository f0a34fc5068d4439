"""Labelled images: the images of a collection with their objects, for formats of detectors.

Images that nobody has annotated are left out, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from satimnet.builder.errors import ArgumentError, BadCatalogError, BadFileError
from satimnet.builder.exports.item_batches import batches
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.query.item_origins import file_of
from satimnet.builder.samples import Object
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.hrefs import file_name

if TYPE_CHECKING:
    from satimnet.builder.catalog.collection_document import CollectionDocument

_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/tiff": "tif"}
SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""Splits as detectors name them; a sample without one is for training."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image, and the objects on it."""

    id: str
    split: str
    name: str
    """File name."""
    rows: int
    columns: int
    bands: int
    data: bytes
    """The file."""
    objects: tuple[Object, ...]


def labelled_images(collection: IndexedCollection, left_out: list[str]) -> Iterator[LabelledImage]:
    """The images of a collection with their objects; ids of others go to ``left_out``.

    Raises:
        ArgumentError: the collection has no objects, or a sample a split of another name.
        SatimnetError: a file cannot be read.
    """
    document = collection.document
    images, annotations = image_keys(document), [asset.key for asset in document.annotations]
    if not (images and annotations):
        raise ArgumentError(
            f"{collection.id}: has no objects to write; choose a collection of detection, such as "
            "chips of DOTA",
            "collections",
        )
    parts = ("href", "archive", "proj:shape", "bands")
    columns = [f"assets.{key}.{part}" for key in (*images, *annotations) for part in parts]
    columns += ["id", "proj:shape", "satimnet:split"]
    for rows in batches(collection, columns):
        for row in rows:
            found = _image_of(collection, row, images, annotations)
            if found is None:
                left_out.append(row["id"])
            else:
                yield found


def image_keys(document: CollectionDocument) -> list[str]:
    """Keys of images, those to look at first."""
    return [
        asset.key for asset in sorted(document.images, key=lambda one: "visual" not in one.roles)
    ]


def class_values(document: CollectionDocument) -> dict[str, int]:
    """Class values by name, but for the background.

    Raises:
        BadCatalogError: a class has no value.
    """
    if any(row.value is None for row in document.classes):
        raise BadCatalogError(f"{document.id}: a class has no value; build the collection again")
    return {row.name: row.value for row in document.classes if row.value}


def _image_of(
    collection: IndexedCollection,
    row: Mapping[str, Any],
    images: list[str],
    annotations: list[str],
) -> LabelledImage | None:
    assets = row["assets"]
    key = next((key for key in images if assets.get(key)), None)
    if key is None:
        return None
    label = f"{collection.id}/{row['id']}"
    image, objects = assets[key], None
    for name in annotations:
        if assets.get(name):
            data = read_bytes(file_of(collection, assets[name]))
            if _in_pixels(data):
                objects = objects_in(data, label)
                break
    shape = image.get("proj:shape") or row.get("proj:shape")
    if objects is None:
        return None
    if not shape or len(shape) != 2 or min(shape) < 1:
        raise BadCatalogError(f"{label}: its Item has no proj:shape; build the catalog again")
    described = image["archive"][0] if image.get("archive") else image
    kind = str(described.get("type") or "").partition(";")[0]
    if kind not in _ENDINGS:
        raise BadFileError(label, f"an image of type {kind or 'unknown'}; not exported")
    return LabelledImage(
        row["id"],
        _split(row, label),
        f"{file_name(row['id'])}.{_ENDINGS[kind]}",
        shape[0],
        shape[1],
        len(image.get("bands") or collection.document.item_assets[key].bands),
        read_bytes(file_of(collection, image)),
        objects,
    )


def _split(row: Mapping[str, Any], label: str) -> str:
    """The split as detectors name it; those of another name are refused, as they would be lost."""
    split = row.get("satimnet:split") or "train"
    if split not in SPLITS:
        raise ArgumentError(
            f"{label}: its split {split!r:.60} is none of {', '.join(SPLITS)}, which is all that "
            "detectors know; choose other splits",
            "splits",
        )
    return SPLITS[split]


def _in_pixels(data: bytes) -> bool:
    import orjson

    try:
        return is_in_pixels(orjson.loads(data))
    except ValueError:
        return False
