"""Rows of an ``items.parquet`` by their numbers, and what they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from satimnet.builder.catalog.parquet_writing import PAGED
from satimnet.builder.query.row_pages import as_arrow
from satimnet.builder.query.statements import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

_DIGITS = 10  # of a number of rows; one that numpy cannot take is no number of rows


@dataclass(frozen=True, slots=True)
class FileRows:
    """What is kept of each file of rows: far less than its footer."""

    groups: tuple[int, ...]
    """Rows of each group."""
    schema: pa.Schema
    """Its columns, as Arrow reads them."""
    rows_of_page: int = 0
    """Rows of each page, where those of all columns are said to have the same; else 0."""

    @classmethod
    def of(cls, file: pq.ParquetFile) -> FileRows:
        """Those of an open file."""
        footer = file.metadata
        groups = (footer.row_group(at).num_rows for at in range(footer.num_row_groups))
        said = (file.schema_arrow.metadata or {}).get(PAGED.encode(), b"")
        sensible = said.isdigit() and len(said) <= _DIGITS
        return cls(tuple(groups), file.schema_arrow, int(said) if sensible else 0)

    @property
    def count(self) -> int:
        """How many rows the file has."""
        return sum(self.groups)


_VECTOR = 2048  # rows that DuckDB reads at a time
_START = 2.5
"""How many times as long as for such rows DuckDB takes to begin: with 270 columns, those in structs
and lists counted, 65 ms, and then 23 ms for each 2048 rows that it looks into; Arrow takes 29."""


def is_sparse(groups: Sequence[int], numbers: NDArray[np.int64]) -> bool:
    """Whether DuckDB, which skips pages, reads these rows in less time than Arrow whole groups.

    Args:
        groups: rows of each group of the file.
        numbers: row numbers in the file.
    """
    ends = np.cumsum(groups)
    touched = distinct(np.searchsorted(ends, numbers, side="right"))
    whole = int(np.asarray(groups)[touched].sum())
    return whole > _VECTOR * (_START + len(distinct(numbers // _VECTOR)))


def sparse_rows_sql(
    source: str, numbers: NDArray[np.int64], names: Sequence[str], assets: Sequence[str] | None
) -> str:
    """SQL of a query for rows by their numbers, which come with them as the last column.

    Args:
        source: SQL of a table with the column ``file_row_number``.
        numbers: row numbers.
        names: columns.
        assets: of the column of assets only these fields; all if None.
    """
    columns = [quoted(name) for name in names]
    if assets is not None and "assets" in names:
        fields = ", ".join(f"{quoted(key)} := assets.{quoted(key)}" for key in assets)
        columns[names.index("assets")] = (
            f"CASE WHEN assets IS NOT NULL THEN struct_pack({fields}) END AS assets"
        )
    wanted = ", ".join(map(str, sorted(set(numbers.tolist()))))
    return (
        f"SELECT {', '.join(columns)}, file_row_number FROM {source} "
        f"WHERE file_row_number IN ({wanted})"
    )


def rows_at(
    file: pq.ParquetFile, numbers: NDArray[np.int64], leaves: Sequence[str]
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The rows, by the groups that they lie in, and where each of ``numbers`` is among them.

    Whole groups are read: see `is_sparse`.

    Args:
        file: the open file.
        numbers: row numbers in the file, counted from 0, int64 of shape (row,), in any order.
        leaves: columns, or fields of columns with dots, that are read.
    """
    import pyarrow as pa

    sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    groups = np.searchsorted(ends, numbers, side="right")
    order = np.argsort(groups, kind="stable")
    places = np.empty(len(numbers), np.int64)
    places[order] = np.arange(len(numbers))
    parts = []
    for group in distinct(groups).tolist():
        wanted = numbers[groups == group] - (ends[group] - sizes[group])
        parts.append(file.read_row_group(group, list(leaves)).take(as_arrow(wanted)))
    if not parts:
        return file.schema_arrow.empty_table(), places
    return pa.concat_tables(parts), places


def distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The small numbers from 0 that occur, in order; ``np.unique`` would import masked arrays."""
    return np.flatnonzero(np.bincount(numbers))


def numbers_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The numbers of a column of int64 without nulls; its ``to_numpy`` would import pandas."""
    return np.concatenate([np.zeros(0, np.int64), *map(np.from_dlpack, column.chunks)])


def asset_hrefs(rows: pa.Table) -> list[str]:
    """The hrefs of all assets in the rows, each once, sorted; none if the column is not there."""
    import pyarrow.compute as pc

    if "assets" not in rows.column_names:
        return []
    assets = rows["assets"]
    hrefs: set[str] = set()
    for asset in assets.type:
        if "href" in [field.name for field in asset.type]:
            found = pc.unique(pc.struct_field(assets, [asset.name, "href"]))
            hrefs.update(found.drop_null().to_pylist())
    return sorted(hrefs)
