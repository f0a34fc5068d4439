"""Rows: Items as Arrow rows, as ``items.parquet`` keeps them, and back.

The layout is stac-geoparquet's (https://github.com/radiantearth/stac-geoparquet-spec, 1.0.0):
properties are top-level columns, the geometry is WKB, the bbox a struct.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import is_version, require_texts
from satimnet.builder.catalog.items import Item
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.hrefs import is_href, join

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


def items_of(table: pa.Table, base: str, resolve: Callable[[str, str], str] = join) -> list[Item]:
    """The Items of rows as read from ``items.parquet``, hrefs made absolute against ``base``.

    ``base`` is the path or URL of the parquet file. A null means that the Item lacks the field,
    but for ``geometry`` and ``datetime``, which must always be there. ``resolve`` makes the place
    of an asset's href; rows that `Index.rows` gave point to nowhere that they may not.

    Raises:
        SatimnetError: the rows are no Items, or what ``resolve`` raises.
    """
    import shapely

    properties = [n for n in table.column_names if n not in _TOP_LEVEL]
    try:
        require_texts(table, base)
        rows = table.to_pylist()
        wkb = np.array([row["geometry"] for row in rows], dtype=object)
        shapes = [
            shape and json.loads(shapely.to_geojson(shape)) for shape in shapely.from_wkb(wkb)
        ]
        return [
            _item(row, shape, properties, base, resolve)
            for row, shape in zip(rows, shapes, strict=True)
        ]
    except (KeyError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        # values that are no times, no text or no geometries, and columns that are not there
        reason = " ".join(str(error).split())
        raise SatimnetError(
            f"{base}: its rows are no Items ({reason:.200}); build the collection again"
        ) from error


def _item(
    row: Mapping[str, Any],
    shape: Any,
    properties: Sequence[str],
    base: str,
    resolve: Callable[[str, str], str],
) -> Item:
    item: Item = {
        "type": row["type"],
        "stac_version": row["stac_version"],
        "stac_extensions": _plain(row.get("stac_extensions") or []),
        "id": row["id"],
        "geometry": shape,
        "properties": {"datetime": None}
        | {n: _plain(row[n]) for n in properties if row[n] is not None},
        "links": _placed(row, _plain(row["links"] or []), base, join),
        "assets": {},
        "collection": row["collection"],
    }
    if any("rel" not in link for link in item["links"]):
        raise SatimnetError(f"{base}: a link of {row['id']} has no rel; build the collection again")
    assets = _plain(row["assets"] or {})
    item["assets"] = dict(zip(assets, _placed(row, assets.values(), base, resolve), strict=True))
    if row["bbox"] is not None:
        item["bbox"] = _plain(list(row["bbox"].values()))
        if None in item["bbox"]:
            raise SatimnetError(
                f"{base}: the bbox of {row['id']} lacks a number; build the collection again"
            )
    for name in ("type", "stac_version", "id", "collection"):
        if not isinstance(item[name], str):
            raise SatimnetError(f"{base}: an Item has no {name}; build the collection again")
    if item["type"] != "Feature" or not is_version(item["stac_version"]):
        raise SatimnetError(
            f"{base}: {item['id']} is a {item['type']:.80} of STAC {item['stac_version']:.80}; "
            "an Item is a Feature of STAC 1; build the collection again"
        )
    return item


def _placed(
    row: Mapping[str, Any],
    entries: Iterable[Any],
    base: str,
    resolve: Callable[[str, str], str],
) -> list[Any]:
    """Links or assets with absolute hrefs."""
    placed = []
    for entry in entries:
        if entry is None or "href" not in entry:
            raise SatimnetError(
                f"{base}: a link or an asset of {row['id']} has no href; build the collection again"
            )
        if None in entry.get("bands", ()):
            raise SatimnetError(
                f"{base}: an asset of {row['id']} has a band that is null; "
                "build the collection again"
            )
        for member in entry.get("archive", ()):
            if member is None or "href" not in member or not _is_range(member.get("range")):
                raise SatimnetError(
                    f"{base}: an asset of {row['id']} has a member without a name, or with the "
                    "wrong byte range; build the collection again"
                )
        if not is_href(entry["href"]):
            raise SatimnetError(
                f"{base}: a link or an asset of {row['id']} points to "
                f"{entry['href']:.200}, which is no path and no URL; build the collection again"
            )
        placed.append(entry | {"href": resolve(entry["href"], base)})
    return placed


def _is_range(value: Any) -> bool:
    """Whether it is a first and a last byte, or unknown."""
    match value:
        case None:
            return True
        case [int(first), int(last)]:
            return 0 <= first <= last + 1
    return False


def _plain(value: Any) -> Any:
    """The value as JSON has it: absent instead of null, times as RFC 3339 text."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


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
