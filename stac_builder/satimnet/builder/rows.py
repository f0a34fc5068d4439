"""Rows: Items as Arrow rows, as ``items.parquet`` keeps them, and back.

The layout is stac-geoparquet's (https://github.com/radiantearth/stac-geoparquet-spec, 1.0.0):
properties are top-level columns, the geometry is WKB, the bbox a struct.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import numpy as np

from satimnet.builder.access import is_url
from satimnet.builder.items import Item

if TYPE_CHECKING:
    import pyarrow as pa

BBOX = ("xmin", "ymin", "xmax", "ymax")
"""Fields of the bbox column. As in STAC, xmin is the larger number across 180 degrees: so says
https://geoparquet.org/releases/v1.1.0/ (bounding box columns)."""
_TOP_LEVEL = {"type", "stac_version", "stac_extensions", "id", "collection"}
_TOP_LEVEL |= {"geometry", "bbox", "links", "assets"}


@cache
def _schema_parts() -> dict[str, Any]:
    import pyarrow as pa

    strings = pa.list_(pa.string())
    doubles = pa.list_(pa.float64())
    integers = pa.list_(pa.int64())
    time = pa.timestamp("us", tz="UTC")
    member = pa.struct(
        {
            "href": pa.string(),
            "type": pa.string(),
            "range": integers,
            "file:size": pa.int64(),
            "file:checksum": pa.string(),
        }
    )
    projection = {
        "proj:code": pa.string(),
        "proj:wkt2": pa.string(),
        "proj:shape": integers,
        "proj:transform": doubles,
    }
    pixels = {"offset": pa.int64(), "dtype": pa.string(), "shape": integers, "order": strings}
    original = {
        "path": pa.string(),
        "type": pa.string(),
        "file:size": pa.int64(),
        "file:checksum": pa.string(),
    }
    statistic = {"class": pa.string(), "count": pa.int64(), "pixels": pa.int64()}
    concept = pa.struct({"id": pa.string(), "title": pa.string()})
    theme = {"scheme": pa.string(), "concepts": pa.list_(concept)}
    return {
        "head": {
            "type": pa.string(),
            "stac_version": pa.string(),
            "stac_extensions": strings,
            "id": pa.string(),
        },
        "links": pa.list_(
            pa.struct({"href": pa.string(), "rel": pa.string(), "type": pa.string()})
        ),
        "asset": pa.struct(
            {
                "href": pa.string(),
                "type": pa.string(),
                "title": pa.string(),
                "roles": strings,
                "data_type": pa.string(),
                "bands": pa.list_(pa.struct({"name": pa.string()})),
                "file:size": pa.int64(),
                "archive": pa.list_(member),
                **projection,
                "satimnet:pixels": pa.struct(pixels),
                "satimnet:original": pa.struct(original),
            }
        ),
        "properties": {
            "title": pa.string(),
            "datetime": time,
            "start_datetime": time,
            "end_datetime": time,
            **projection,
            "satimnet:classes": strings,
            "satimnet:concepts": strings,
            "themes": pa.list_(pa.struct(theme)),
            "satimnet:statistics": pa.list_(pa.struct(statistic)),
            "satimnet:split": pa.string(),
            "satimnet:fold": pa.int64(),
        },
    }


def bbox_type() -> pa.StructType:
    """Arrow type of the bbox column."""
    import pyarrow as pa

    return pa.struct([(key, pa.float64()) for key in BBOX])


def property_type(name: str) -> pa.DataType:
    """Arrow type of a property that any dataset may have; null type of others."""
    import pyarrow as pa

    return _schema_parts()["properties"].get(name, pa.null())


def item_schema(record: Mapping[str, Any]) -> pa.Schema:
    """Arrow schema of a dataset's rows, the same for every shard."""
    import pyarrow as pa

    parts = _schema_parts()
    own = {key: pa.array([value]).type for key, value in record["properties"].items()}
    own |= {key: _type(name) for key, name in record.get("fields", {}).items()}
    return pa.schema(
        {
            **parts["head"],
            "geometry": pa.binary(),
            "bbox": bbox_type(),
            "links": parts["links"],
            "assets": pa.struct(dict.fromkeys(record["assets"], parts["asset"])),
            "collection": pa.string(),
            **parts["properties"],
            **own,
        }
    )


