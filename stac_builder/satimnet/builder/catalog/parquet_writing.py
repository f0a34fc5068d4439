"""How ``items.parquet`` is laid out: which columns it has, how they are encoded, in which groups.

Row groups do not follow the shards. Each costs a footer of some 100 bytes a column, which every
reader takes in first, and BigEarthNet has 270 columns, those of its assets counted; too few of them
cannot be told apart by their statistics. The rows keep the order of the shards: by the tree, which
is by class or by time and place, and within it as members lie in their shard. Of 23 groups of
BigEarthNet's places, a month and a box leave 2.6 to be read; were the rows sorted along Hilbert's
curve in each month it would be 2.5, by time 2.4, and reading them would jump to and fro in shards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_FILE = 614_400
"""Rows that one file has at most; more of them are in several files.

To read a few whole rows DuckDB, which other programs use, visits all groups of their file, 8 µs for
each column of each, and walks over the pages before them: BigEarthNet's 23 groups of 26,624 rows
take 0.05 s. A file of five million rows would have ten times as many groups or, of 99,328 rows
each, pages that it walks over for 0.3 s.
"""
PARTS = "satimnet:files"
"""Key of a file's metadata: of how many files it is one. Absent if it is alone."""
_LEAST, _MOST = 10_240, 99_328  # rows of a group, multiples of what DuckDB reads at a time
_VECTOR = 2048
_FOOTER = 700_000  # bytes of a footer that groups of more than the least rows are made for
_FOOTER_OF_COLUMN = 110  # in each group, of its place, size and encodings
ROWS_OF_PAGE = 1024
"""Rows of each page of each column, so that some pages can be read as a group of few rows: see
`satimnet.builder.query.row_pages`. Groups have a multiple of it, but for the last of a file."""
PAGED = "satimnet:rows_of_page"
"""Key of a file's metadata: how many rows each page of each column has, the last one fewer."""
_PAGE = 2**26  # bytes that a page of so many rows has at most
_ALWAYS = ("geometry", "bbox", "datetime")  # columns that are there even if all is null

