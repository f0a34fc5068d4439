"""The Items of a collection as exports read them: a few columns, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from satimnet.builder.catalog.checked_documents import require_texts
from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.query.chosen_splits import SPLIT_COLUMNS
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.parquet_files import parquet_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_LISTS = re.compile(r"\.list\.(element|item)(?=\.|$)")  # what Parquet puts into paths
_ROWS = 1000  # in a batch: a few MB as Python objects


def batches(
    collection: IndexedCollection, columns: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Rows of ``items.parquet`` with these columns, as far as the file has them.

    Dots name a part of a column, as if there were no lists: ``assets.rgb.archive.href``.

    Raises:
        BadCatalogError: the file cannot be read, or its rows lack an id.
    """
    for file in _each(collection):
        leaves = [file.schema.column(at).path for at in range(len(file.schema))]
        wanted = [
            leaf
            for leaf in leaves
            if any(f"{_LISTS.sub('', leaf)}.".startswith(f"{name}.") for name in columns)
        ]
        for batch in _with_splits(collection, file.iter_batches(_ROWS, columns=wanted), columns):
            require_texts(batch, collection.parquet)
            yield batch.to_pylist()


def record_batches(collection: IndexedCollection) -> Iterator[pa.RecordBatch]:
    """Rows of ``items.parquet`` with all columns, as Arrow has them.

    Raises:
        BadCatalogError: the file cannot be read, or its rows lack an id.
    """
    for file in _each(collection):
        for batch in _with_splits(collection, file.iter_batches(_ROWS)):
            require_texts(batch, collection.parquet)
            yield batch


def _with_splits(
    collection: IndexedCollection, rows: Iterable[pa.RecordBatch], columns: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The rows, with splits and folds as the catalog's table has them that was chosen, if any.

    A column that the file lacks comes at the end, if ``columns`` ask for it.
    """
    first = 0
    for batch in rows:
        if collection.splits is not None:
            at = slice(first, first + len(batch))
            for name in SPLIT_COLUMNS:
                column = collection.splits.column(name, at)
                if name in batch.schema.names:
                    batch = batch.set_column(batch.schema.get_field_index(name), name, column)
                elif name in columns:
                    batch = batch.append_column(name, column)
        first += len(batch)
        yield batch


def schema_of(collection: IndexedCollection) -> pa.Schema:
    """The schema of ``items.parquet``, with its metadata."""
    with _opened(collection) as file:
        return file.schema_arrow


def row_count(collection: IndexedCollection) -> int:
    """How many Items there are."""
    return sum(int(file.metadata.num_rows) for file in _each(collection))


def column_names(collection: IndexedCollection) -> list[str]:
    """The columns of ``items.parquet``."""
    with _opened(collection) as file:
        return list(file.schema_arrow.names)


def asset_keys(collection: IndexedCollection) -> list[str]:
    """The keys that Items' assets have."""
    with _opened(collection) as file:
        return [field.name for field in file.schema_arrow.field("assets").type]


def shards_of(collection: IndexedCollection) -> list[str]:
    """Absolute hrefs of the shards, in the order in which Items first refer to them."""
    found: dict[str, None] = {}
    for rows in batches(collection, [f"assets.{key}.href" for key in asset_keys(collection)]):
        for row in rows:
            for asset in (row["assets"] or {}).values():
                if asset is not None and asset["href"] is not None:
                    found.setdefault(asset["href"])
    return [collection.resolve(href) for href in found]


def _each(collection: IndexedCollection) -> Iterator[pq.ParquetFile]:
    """The files of the rows, open one after the other."""
    for part in range(len(collection.places)):
        with _opened(collection, part) as file:
            yield file


@contextmanager
def _opened(collection: IndexedCollection, part: int = 0) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa

    try:
        with parquet_file(collection.places[part]) as file:
            yield file
    except SatimnetError:  # some are OSErrors, too
        raise
    except (OSError, ValueError, LookupError, OverflowError, pa.ArrowException) as error:
        raise BadCatalogError(
            f"{collection.parquets[part]}: cannot be read: {error}; validate the catalog"
        ) from error
