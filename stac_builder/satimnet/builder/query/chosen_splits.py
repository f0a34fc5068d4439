"""The split that a catalog is searched by: that of a table instead of the publisher's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.publishing.split_tables import SplitTable
from satimnet.builder.storage.parquet_files import parquet_file

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

SPLIT_COLUMNS = {"satimnet:split": "VARCHAR", "satimnet:fold": "BIGINT"}
"""The columns of Items that a table replaces, with DuckDB's types."""


@dataclass(frozen=True, slots=True)
class RowSplits:
    """Split and fold of each row of a collection's ``items.parquet``."""

    splits: NDArray[np.int8]
    """Numbers of `SPLITS`, -1 where the table does not have the Item; (row)."""
    folds: NDArray[np.int64]
    """-1 where there is none; (row)."""

    def column(self, name: str, rows: NDArray[np.int64] | slice) -> pa.Array:
        """The values of a column of `SPLIT_COLUMNS` at these rows."""
        import pyarrow as pa

        if name == "satimnet:fold":
            folds = self.folds[rows]
            return pa.array(folds, pa.int64(), mask=folds < 0)
        from satimnet.builder.samples import SPLITS  # with all that reads sources

        codes = self.splits[rows]
        indices = pa.array(codes.astype(np.int32), pa.int32(), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(indices, pa.array(SPLITS)).cast(pa.string())

    def replaced(self, table: pa.Table, rows: NDArray[np.int64] | slice) -> pa.Table:
        """The table with these columns as they are at these rows."""
        for name in SPLIT_COLUMNS:
            column = self.column(name, rows)
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, column)
            else:
                table = table.append_column(name, column)
        return table

    def of_rows(self, first: int, end: int) -> RowSplits:
        """Those of the rows from ``first`` up to but not including ``end``."""
        return RowSplits(self.splits[first:end].copy(), self.folds[first:end].copy())

    def table(self) -> pa.Table:
        """The rows that have a split or a fold: ``row_of_split_``, ``split_`` and ``fold_``."""
        import pyarrow as pa

        rows = np.flatnonzero((self.splits >= 0) | (self.folds >= 0))
        return pa.table(
            {
                "row_of_split_": pa.array(rows, pa.int64()),
                "split_": self.column("satimnet:split", rows),
                "fold_": self.column("satimnet:fold", rows),
            }
        )


def row_splits(
    table: SplitTable, collection: str, version: str | None, places: Sequence[str], where: str
) -> RowSplits:
    """What a table says of the rows of a collection.

    Of the version that the table was made of the rows are known; of another one, Items are found
    by their ids.

    Args:
        table: the table.
        collection: the id of the collection.
        version: the version of the collection that is open.
        places: where to read the files of its rows, in their order.
        where: how messages name the first of them.

    Raises:
        BadCatalogError: the parquet cannot be read, or the table names rows that it has not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from satimnet.builder.samples import SPLITS

    own = table.rows.filter(pc.equal(table.rows["collection"], collection))
    count = 0
    known_ids: list[pa.Table] = []
    made_of: Any = table.said.get("collections")
    known = made_of.get(collection) if isinstance(made_of, dict) else None
    same = version is not None and isinstance(known, dict) and known.get("version") == version
    try:
        for place in places:
            with parquet_file(place) as file:
                count += file.metadata.num_rows
                if not same and len(own):
                    known_ids.append(file.read(["id"]))
    except SatimnetError:
        raise
    except (OSError, LookupError, pa.ArrowException) as error:
        raise BadCatalogError(f"{where}: cannot be read ({error}); build it again") from error
    if not known_ids:
        rows = own["row"].to_numpy()
        if len(rows) and (rows.min() < 0 or rows.max() >= count):
            raise BadCatalogError(f"{where}: the split names Items that it has not; make it again")
        taken = own
    else:
        ids = pa.concat_tables(known_ids)["id"]
        found = pc.index_in(ids, value_set=own["id"].combine_chunks())
        rows = np.flatnonzero(np.asarray(found.is_valid()))
        taken = own.take(found.drop_null())
    splits, folds = np.full(count, -1, np.int8), np.full(count, -1, np.int64)
    codes = pc.index_in(taken["split"], value_set=pa.array(SPLITS))
    splits[rows] = pc.fill_null(codes, -1).to_numpy().astype(np.int8)
    folds[rows] = pc.fill_null(taken["fold"], -1).to_numpy()
    return RowSplits(splits, folds)
