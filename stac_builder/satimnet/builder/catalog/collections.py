"""The JSON of a Collection, made of the dataset's record and the rows of its Items.

Extent and summaries (classes, splits, sizes of images) come from the rows, so that they are true of
this catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import STAC_VERSION, box_of
from satimnet.builder.catalog.file_facts import FACTS
from satimnet.builder.catalog.item_columns import BBOX, bbox_type
from satimnet.builder.catalog.items import (
    ARCHIVE_URI,
    FILE_URI,
    PROCESSING_URI,
    PROJECTION_URI,
    ZIP_TYPE,
)
from satimnet.builder.imagery.lonlat import flat, union
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import (
    THEMES_URI,
    Scheme,
    concepts_by_class,
    concepts_of,
    themes_of,
)
from satimnet.extension import SCHEMA_URI

if TYPE_CHECKING:
    import pyarrow as pa

_CLASS_FIELDS = ("value", "name", "title", "description", "color_hint")
_BUILDERS_KEYS = ("shape", "type", "store", "derive", "other_bands", "classes", "own_datetime")
_BY_FIELD = ("satimnet:attribute_sources", "satimnet:attribute_notes")  # keys are names of fields
_MANY = 100  # values of a summary; nobody takes in more at a glance

_EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file": FILE_URI,
    "processing": PROCESSING_URI,
    "proj": PROJECTION_URI,
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "satimnet": SCHEMA_URI,
    "sci": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
}


def collection_of(record: Mapping[str, Any], tables: Sequence[pa.Table] = ()) -> Json:
    """The Collection of a dataset, with extent and summaries from the rows of its Items.

    Without rows the extent is the record's. `satimnet.builder.catalog.tree.with_links` adds the
    links of the tree.

    Args:
        record: Content of ``dataset.toml``.
        tables: Rows of the Items, columns as in `satimnet.builder.catalog.item_columns`.
    """
    collection: Json = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": record["id"],
        "title": record["title"],
        "description": record["description"],
        "license": record["license"],
        "keywords": record["keywords"],
        "providers": record["providers"],
        "extent": {
            "spatial": {"bbox": [_bbox(record, tables)]},
            "temporal": {"interval": [_interval(record, tables)]},
        },
        **record["collection"],
        "summaries": _summaries(record, tables),
        "item_assets": {key: _item_asset(spec) for key, spec in record["assets"].items()},
        "links": list(record["links"]),
    }
    collection["stac_extensions"] = _extensions_of(collection)
    if concepts := set(concepts_by_class(record).values()):
        collection["themes"] = themes_of(concepts, Scheme(concepts_of(record)))
        collection["stac_extensions"].append(THEMES_URI)
    return collection


def narrowed(collection: Json, tables: Sequence[pa.Table]) -> Json:
    """The Collection with extent and summaries of some of its rows.

    Only summaries of columns of texts and of facts of files become narrower; others stay as they
    are.
    """
    import pyarrow as pa

    start, end = collection["extent"]["temporal"]["interval"][0]
    record: Json = {"bbox": flat(box_of(collection))}
    record |= {"start_datetime": start, "end_datetime": end}
    extent = {
        "spatial": {"bbox": [_bbox(record, tables)]},
        "temporal": {"interval": [_interval(record, tables)]},
    }
    schema, texts = tables[0].schema, (pa.string(), pa.list_(pa.string()))
    summaries: Json = dict(collection.get("summaries", {}))
    narrower = [
        name
        for name in summaries
        if name in schema.names and (name in FACTS or schema.field(name).type in texts)
    ]
    narrow = _occurring(narrower, tables)
    summaries = {
        name: narrow.get(name, summary)
        for name, summary in summaries.items()
        if name in narrow or name not in narrower
    }
    return {**collection, "extent": extent, **({"summaries": summaries} if summaries else {})}


def _item_asset(spec: Mapping[str, Any]) -> Json:
    own = {k: v for k, v in spec.items() if k not in _BUILDERS_KEYS}
    fields: Json = {"satimnet:member_type": spec["type"]}
    if "shape" in spec:
        fields["proj:shape"] = spec["shape"]
    if "classes" in spec:
        fields["classification:classes"] = _class_table(spec["classes"])
    return {"type": ZIP_TYPE, **own, **fields}


def _bbox(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> list[float]:
    """What the Items cover, with the record's bbox if one of them does not say its place."""
    import pyarrow as pa
    import pyarrow.compute as pc

    boxes = pa.chunked_array([chunk for t in tables for chunk in t["bbox"].chunks], bbox_type())
    known = pc.drop_null(boxes)
    found = np.stack([pc.struct_field(known, n).to_numpy() for n in BBOX], axis=-1).tolist()
    if len(known) < len(boxes) or not found:
        found.append(record["bbox"])
    return union(found)


