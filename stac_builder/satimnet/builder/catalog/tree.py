"""Catalogs: the static tree of JSON files and the parquet index of each collection.

All links are relative, so the tree works on any static host and can be moved.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.checked_documents import STAC_VERSION, box_of, title_of
from satimnet.builder.catalog.geoparquet import BBOX, bbox_type
from satimnet.builder.catalog.item_pages import ItemFiles, page_name
from satimnet.builder.catalog.items import (
    ARCHIVE_URI,
    FILE_URI,
    PROCESSING_URI,
    PROJECTION_URI,
    ZIP_TYPE,
)
from satimnet.builder.errors import CatalogWarning, SatimnetError
from satimnet.builder.imagery.lonlat import flat, union
from satimnet.builder.storage.atomic_files import json_bytes, write_json
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import THEMES_URI, concepts_by_class, scheme_of, themes_of
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME
from satimnet.extension import SCHEMA_URI

if TYPE_CHECKING:
    import pyarrow as pa

_CLASS_FIELDS = ("value", "name", "title", "description", "color_hint")
_BUILDERS_KEYS = ("shape", "type", "store", "derive", "other_bands", "classes")
_MANY = 100  # values of a summary: more say nothing at a glance

ROOT_ID = "satimnet"
"""Id of the catalogs that `write_root` writes; others are not ours to write over."""
PARQUET_NAME = "items.parquet"
PARQUET_TYPE = "application/vnd.apache.parquet"

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

_GLOSSARY = {
    "rel": "glossary",
    "href": f"./{CONCEPTS_NAME}",
    "type": "application/ld+json",
    "title": "Concepts that the classes of all collections are mapped to (SKOS)",
}

_SHAPES = {b"\3": "Polygon", b"\6": "MultiPolygon"}  # those of footprints
_JSON_TYPE = "application/json"


def collection_of(record: Mapping[str, Any], tables: Sequence[pa.Table] = ()) -> Json:
    """The Collection of a dataset, its extent and summaries taken from the rows of its Items.

    Without rows the extent is the record's. Links to the tree are `write_collection`'s.
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
        collection["themes"] = themes_of(concepts, scheme_of([record]))
        collection["stac_extensions"].append(THEMES_URI)
    return collection


def narrowed(collection: Json, tables: Sequence[pa.Table]) -> Json:
    """The Collection with extent and summaries of these of its rows alone.

    Of a summary that no text column has the values, all of them stay.
    """
    import pyarrow as pa

    start, end = collection["extent"]["temporal"]["interval"][0]
    record: Json = {"bbox": flat(box_of(collection))}
    record |= {"start_datetime": start, "end_datetime": end}
    extent = {
        "spatial": {"bbox": [_bbox(record, tables)]},
        "temporal": {"interval": [_interval(record, tables)]},
    }
    summaries = dict(collection.get("summaries", {}))
    for name in summaries.keys() & set(tables[0].column_names):
        if tables[0].schema.field(name).type in (pa.string(), pa.list_(pa.string())):
            del summaries[name]
            summaries |= _summary(name, tables)
    return {**collection, "extent": extent, **({"summaries": summaries} if summaries else {})}


