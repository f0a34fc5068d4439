"""``items.parquet``: Items as Arrow rows, and the file that keeps the rows.

`satimnet.builder.catalog.rows_to_items` makes Items of the rows again.

The layout is stac-geoparquet's (https://github.com/radiantearth/stac-geoparquet-spec, 1.0.0):
properties are top-level columns, the geometry is WKB, the bbox a struct.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import cache
from itertools import accumulate, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.item_columns import BBOX, common_properties, item_schema
from satimnet.builder.catalog.items import Item
from satimnet.builder.catalog.parquet_writing import layout_of, write_rows
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_NAME = "items.parquet"
PARQUET_TYPE = "application/vnd.apache.parquet"

_KEPT = 2**26
"""Bytes of row files that stay open at most."""

_FEW = 256  # rows; more of them would be in other pages of the index

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
            columns[name] = _outlines([item["geometry"] for item in items])
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
            columns[name] = [timestamp(value) for value in columns[name]]
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


def _outlines(shapes: Sequence[Mapping[str, Any] | None]) -> list[bytes | None]:
    """WKB of geometries in GeoJSON."""
    import shapely

    found: list[bytes | None] = [None] * len(shapes)
    # nearly all are corners in a ring, which go into one array
    simple = [at for at, shape in enumerate(shapes) if _is_ring(shape)]
    others = [at for at, shape in enumerate(shapes) if shape is not None and not _is_ring(shape)]
    geometries = shapely.from_geojson([json.dumps(shapes[at]) for at in others]).tolist()
    if simple:
        rings = np.array([shape["coordinates"][0] for at in simple if (shape := shapes[at])])
        geometries += shapely.polygons(rings).tolist()
    for at, outline in zip((*others, *simple), shapely.to_wkb(geometries), strict=True):
        found[at] = outline
    return found


def _is_ring(shape: Mapping[str, Any] | None) -> bool:
    """Whether a geometry is four corners of a Polygon."""
    return shape is not None and [len(ring) for ring in shape["coordinates"]] == [5]


@cache
def timestamp(value: str | None) -> datetime | None:
    """The time of a text as RFC 3339 has it."""
    return None if value is None else datetime.fromisoformat(value)


def read_rows(path: Path) -> pa.Table:
    """The table of an Arrow file, mapped into memory."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


class MappedRows(Sequence["pa.Table"]):
    """The tables of Arrow files, which are there already.

    What was read of a mapped file counts as memory for as long as its table is kept: 4 GB of
    BigEarthNet's rows. Only the first files, up to `_KEPT` bytes of them, are opened once for all
    looks at them, which is most of a look at a small collection; others are mapped anew each time.
    """

    def __init__(self, paths: Sequence[Path], known: Mapping[Path, pa.Table] | None = None) -> None:
        """Tables of these files; what is in memory of them by now is ``known``."""
        self._paths = paths
        self._open: dict[Path, pa.Table] = dict(known or {})
        unread = [path for path in paths if path not in self._open]
        sizes = accumulate(path.stat().st_size for path in unread)
        self._small = {*self._open, *compress(unread, (size <= _KEPT for size in sizes))}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self.chosen(range(len(self))[at])
        path = self._paths[at]
        table = self._open.get(path)
        if table is None:
            table = read_rows(path)
            if path in self._small:
                self._open[path] = table
        return table

    def chosen(self, numbers: Sequence[int]) -> MappedRows:
        """Those of the tables; what is open stays so."""
        found = copy(self)
        found._paths = [self._paths[number] for number in numbers]
        return found

    def joined(self) -> Sequence[pa.Table]:
        """All rows as one table, if all are kept open; else the tables.

        A look at a table takes 0.1 ms a column, however few rows it has, and more at each seam: a
        few rows are copied to have none.
        """
        import pyarrow as pa

        if self._small.issuperset(self._paths) and self._paths:
            joined = pa.concat_tables(self)
            return [joined.combine_chunks() if len(joined) <= _FEW else joined]
        return self


def write_parquet(
    tables: Sequence[pa.Table], collection: Json, path: Path, limit: int | None = None
) -> list[Path]:
    """Writes all rows as stac-geoparquet 1.0.0 (GeoParquet 1.1).

    Columns without any value are left out, but for those that an Item must have. Returns the
    files: one, unless there are more rows than ``limit`` (`parquet_writing.ROWS_OF_FILE`).
    """
    return write_geoparquet(tables, [collection], path, _shapes_of(tables), limit)


def write_geoparquet(
    tables: Sequence[pa.Table],
    collections: Sequence[Json],
    path: Path,
    shapes: Sequence[str] = (),
    limit: int | None = None,
) -> list[Path]:
    """Writes rows of several Collections, as `write_parquet` does for one.

    Args:
        tables: The rows, read one table after the other.
        collections: JSON of the Collections.
        path: The file.
        shapes: Types of the geometries, as GeoJSON names them; empty if any may occur.
        limit: Rows that a file has at most, if not as many as usual.

    Returns:
        The files, ``path`` first.
    """
    metadata = parquet_metadata(collections, shapes)
    return write_rows(tables, layout_of(tables), metadata, path, limit)


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
