"""Subsets: a collection as Hugging Face's ``datasets`` sees it, and its rows as tables of Arrow.

Features are those of https://huggingface.co/docs/datasets/about_dataset_features; a Parquet file
names them in its schema's metadata, in the form that ``datasets`` writes.

An image that Pillow opens is an ``Image``. Of any other, such as one of 13 bands, ``datasets`` can
decode nothing, so its column has the file's bytes beside their width, height, type and bands.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from satimnet.builder.catalog.collection_document import CollectionDocument, ItemAsset, LabelClass
from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    BadFileError,
    SatimnetError,
)
from satimnet.builder.exports.item_batches import batches
from satimnet.builder.exports.members_together import read_together
from satimnet.builder.exports.picture_files import is_picture
from satimnet.builder.imagery.annotations import is_in_pixels, objects_in
from satimnet.builder.imagery.object_shapes import box_of, corners_of
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.checked_offsets import span_of
from satimnet.builder.storage.objects import size_of
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = ("id", "datetime", "bbox", "crs", "label", "labels", "objects", "fold", "split")
"""Names of columns that no asset's may have."""
_SPLITS = (None, "train", "validation", "test")
_LARGEST = 2**31 - 2**20  # bytes of a file: those of a column's batch must fit below 2 GiB
_TEXT, _NUMBER = {"dtype": "string", "_type": "Value"}, {"dtype": "float64", "_type": "Value"}
_BINARY: Json = {
    "bytes": {"dtype": "binary", "_type": "Value"},
    "path": _TEXT,
    "width": {"dtype": "int32", "_type": "Value"},
    "height": {"dtype": "int32", "_type": "Value"},
    "dtype": _TEXT,
    "bands": {"feature": _TEXT, "_type": "Sequence"},
}


