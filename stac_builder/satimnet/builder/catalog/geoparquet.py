"""``items.parquet``: Items as Arrow rows and back, and the file that keeps the rows.

The layout is stac-geoparquet's (https://github.com/radiantearth/stac-geoparquet-spec, 1.0.0):
properties are top-level columns, the geometry is WKB, the bbox a struct.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import is_version, require_texts
from satimnet.builder.catalog.item_columns import BBOX, common_properties, item_schema
from satimnet.builder.catalog.items import Item
from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.storage.hrefs import is_href, join
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_NAME = "items.parquet"
PARQUET_TYPE = "application/vnd.apache.parquet"

_TOP_LEVEL = {"type", "stac_version", "stac_extensions", "id", "collection"}
_TOP_LEVEL |= {"geometry", "bbox", "links", "assets"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}  # datetime has no nanoseconds
_SHAPES = {b"\3": "Polygon", b"\6": "MultiPolygon"}  # those of footprints


def table_of(items: list[Item], record: Mapping[str, Any]) -> pa.Table:
    """The Items as rows of `item_schema`."""
    import pyarrow as pa

    schema = item_schema(record)
    properties = {
        *common_properties(),
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
        elif name in properties and pa.types.is_list(schema.field(name).type):
            columns[name] = _repeated(columns[name], schema.field(name).type)
    return pa.Table.from_pydict(columns, schema=schema)


def _repeated(values: list[Any], type_: pa.DataType) -> pa.Array:
    """An array of lists of which many are the same object, each made once: a third of the time."""
    import pyarrow as pa

    known = {id(value): value for value in values}
    places = {id_: at for at, id_ in enumerate(known)}
    at = pa.array([places[id(value)] for value in values], pa.int32())
    return pa.array(list(known.values()), type_).take(at)


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
        BadCatalogError: the rows are no Items.
        SatimnetError: as ``resolve``.
    """
    import shapely

    properties = [n for n in table.column_names if n not in _TOP_LEVEL]
    try:
        require_texts(table, base)
        rows = _rows_of(table)
        wkb = np.array([row["geometry"] for row in rows], dtype=object)
        shapes = [
            shape and json.loads(shapely.to_geojson(shape)) for shape in shapely.from_wkb(wkb)
        ]
        return [
            _item(row, shape, properties, base, resolve)
            for row, shape in zip(rows, shapes, strict=True)
        ]
    except SatimnetError:  # some are ValueErrors, too
        raise
    except (KeyError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        # values that are no times, no text or no geometries, and columns that are not there
        reason = " ".join(str(error).split())
        raise BadCatalogError(
            f"{base}: its rows are no Items ({reason:.200}); build the collection again"
        ) from error


def _rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows with instants as RFC 3339 text.

    Arrow would import pandas for the first instant, which takes longer than a search.
    """
    import pyarrow as pa

    units = {}
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz and field.type.unit in _PER_SECOND:
            units[field.name] = _PER_SECOND[field.type.unit]
            table = table.set_column(at, field.name, table[field.name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name, per_second in units.items():
            if row[name] is not None:
                row[name] = _instant(row[name], per_second)
    return rows


@lru_cache(1024)
def _instant(count: int, per_second: int) -> str:
    """The text of a time given as a number since 1970."""
    return _time_text(_EPOCH + timedelta(microseconds=count * (1_000_000 // per_second)))


def _time_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


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
        raise BadCatalogError(
            f"{base}: a link of {row['id']} has no rel; build the collection again"
        )
    assets = _plain(row["assets"] or {})
    item["assets"] = dict(zip(assets, _placed(row, assets.values(), base, resolve), strict=True))
    if row["bbox"] is not None:
        item["bbox"] = _plain(list(row["bbox"].values()))
        if None in item["bbox"]:
            raise BadCatalogError(
                f"{base}: the bbox of {row['id']} lacks a number; build the collection again"
            )
    for name in ("type", "stac_version", "id", "collection"):
        if not isinstance(item[name], str):
            raise BadCatalogError(f"{base}: an Item has no {name}; build the collection again")
    if item["type"] != "Feature" or not is_version(item["stac_version"]):
        raise BadCatalogError(
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
            raise BadCatalogError(
                f"{base}: a link or an asset of {row['id']} has no href; build the collection again"
            )
        if None in entry.get("bands", ()):
            raise BadCatalogError(
                f"{base}: an asset of {row['id']} has a band that is null; "
                "build the collection again"
            )
        for member in entry.get("archive", ()):
            if member is None or "href" not in member or not _is_range(member.get("range")):
                raise BadCatalogError(
                    f"{base}: an asset of {row['id']} has a member without a name, or with the "
                    "wrong byte range; build the collection again"
                )
        if not is_href(entry["href"]):
            raise BadCatalogError(
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
        return _time_text(value)
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


def write_parquet(tables: Sequence[pa.Table], collection: Json, path: Path) -> None:
    """Writes all rows as stac-geoparquet 1.0.0 (GeoParquet 1.1), one row group a table.

    Columns without any value are left out, but for those that an Item must have.
    """
    write_geoparquet(tables, [collection], path, _shapes_of(tables))


def write_geoparquet(
    tables: Sequence[pa.Table],
    collections: Sequence[Json],
    path: Path,
    shapes: Sequence[str] = (),
) -> None:
    """Writes rows of several Collections, as `write_parquet` does for one.

    Args:
        tables: The rows, a row group each.
        collections: JSON of the Collections.
        path: The file.
        shapes: Types of the geometries, as GeoJSON names them; empty if any may occur.
    """
    import pyarrow.parquet as pq

    names = [
        name
        for name in tables[0].column_names
        if name in ("geometry", "bbox", "datetime")
        or any(table[name].null_count < len(table) for table in tables)
    ]
    metadata = parquet_metadata(collections, shapes)
    schema = tables[0].select(names).schema.with_metadata(metadata)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            rows = table.select(names).replace_schema_metadata(schema.metadata)
            writer.write_table(rows, row_group_size=len(table))


def _shapes_of(tables: Sequence[pa.Table]) -> list[str]:
    """Names of the types of geometries, by the second byte of their WKB."""
    import pyarrow.compute as pc

    codes: set[bytes] = set()
    for table in tables:
        codes.update(pc.unique(pc.binary_slice(table["geometry"], 1, 2)).drop_null().to_pylist())
    return [_SHAPES[code] for code in sorted(codes)]


def parquet_metadata(collections: Sequence[Json], shapes: Sequence[str]) -> dict[str, str]:
    """What the file says of its geometries, of types ``shapes``, and of its Collections."""
    # https://geoparquet.org/releases/v1.1.0/ and stac-geoparquet-spec 1.0.0
    covering = {k: ["bbox", k] for k in ("xmin", "ymin", "xmax", "ymax")}
    geometry = {"encoding": "WKB", "geometry_types": shapes, "covering": {"bbox": covering}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    mirrored = {"version": "1.0.0", "collections": {c["id"]: c for c in collections}}
    return {"geo": json.dumps(geo), "stac-geoparquet": json.dumps(mirrored)}