def _interval(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> list[str]:
    """From the first to the last time of the Items; the record's if one of them has no time."""
    import pyarrow.compute as pc

    ends = [record["start_datetime"], record["end_datetime"]]
    timed = ("datetime" in t.column_names and not t["datetime"].null_count for t in tables)
    if not tables or not all(timed):
        return ends
    try:
        first = min(pc.min(table["datetime"]).as_py() for table in tables if len(table))
        last = max(pc.max(table["datetime"]).as_py() for table in tables if len(table))
    except OverflowError:  # a catalog from elsewhere may have a year that Python does not know
        return ends
    return [time.isoformat().replace("+00:00", "Z") for time in (first, last)]


def _summaries(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> Json:
    summaries: Json = {
        key: value if isinstance(value, list) else [value]
        for key, value in record["properties"].items()
    }
    summaries["classification:classes"] = _class_table(record["classes"])
    keys = ("satimnet:classes", "satimnet:concepts", "satimnet:split", "proj:code")
    summaries |= _occurring([*keys, *FACTS, *record.get("fields", ())], tables)
    if any("bands" in spec and "shape" not in spec for spec in record["assets"].values()):
        summaries |= _shapes(tables)
    return summaries


def _class_table(classes: Sequence[Mapping[str, Any]]) -> list[Json]:
    return [{key: row[key] for key in _CLASS_FIELDS if key in row} for row in classes]


def _occurring(keys: Sequence[str], tables: Sequence[pa.Table]) -> Json:
    """Of columns the values that occur, the range of numbers; nothing if there are too many.

    Numbers of bands have no range: they are of images, of which each has as many as its kind has.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values: dict[str, set[Any]] = {key: set() for key in keys}
    for table in tables:  # once, for each of them may be read from a file
        for key in keys:
            column = table[key].combine_chunks()
            flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
            values[key].update(pc.unique(flat).drop_null().to_pylist())
    summaries: Json = {}
    for key, found in values.items():
        numbers = all(type(value) in (int, float) for value in found)
        if len(found) > 1 and numbers and key != "satimnet:band_counts":
            summaries[key] = {"minimum": min(found), "maximum": max(found)}
        elif 0 < len(found) <= _MANY:
            summaries[key] = sorted(found)
    return summaries


def _shapes(tables: Sequence[pa.Table]) -> Json:
    """The sizes of images that occur; of too many, the smallest and the largest."""
    found = {
        tuple(asset["proj:shape"])
        for table in tables
        for row in table.select(["assets", "proj:shape"]).to_pylist()
        for asset in (row, *row["assets"].values())
        if asset and asset["proj:shape"]
    }
    shapes = sorted(map(list, found))
    if len(shapes) > _MANY:
        shapes = [shapes[0], shapes[-1]]
    return {"proj:shape": shapes} if shapes else {}


def _extensions_of(collection: Json) -> list[str]:
    prefixes: set[str] = set()

    def visit(value: Any) -> None:
        if isinstance(value, Mapping):
            prefixes.update(key.partition(":")[0] for key in value if ":" in key)
            for child in value.values():
                visit(child)
        elif isinstance(value, list):
            for child in value:
                visit(child)

    visit({k: v for k, v in collection.items() if k not in _BY_FIELD})
    return [ARCHIVE_URI, *(uri for prefix, uri in _EXTENSIONS.items() if prefix in prefixes)]