def write_collection(
    collection: Json,
    nodes: Mapping[tuple[str, ...], Sequence[str]],
    folder: Path,
    files: ItemFiles = "json",
) -> None:
    """Writes ``collection.json`` and the short tree below it.

    ``nodes`` maps each tree level to the ids of the Items that lie there; ``files`` says how they
    lie there. Nobody may read the ``folder`` yet: its files are written as they are, unflushed.
    """
    title = title_of(collection)
    links = [
        _link("root", "../catalog.json"),
        _link("parent", "../catalog.json"),
        *_children((), nodes, files),
        *collection["links"],
    ]
    asset = {
        "href": f"./{PARQUET_NAME}",
        "type": PARQUET_TYPE,
        "title": "All items as stac-geoparquet",
        "roles": ["collection-mirror"],
    }
    assets = {"geoparquet-items": asset, **collection.get("assets", {})}
    whole = collection | {"links": links, "assets": assets}
    (folder / "collection.json").write_bytes(json_bytes(whole))
    for level in sorted({node[:depth] for node in nodes for depth in range(1, len(node) + 1)}):
        up = "../" * len(level)
        parent = "../catalog.json" if len(level) > 1 else "../collection.json"
        node: Json = {
            "type": "Catalog",
            "stac_version": STAC_VERSION,
            "id": "-".join((collection["id"], *level)),
            "title": level[-1],
            "description": f"{' / '.join(level)} of {title}",
            "links": [
                _link("root", f"{up}../catalog.json"),
                _link("parent", parent),
                *_children(level, nodes, files),
            ],
        }
        path = folder.joinpath(*level, "catalog.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(json_bytes(node))


def _children(
    level: tuple[str, ...], nodes: Mapping[tuple[str, ...], Sequence[str]], files: ItemFiles
) -> list[Json]:
    depth = len(level)
    below = sorted({node[depth] for node in nodes if len(node) > depth and node[:depth] == level})
    links = [_link("child", f"./{name}/catalog.json", name) for name in below]
    ids = nodes.get(level, ())
    if files == "pages" and ids:
        return [*links, _link("items", f"./{page_name(0)}", "Items", "application/geo+json")]
    if files == "json":
        links += [_link("item", f"./{id_}.json", id_, "application/geo+json") for id_ in ids]
    return links


def write_root(catalog: Path) -> None:
    """Writes ``catalog.json`` over all collections that lie in the folder ``catalog``."""
    collections: dict[str, Json] = {}
    for path in sorted(catalog.glob("*/collection.json")):
        try:
            content = documents.collection(documents.read(str(path)), str(path))
            collections[path.parent.name] = content
        except SatimnetError as error:
            warnings.warn(CatalogWarning(f"{error}; left out of catalog.json"), stacklevel=2)
    titles = {name: title_of(collection) for name, collection in collections.items()}
    root: Json = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": ROOT_ID,
        "title": "SatImNet: harmonised training data for satellite-image classification",
        "description": "Open training sets under one attribute schema, packed into zip shards: "
        + ", ".join(titles.values())
        + ".",
        "links": [
            _link("root", "./catalog.json"),
            *(_link("child", f"./{name}/collection.json", title) for name, title in titles.items()),
            *([_GLOSSARY] if (catalog / CONCEPTS_NAME).exists() else []),
        ],
    }
    write_json(root, catalog / "catalog.json")


def write_parquet(tables: Sequence[pa.Table], collection: Json, path: Path) -> None:
    """Writes all rows as stac-geoparquet 1.0.0 (GeoParquet 1.1), one row group a table.

    Columns without a single value are left out, but for those that an Item must have.
    """
    write_geoparquet(tables, [collection], path, _shapes_of(tables))


def _shapes_of(tables: Sequence[pa.Table]) -> list[str]:
    """Names of the geometries' types, which the second byte of their WKB tells."""
    import pyarrow.compute as pc

    codes: set[bytes] = set()
    for table in tables:
        codes.update(pc.unique(pc.binary_slice(table["geometry"], 1, 2)).drop_null().to_pylist())
    return [_SHAPES[code] for code in sorted(codes)]


def write_geoparquet(
    tables: Sequence[pa.Table],
    collections: Sequence[Json],
    path: Path,
    shapes: Sequence[str] = (),
) -> None:
    """As `write_parquet`, with rows of several Collections; no ``shapes`` is any geometries."""
    import pyarrow.parquet as pq

    names = [
        name
        for name in tables[0].column_names
        if name in ("geometry", "bbox", "datetime")
        or any(table[name].null_count < len(table) for table in tables)
    ]
    metadata = _parquet_metadata(collections, shapes)
    schema = tables[0].select(names).schema.with_metadata(metadata)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            rows = table.select(names).replace_schema_metadata(schema.metadata)
            writer.write_table(rows, row_group_size=len(table))