@dataclass(frozen=True)
class Subset:
    """A collection as a subset of a dataset on the hub."""

    collection: IndexedCollection
    counts: Mapping[str, int]
    """Rows of each split."""
    single: bool
    """Whether every labelled row has one class: ``label`` then, and ``labels`` otherwise."""
    folds: bool
    """Whether rows have folds of a cross-validation."""

    @property
    def document(self) -> CollectionDocument:
        """What the collection says."""
        return self.collection.document

    @cached_property
    def images(self) -> dict[str, ItemAsset]:
        """Images and masks by the names of their columns."""
        shown = [asset for asset in self.document.item_assets.values() if asset.bands]
        return {f"{a.key}_image" if a.key in _OWN else a.key: a for a in shown}

    @cached_property
    def classes(self) -> tuple[LabelClass, ...]:
        """The class table; the number of a row is the number of its label."""
        return tuple({row.name: row for row in self.document.classes}.values())

    @cached_property
    def has_objects(self) -> bool:
        """Whether there are files of objects."""
        return bool(self.document.annotations)

    @cached_property
    def features(self) -> Json:
        """The features as JSON."""
        label = {"names": [row.name for row in self.classes], "_type": "ClassLabel"}
        labels = {"feature": label, "_type": "Sequence"}
        found: Json = {"id": _TEXT}
        for name, asset in self.images.items():
            found[name] = {"_type": "Image"} if is_picture(asset) else _BINARY
        if self.classes:
            found |= {"label": label} if self.single else {"labels": labels}
        if self.has_objects:
            numbers = {"feature": _NUMBER, "_type": "Sequence"}
            found["objects"] = {
                "bbox": {"feature": numbers, "_type": "Sequence"},
                "corners": {"feature": numbers, "_type": "Sequence"},
                "category": labels,
            }
        if self.folds:
            found["fold"] = {"dtype": "int64", "_type": "Value"}
        return found | {
            "datetime": {"dtype": "timestamp[us, tz=UTC]", "_type": "Value"},
            "bbox": {"feature": _NUMBER, "_type": "Sequence"},
            "crs": _TEXT,
        }

    @cached_property
    def schema(self) -> pa.Schema:
        """The schema of the files."""
        import pyarrow as pa

        fields = [pa.field(name, _arrow_type(one)) for name, one in self.features.items()]
        said = json.dumps({"info": {"features": self.features}})
        return pa.schema(fields, {"huggingface": said})

    @property
    def columns(self) -> list[str]:
        """What is read of ``items.parquet``."""
        keys = [asset.key for asset in (*self.images.values(), *self.document.annotations)]
        parts = ("href", "archive", "file:size", "proj:shape", "proj:code", "data_type")
        return [
            *("id", "datetime", "bbox", "proj:code", "proj:shape"),
            *("satimnet:classes", "satimnet:split", "satimnet:fold"),
            *(f"assets.{key}.{part}" for key in keys for part in parts),
        ]

    def rows(self) -> Iterator[Json]:
        """The rows of ``items.parquet``, with the name of their split as ``split``."""
        for batch in batches(self.collection, self.columns):
            for row in batch:
                yield row | {"split": _split(self.collection, row)}

    def size(self, row: Json) -> int:
        """Bytes of a row's images.

        Raises:
            SatimnetError: a byte range cannot be, or a file is not there.
        """
        return sum(self._size(asset) for asset in self._assets(row) if asset is not None)

    def table(self, rows: Sequence[Json]) -> pa.Table:
        """The rows with their files.

        Raises:
            SatimnetError: a file cannot be read, or a row's class is not in the class table.
        """
        import pyarrow as pa

        files = read_together(self.collection, [a for row in rows for a in self._assets(row)])
        each = len(self.images)
        try:
            made = [
                self._record(row, files[at * each : (at + 1) * each]) for at, row in enumerate(rows)
            ]
            if self.has_objects:
                for record, objects in zip(made, self._objects(rows), strict=True):
                    record["objects"] = objects
            return pa.Table.from_pylist(made, self.schema)
        except SatimnetError:  # some are ValueErrors, too
            raise
        except (pa.ArrowException, ValueError, LookupError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise BadCatalogError(
                f"{self.collection.parquet}: its rows are no Items ({reason:.200}); build the "
                "collection again"
            ) from error

    # --- of one row -----------------------------------------------------------------------------

    def _assets(self, row: Json) -> list[Json | None]:
        """The row's assets, a column each."""
        found = row.get("assets") or {}
        assets = [found.get(asset.key) for asset in self.images.values()]
        return [asset if asset and asset.get("href") else None for asset in assets]

    def _size(self, asset: Json) -> int:
        """Bytes of an asset's file."""
        if members := asset.get("archive"):
            return span_of(members[0], f"{asset['href']}, member 0")[1]
        size = asset.get("file:size")
        if isinstance(size, int) and size > 0:
            return size
        return size_of(self.collection.resolve(asset["href"])) or 0

    def _record(self, row: Json, files: Sequence[bytes | None]) -> Json:
        record: Json = {"id": row["id"], "datetime": row.get("datetime")}
        record["fold"] = row.get("satimnet:fold")
        box = row.get("bbox")
        record["bbox"] = box and [box[key] for key in ("xmin", "ymin", "xmax", "ymax")]
        record["crs"] = row.get("proj:code")
        images = zip(self.images.items(), self._assets(row), files, strict=True)
        for (name, common), asset, data in images:
            if asset is None or data is None:
                record[name] = None
                continue
            if len(data) > _LARGEST:
                raise BadFileError(
                    f"{self.collection.id}/{row['id']}",
                    f"its image has {len(data):,} bytes, too many for a table; cut it into chips",
                )
            record[name] = {"bytes": data, "path": _path(asset)}
            record["crs"] = record["crs"] or asset.get("proj:code")
            if not is_picture(common):
                record[name] |= _shape(row, asset, common)
        names = row.get("satimnet:classes")
        numbers = None if names is None else [self._number(name, row) for name in names]
        if self.single:
            record["label"] = numbers[0] if numbers else None
        else:
            record["labels"] = numbers
        return record

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {row.name: number for number, row in enumerate(self.classes)}

    def _number(self, name: str, row: Json) -> int:
        if name not in self._numbers:
            raise BadCatalogError(
                f"{self.collection.id}/{row['id']}: its class {name!r:.80} is not in the class "
                "table; build the collection again"
            )
        return self._numbers[name]

    def _objects(self, rows: Sequence[Json]) -> list[Json | None]:
        """The objects of each row; None where nobody has annotated the image."""
        found: list[Json | None] = [None] * len(rows)
        for key in [asset.key for asset in self.document.annotations]:
            assets = [(row.get("assets") or {}).get(key) for row in rows]
            there = [asset if asset and asset.get("href") else None for asset in assets]
            for at, data in enumerate(read_together(self.collection, there)):
                if found[at] is None and data is not None and _in_pixels(data):
                    objects = objects_in(data, f"{self.collection.id}/{rows[at]['id']}")
                    boxes = [box_of(one) for one in objects]
                    found[at] = {
                        # as COCO has it: left, top, width and height
                        "bbox": [[x, y, right - x, end - y] for x, y, right, end in boxes],
                        "corners": [
                            [number for point in corners_of(one) for number in point]
                            for one in objects
                        ],
                        "category": [self._number(one.name, rows[at]) for one in objects],
                    }
        return found


def survey(collection: IndexedCollection) -> Subset:
    """Counts a collection's rows, and looks how they are labelled.

    Raises:
        ArgumentError: the collection has no images.
        BadCatalogError: its rows cannot be read, or a split of theirs is unknown.
    """
    document = collection.document
    if not document.images:
        raise ArgumentError(f"{collection.id}: has no images to write", "collections")
    counts: Counter[str] = Counter()
    lengths: set[int] = set()
    folds = False
    columns = ("id", "satimnet:classes", "satimnet:split", "satimnet:fold")
    for batch in batches(collection, columns):
        for row in batch:
            folds |= row.get("satimnet:fold") is not None
            counts[_split(collection, row)] += 1
            if row.get("satimnet:classes") is not None:
                lengths.add(len(row["satimnet:classes"]))
    whole = not (document.masks or document.annotations)
    order = [split for split in _SPLITS if split in counts]
    of_each = {str(split): counts[str(split)] for split in order}
    return Subset(collection, of_each, single=whole and lengths == {1}, folds=folds)


def _split(collection: IndexedCollection, row: Json) -> str:
    """The split of a row; one without is for training."""
    split = row.get("satimnet:split")
    if split not in _SPLITS:
        raise BadCatalogError(
            f"{collection.id}/{row['id']}: its split {split!r:.80} is none of train, validation "
            "and test; validate the catalog"
        )
    return split or "train"


def _path(asset: Json) -> str:
    """The name of an asset's file, within its shard if it lies in one."""
    if asset.get("archive"):
        return str(asset["archive"][0]["href"])
    return str(asset["href"]).partition("?")[0].rpartition("/")[2]


def _shape(row: Json, asset: Json, common: ItemAsset) -> Json:
    """What is to know of an image that ``datasets`` does not decode."""
    shape = asset.get("proj:shape") or row.get("proj:shape") or common.shape
    height, width = shape if shape and len(shape) == 2 else (None, None)
    types = {band.data_type for band in common.bands}
    of_all = types.pop() if len(types) == 1 else None
    return {
        "width": width,
        "height": height,
        "dtype": asset.get("data_type") or of_all,
        "bands": list(common.band_names),
    }


def _in_pixels(data: bytes) -> bool:
    import orjson

    try:
        return is_in_pixels(orjson.loads(data))
    except ValueError:
        return False


def _arrow_type(feature: Json) -> pa.DataType:
    """The type in which ``datasets`` stores a feature."""
    import pyarrow as pa

    kind = feature.get("_type")
    if kind == "Image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Sequence":
        return pa.list_(_arrow_type(feature["feature"]))
    if kind == "Value":
        if feature["dtype"].startswith("timestamp"):
            return pa.timestamp("us", tz="UTC")
        return pa.type_for_alias(feature["dtype"])
    return pa.struct({name: _arrow_type(one) for name, one in feature.items()})