def _type(name: str | list[str]) -> pa.DataType:
    """Arrow type of a name as ``[fields]`` has it: JSON's, in a list where it is a list."""
    import pyarrow as pa

    if isinstance(name, list):
        return pa.list_(_type(name[0]))
    types = {"string": pa.string(), "number": pa.float64(), "integer": pa.int64()}
    return {**types, "boolean": pa.bool_()}[name]


def table_of(items: list[Item], record: Mapping[str, Any]) -> pa.Table:
    """The Items as rows of `item_schema`."""
    import pyarrow as pa

    schema = item_schema(record)
    properties = {
        *_schema_parts()["properties"],
        *record["properties"],
        *record.get("fields", ()),
    }
    columns: dict[str, Any] = {}
    for name in schema.names:
        if name == "geometry":
            columns[name] = _outlines(items)
        elif name == "bbox":
            columns[name] = [
                dict(zip(BBOX, item["bbox"], strict=True)) if "bbox" in item else None
                for item in items
            ]
        elif name in properties:
            columns[name] = [item["properties"].get(name) for item in items]
        else:
            columns[name] = [item.get(name) for item in items]
        if pa.types.is_timestamp(schema.field(name).type):
            columns[name] = [_time(value) for value in columns[name]]
    return pa.Table.from_pydict(columns, schema=schema)


def _outlines(items: list[Item]) -> list[bytes | None]:
    """WKB of the Items' geometries."""
    import shapely

    outlines: list[bytes | None] = [None] * len(items)
    shapes = [item["geometry"] for item in items]
    # nearly all are corners in a ring, which go into one array
    simple = [at for at, shape in enumerate(shapes) if _is_ring(shape)]
    others = [at for at, shape in enumerate(shapes) if shape is not None and not _is_ring(shape)]
    geometries = shapely.from_geojson([json.dumps(shapes[at]) for at in others]).tolist()
    if simple:
        rings = np.array([shapes[at]["coordinates"][0] for at in simple])
        geometries += shapely.polygons(rings).tolist()
    for at, outline in zip((*others, *simple), shapely.to_wkb(geometries), strict=True):
        outlines[at] = outline
    return outlines


def _is_ring(shape: Mapping[str, Any] | None) -> bool:
    """Whether a geometry is four corners of a Polygon."""
    return shape is not None and [len(ring) for ring in shape["coordinates"]] == [5]


@cache
def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def items_of(table: pa.Table, base: str) -> list[Item]:
    """The Items of rows as read from ``items.parquet``, hrefs made absolute against ``base``.

    ``base`` is the path or URL of the parquet file. A null means that the Item lacks the field,
    but for ``geometry`` and ``datetime``, which must always be there.
    """
    import shapely

    properties = [n for n in table.column_names if n not in _TOP_LEVEL]
    rows = table.to_pylist()
    if not rows:
        return []
    geometries = shapely.from_wkb(np.array([row["geometry"] for row in rows], dtype=object))
    shapes = [geometry and json.loads(shapely.to_geojson(geometry)) for geometry in geometries]
    items = []
    for row, shape in zip(rows, shapes, strict=True):
        item: Item = {
            "type": row["type"],
            "stac_version": row["stac_version"],
            "stac_extensions": row["stac_extensions"],
            "id": row["id"],
            "geometry": shape,
            "properties": {"datetime": None}
            | {n: _plain(row[n]) for n in properties if row[n] is not None},
            "links": [
                link | {"href": absolute(link["href"], base)} for link in _plain(row["links"])
            ],
            "assets": {
                key: asset | {"href": absolute(asset["href"], base)}
                for key, asset in _plain(row["assets"]).items()
            },
            "collection": row["collection"],
        }
        if row["bbox"] is not None:
            item["bbox"] = list(row["bbox"].values())
        items.append(item)
    return items


def _plain(value: Any) -> Any:
    """The value as JSON has it: absent instead of null, times as RFC 3339 text."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


def read_rows(path: Path) -> pa.Table:
    """The table of an Arrow file, mapped into memory."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


class MappedRows(Sequence["pa.Table"]):
    """The tables of Arrow files, each mapped anew when it is looked at.

    What was read of a mapped file counts as memory for as long as its table is kept: 4 GB of
    BigEarthNet's rows.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: Any) -> Any:
        return MappedRows(self._paths[at]) if isinstance(at, slice) else read_rows(self._paths[at])


def absolute(href: str, base: str) -> str:
    """The ``href`` of a row as a path or URL; ``base`` is that of the parquet file."""
    if is_url(href):
        return href
    if is_url(base):
        return urljoin(base, href)
    return os.path.normpath(os.path.join(os.path.dirname(base), href))