def _parquet_metadata(collections: Sequence[Json], shapes: Sequence[str]) -> dict[str, str]:
    # https://geoparquet.org/releases/v1.1.0/ and stac-geoparquet-spec 1.0.0
    covering = {k: ["bbox", k] for k in ("xmin", "ymin", "xmax", "ymax")}
    geometry = {"encoding": "WKB", "geometry_types": shapes, "covering": {"bbox": covering}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    mirrored = {"version": "1.0.0", "collections": {c["id"]: c for c in collections}}
    return {"geo": json.dumps(geo), "stac-geoparquet": json.dumps(mirrored)}


def _link(rel: str, href: str, title: str | None = None, media_type: str = _JSON_TYPE) -> Json:
    return {"rel": rel, "href": href, "type": media_type} | ({"title": title} if title else {})


def _item_asset(spec: Mapping[str, Any]) -> Json:
    own = {k: v for k, v in spec.items() if k not in _BUILDERS_KEYS}
    fields: Json = {"satimnet:member_type": spec["type"]}
    if "shape" in spec:
        fields["proj:shape"] = spec["shape"]
    if "classes" in spec:
        fields["classification:classes"] = _class_table(spec["classes"])
    return {"type": ZIP_TYPE, **own, **fields}


def _bbox(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> list[float]:
    """What the Items cover; with the record's bbox, if a place is not known of all of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    boxes = pa.chunked_array([chunk for t in tables for chunk in t["bbox"].chunks], bbox_type())
    known = pc.drop_null(boxes)
    found = np.stack([pc.struct_field(known, n).to_numpy() for n in BBOX], axis=-1).tolist()
    if len(known) < len(boxes) or not found:
        found.append(record["bbox"])
    return union(found)


def _interval(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> list[str]:
    """From the first to the last time of the Items; the record's, if a time is not known of all."""
    import pyarrow.compute as pc

    ends = [record["start_datetime"], record["end_datetime"]]
    timed = ("datetime" in t.column_names and not t["datetime"].null_count for t in tables)
    if not tables or not all(timed):
        return ends
    try:
        first = min(pc.min(table["datetime"]).as_py() for table in tables if len(table))
        last = max(pc.max(table["datetime"]).as_py() for table in tables if len(table))
    except OverflowError:  # a time of no year that Python has, in somebody's catalog
        return ends
    return [time.isoformat().replace("+00:00", "Z") for time in (first, last)]


def _summaries(record: Mapping[str, Any], tables: Sequence[pa.Table]) -> Json:
    summaries: Json = {
        key: value if isinstance(value, list) else [value]
        for key, value in record["properties"].items()
    }
    summaries["classification:classes"] = _class_table(record["classes"])
    for key in ("satimnet:classes", "satimnet:concepts", "satimnet:split", "proj:code"):
        summaries |= _summary(key, tables)
    for key in record.get("fields", ()):
        summaries |= _summary(key, tables)
    if any("bands" in spec and "shape" not in spec for spec in record["assets"].values()):
        summaries |= _shapes(tables)
    return summaries


def _class_table(classes: Sequence[Mapping[str, Any]]) -> list[Json]:
    return [{key: row[key] for key in _CLASS_FIELDS if key in row} for row in classes]


def _summary(key: str, tables: Sequence[pa.Table]) -> Json:
    """The values of a column that occur, of numbers the range; nothing if there are too many."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values: set[Any] = set()
    for table in tables:
        column = table[key].combine_chunks()
        flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
        values |= set(pc.unique(flat).drop_null().to_pylist())
    if len(values) > 1 and all(type(value) in (int, float) for value in values):
        return {key: {"minimum": min(values), "maximum": max(values)}}
    return {key: sorted(values)} if 0 < len(values) <= _MANY else {}


def _shapes(tables: Sequence[pa.Table]) -> Json:
    """The rows and columns of images that occur, or the smallest and the largest of too many."""
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

    visit({k: v for k, v in collection.items() if k != "satimnet:attribute_sources"})
    return [ARCHIVE_URI, *(uri for prefix, uri in _EXTENSIONS.items() if prefix in prefixes)]