# Values that hardly ever come twice: a dictionary would hold them all, and be read for each Item.
_TEXT, _NUMBER, _PLAIN = "DELTA_BYTE_ARRAY", "DELTA_BINARY_PACKED", "PLAIN"
_ENCODINGS = {
    "id": _TEXT,
    "title": _TEXT,
    "geometry": _PLAIN,
    "bbox.xmin": _PLAIN,
    "bbox.ymin": _PLAIN,
    "bbox.xmax": _PLAIN,
    "bbox.ymax": _PLAIN,
}
_ENCODINGS_OF_ASSET = {
    "archive.list.element.href": _TEXT,
    "archive.list.element.file:checksum": _TEXT,
    "archive.list.element.range.list.element": _NUMBER,
    "satimnet:pixels.offset": _NUMBER,
    "satimnet:original.path": _TEXT,
    "satimnet:original.file:checksum": _TEXT,
}
_UNASKED = ("geometry", "title", "links", "assets")  # columns that no question has limits for


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that rows are written with, and how many rows there are."""

    schema: pa.Schema
    rows: int
    rows_of_file: int | None = None
    """Rows that a file has at most; `ROWS_OF_FILE` if None."""

    @property
    def leaves(self) -> list[str]:
        """Paths of the columns as Parquet names them, those in structs and lists counted."""
        return [path for field in self.schema for path in _leaves(field.name, field.type)]

    @property
    def rows_of_group(self) -> int:
        """Rows of a row group: few where the footer stays small, so that reading one is cheap."""
        groups = max(1, _FOOTER // (_FOOTER_OF_COLUMN * len(self.leaves)))
        enough = -(-min(self.rows, self.rows_of_file or ROWS_OF_FILE) // groups)
        return min(max(_LEAST, -(-enough // _VECTOR) * _VECTOR), _MOST)


def layout_of(tables: Sequence[pa.Table]) -> Layout:
    """The layout for these rows, all of one schema.

    Columns without any value are left out, but for those that an Item must have, and so are
    fields of assets other than ``href``.
    """
    import pyarrow as pa

    schema = tables[0].schema
    used: set[str] = set()
    fields: dict[str, set[str]] = {}
    rows = 0
    for table in tables:
        rows += len(table)
        used.update(n for n in schema.names if table[n].null_count < len(table))
        for chunk in table["assets"].chunks if _has_assets(schema) else ():
            # flatten, and not field: where a struct is null its fields may be anything
            for asset, values in zip(chunk.type, chunk.flatten(), strict=True):
                known = fields.setdefault(asset.name, {"href"})
                if not pa.types.is_struct(asset.type) or len(known) == asset.type.num_fields:
                    continue
                known.update(
                    field.name
                    for field, inner in zip(asset.type, values.flatten(), strict=True)
                    if inner.null_count < len(inner)
                )
    kept = []
    for field in schema:
        if field.name == "assets" and _has_assets(schema):
            field = field.with_type(pa.struct([_narrowed(f, fields) for f in field.type]))
        if field.name in used or field.name in _ALWAYS:
            kept.append(field)
    return Layout(pa.schema(kept), rows)


def _has_assets(schema: pa.Schema) -> bool:
    import pyarrow as pa

    return "assets" in schema.names and pa.types.is_struct(schema.field("assets").type)


def _narrowed(asset: pa.Field, fields: dict[str, set[str]]) -> pa.Field:
    """The type of an asset with those of its fields that have values."""
    import pyarrow as pa

    known = fields.get(asset.name, set())
    if not pa.types.is_struct(asset.type):
        return asset
    return asset.with_type(pa.struct([f for f in asset.type if f.name in known]))


def _leaves(path: str, type_: pa.DataType) -> Iterator[str]:
    import pyarrow as pa

    if pa.types.is_struct(type_):
        for field in type_:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_list(type_) or pa.types.is_large_list(type_):
        yield from _leaves(f"{path}.list.element", type_.value_type)
    else:
        yield path


def write_rows(
    tables: Sequence[pa.Table],
    layout: Layout,
    metadata: dict[str, str],
    path: Path,
    limit: int | None = None,
) -> list[Path]:
    """Writes rows to a file, or to several; no more of them are in memory than a group has.

    Args:
        tables: The rows.
        layout: Theirs.
        metadata: What the files say of themselves.
        path: The first file; the others are named after it.
        limit: Rows that a file has at most, in place of `ROWS_OF_FILE`.

    Returns:
        The files.
    """
    layout = replace(layout, rows_of_file=limit)
    limit = limit or ROWS_OF_FILE
    files: list[Path] = []
    starts = [*range(0, max(layout.rows, 1), limit), layout.rows]
    if len(starts) > 2:
        metadata = {**metadata, PARTS: str(len(starts) - 1)}
    schema = layout.schema.with_metadata({**metadata, PAGED: str(ROWS_OF_PAGE)})
    groups = _groups(tables, layout, starts)
    for at, (start, end) in enumerate(pairwise(starts)):
        files.append(path.with_name(part_name(path.name, at)))
        _write(files[-1], schema, layout, end - start, groups)
    return files


def part_name(name: str, at: int) -> str:
    """The name of the file with this number, of those that ``name`` is the first of.

    Example:
        >>> part_name("items.parquet", 0), part_name("items.parquet", 1)
        ('items.parquet', 'items-00001.parquet')
    """
    stem, dot, ending = name.rpartition(".")
    return name if at == 0 else f"{stem}-{at:05d}{dot}{ending}"


def is_part_of(path: str, name: str) -> bool:
    """Whether the path is that of a file which `part_name` gives.

    Example:
        >>> is_part_of("eurosat/items-00002.parquet", "items.parquet")
        True
        >>> is_part_of("eurosat/items-2.parquet", "items.parquet")
        False
    """
    stem, dot, ending = name.rpartition(".")
    return bool(re.fullmatch(rf"(.*/)?{re.escape(stem)}(-\d{{5}})?{dot}{ending}", path))


def _write(
    path: Path, schema: pa.Schema, layout: Layout, rows: int, groups: Iterator[pa.Table]
) -> None:
    import pyarrow.parquet as pq

    leaves = layout.leaves
    encodings = {leaf: kind for leaf in leaves if (kind := _encoding(leaf)) is not None}
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[leaf for leaf in leaves if leaf not in encodings],
        column_encoding=encodings,
        write_statistics=[leaf for leaf in leaves if leaf.split(".")[0] not in _UNASKED],
        data_page_size=_PAGE,
        max_rows_per_page=ROWS_OF_PAGE,
    ) as writer:
        while rows:
            group = next(groups)
            writer.write_table(group, row_group_size=max(len(group), 1))
            rows -= len(group)


def _encoding(leaf: str) -> str | None:
    if leaf.startswith("assets."):
        # keys of assets may have dots
        found = (kind for end, kind in _ENCODINGS_OF_ASSET.items() if leaf.endswith(f".{end}"))
        return next(found, None)
    return _ENCODINGS.get(leaf)


def _groups(tables: Sequence[pa.Table], layout: Layout, ends: Sequence[int]) -> Iterator[pa.Table]:
    """The rows in groups, none of which crosses one of the ``ends`` of files."""
    import pyarrow as pa

    size = layout.rows_of_group
    stops = iter(
        stop for start, end in pairwise(ends) for stop in [*range(start + size, end, size), end]
    )
    stop, done = next(stops), 0
    parts: list[pa.Table] = []
    for table in tables:
        table = _fitted(table, layout.schema)
        at = 0
        while at < len(table):
            part = table.slice(at, stop - done)
            parts.append(part)
            at += len(part)
            done += len(part)
            if done == stop:
                yield pa.concat_tables(parts)
                parts, stop = [], next(stops, 0)


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of the schema, assets with the fields that they have there."""
    import pyarrow as pa

    columns = []
    for field in schema:
        column = table[field.name]
        if column.type != field.type:  # assets
            chunks = [_struct(chunk, field.type) for chunk in column.chunks]
            column = pa.chunked_array(chunks, field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _struct(values: pa.StructArray, type_: pa.StructType) -> pa.StructArray:
    """The values with the fields of ``type_`` only; they are not copied."""
    import pyarrow as pa

    parts = []
    for field in type_:
        # values.field and not flatten: the struct's own nulls stay with it
        part = values.field(values.type.get_field_index(field.name))
        parts.append(_struct(part, field.type) if part.type != field.type else part)
    mask = values.is_null() if values.null_count else None
    return pa.StructArray.from_arrays(parts, fields=list(type_), mask=mask)
