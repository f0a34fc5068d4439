"""What a search found: how many Items, their rows, their counts and the Items themselves.

A search has two steps. The first reads only the columns that the question needs and yields the
matching rows' numbers, in order; the second reads those rows. So counting is cheap, and pages
join to the whole.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from satimnet.builder.catalog.item_columns import property_type
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.errors import BadQueryError
from satimnet.builder.query.cql2_text import Node
from satimnet.builder.query.cql2_to_sql import compile_filter
from satimnet.builder.query.index import ALWAYS_THERE, Index, IndexedCollection
from satimnet.builder.query.item_fields import Fields, picked
from satimnet.builder.query.parquet_rows import numbers_of
from satimnet.builder.query.statements import Statement, quoted
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    _Numbers = tuple[NDArray[np.int64], NDArray[np.int64]]

_CHUNK = 2000  # Items made at once: enough to drown a query's fixed cost, few enough for memory


class _Facet(NamedTuple):
    column: str
    value: str
    """SQL of its value as text, of one element where it is a list."""
    is_list: bool = False

    def counts(self, name: str) -> str:
        """SQL that counts the rows of ``found`` with each value."""
        if not self.is_list:
            value, rows = self.value, "found GROUP BY ALL"
            return f"SELECT '{name}' AS facet, {value} AS value, count(*) AS n FROM {rows}"
        # few lists occur, and of each an element counts once
        lists = f"SELECT {quoted(self.column)} AS list, count(*) AS n FROM found GROUP BY list"
        value = "unnest(list_distinct(list))::VARCHAR"
        return f"SELECT '{name}' AS facet, {value} AS value, n FROM ({lists})"


def _list_facet(column: str) -> _Facet:
    return _Facet(column, "", is_list=True)


def _text_facet(column: str) -> _Facet:
    return _Facet(column, f"{quoted(column)}::VARCHAR")


_FACETS = {
    "collection": _text_facet("collection"),
    "class": _list_facet("satimnet:classes"),
    "split": _text_facet("satimnet:split"),
    "country": _text_facet("satimnet:country"),
    "month": _Facet("datetime", "strftime(datetime, '%Y-%m')"),
    "format": _list_facet("satimnet:formats"),
    "data_type": _list_facet("satimnet:data_types"),
    "band_count": _list_facet("satimnet:band_counts"),
    "band": _list_facet("satimnet:band_names"),
    "mask": _text_facet("satimnet:has_mask"),
    "annotation": _text_facet("satimnet:has_annotation"),
    "georeference": _text_facet("satimnet:georeferenced"),
    "nodata": _text_facet("satimnet:has_nodata"),
}
FACETS = tuple(_FACETS)
"""What `Found.facets` counts."""


class Found:
    """The result of a search: iterate over it for Items, or take its `table`.

    Items are dicts with absolute hrefs, made one chunk after another during the iteration.
    """

    def __init__(
        self,
        index: Index,
        collections: Sequence[str] | None,
        condition: Node,
        sort: Sequence[tuple[str, bool]],
        fields: Fields,
        limit: int | None,
    ) -> None:
        known = index.readable(collections or None)
        chosen = [c for c in known if collections is None or c in collections]
        if not chosen:
            chosen, condition = known, False
        self._index = index
        self._collections = chosen
        self._fields = fields
        self._limit = limit
        # Compiled here, so that a mistake in the question shows where it is asked.
        self._statement = statement = Statement()
        kinds = index.kinds(chosen)
        self._where = compile_filter(condition, kinds, statement)
        self._order = list(_order(sort, kinds, statement))
        self._source = index.union(chosen, statement.columns)
        self._known_numbers: _Numbers | None = None
        self._lock = threading.Lock()

    @property
    def _numbers(self) -> _Numbers:
        """Each row's position among the collections and its number in that one's file.

        Looked up once; `functools.cached_property` of Python 3.11 would have all searches wait.
        """
        with self._lock:
            if self._known_numbers is None:
                self._known_numbers = self._find()
            return self._known_numbers

    @property
    def _ending(self) -> str:
        """SQL of the order and the limit.

        Rows keep the order of the collections and of their files unless they are sorted or joined,
        so DuckDB reads on only until it has enough of them:
        https://duckdb.org/docs/2.0/sql/dialect/order_preservation.html
        """
        keys = [*self._order, "source_", "row_"] if self._order or self._statement.joins else []
        order = f" ORDER BY {', '.join(keys)}" if keys else ""
        return order if self._limit is None else f"{order} LIMIT {self._limit}"

    def _find(self) -> _Numbers:
        sql = f"SELECT source_, row_ FROM ({self._source}) WHERE {self._where}{self._ending}"
        table = self._index.run(sql, self._statement)
        return numbers_of(table["source_"]), numbers_of(table["row_"])

    def __len__(self) -> int:
        # ``list(found)`` asks first how long it will be: of a few they are looked up at once
        if self._known_numbers is not None or self._limit is not None:
            return len(self._numbers[0])
        sql = f"SELECT count(*) AS n FROM ({self._source}) WHERE {self._where}"
        return int(self._index.run(sql, self._statement)["n"][0].as_py())

    def facets(self, names: Collection[str] = FACETS) -> dict[str, dict[str, int]]:
        """How many Items there are of each collection, class, month, format and so on.

        The most frequent value comes first. An Item counts once for each of its classes, bands and
        formats, and not at all where it has no value. The month, such as ``2018-07``, is that of
        its ``datetime``. Whether there is a mask is ``true`` or ``false``.

        Args:
            names: what is counted, of `FACETS`.
        """
        kinds = self._index.kinds(self._collections)
        asked = {name: facet for name, facet in _FACETS.items() if name in names}
        known = {name: facet for name, facet in asked.items() if facet.column in kinds}
        columns = {*self._statement.columns, *(facet.column for facet in known.values())}
        source = self._index.union(self._collections, columns)
        sql = f"SELECT * FROM ({source}) WHERE {self._where}"
        if self._limit is not None:
            sql += self._ending
        counts = [facet.counts(name) for name, facet in known.items()]
        if not counts:
            return {name: {} for name in asked}
        table = self._index.run(
            f"WITH found AS MATERIALIZED ({sql}) SELECT facet, value, sum(n)::BIGINT AS items "
            f"FROM ({' UNION ALL '.join(counts)}) WHERE value IS NOT NULL "
            "GROUP BY facet, value ORDER BY items DESC, value",
            self._statement,
        )
        found: dict[str, dict[str, int]] = {name: {} for name in asked}
        for facet, value, items in zip(*(column.to_pylist() for column in table.columns)):
            found[facet][value] = items
        return found

    def __iter__(self) -> Iterator[Json]:
        for start in range(0, len(self._numbers[0]), _CHUNK):
            yield from self.items(start, start + _CHUNK)

    @property
    def index(self) -> Index:
        """The catalog that was searched."""
        return self._index

    @property
    def collections(self) -> list[IndexedCollection]:
        """The Collections of the Items that were found."""
        return [self._index.collections[name] for name, own in self.numbers().items() if len(own)]

    def numbers(self) -> dict[str, NDArray[np.int64]]:
        """The numbers of the rows found in the file of each collection, in order.

        Returns:
            By id of the collection int64 of shape (row,), counted from 0.
        """
        sources, numbers = self._numbers
        return {name: numbers[sources == at] for at, name in enumerate(self._collections)}

    def items(self, start: int = 0, stop: int | None = None) -> list[Json]:
        """The Items from place ``start`` up to but not including place ``stop``."""
        sources, numbers = (part[start:stop] for part in self._numbers)
        items: list[Json] = [{}] * len(sources)
        for source, collection in enumerate(self._collections):
            places = np.flatnonzero(sources == source)
            if not len(places):
                continue
            rows = self._index.rows(collection, numbers[places])
            base = self._index.collections[collection].parquet
            for place, item in zip(places, items_of(rows, base), strict=True):
                items[place] = picked(item, self._fields)
        return items

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as they stand in ``items.parquet``, in order, and where each stands.

        Args:
            columns: names of the columns that are read; all if None.

        Returns:
            A row for each Item, with null where a collection lacks a column. The last column,
            ``parquet``, has the absolute path or URL of the row's file, against which the hrefs in
            ``assets`` and ``links`` resolve.

        Raises:
            BadQueryError: no collection has one of ``columns``.
        """
        import pyarrow as pa

        types = [self._index.column_types(collection) for collection in self._collections]
        known = list(dict.fromkeys(name for own in types for name in own))
        if unknown := set(columns or ()).difference(known, ALWAYS_THERE):
            raise BadQueryError(
                f"{self._index.href}: no column {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(known)}"
            )
        sources, numbers = self._numbers
        parts, places = [], []
        for source, (collection, own) in enumerate(zip(self._collections, types, strict=True)):
            place = np.flatnonzero(sources == source)
            names = [name for name in columns or known if name in own]
            part = self._index.rows(collection, numbers[place], names or ["id"]).select(names)
            base = self._index.collections[collection].parquet
            parts.append(part.append_column("parquet", pa.repeat(base, len(place))))
            places.append(place)
        table = pa.concat_tables(parts, promote_options="permissive")
        for name in set(columns or known).difference(table.column_names):
            table = table.append_column(name, pa.nulls(len(table), property_type(name)))
        return table.select([*(columns or known), "parquet"]).take(
            np.argsort(np.concatenate(places))
        )


def _order(
    sort: Sequence[tuple[str, bool]], kinds: Mapping[str, str], statement: Statement
) -> Iterator[str]:
    for name, downwards in sort:
        kind = kinds.get(name, "unknown")
        if kind not in ("text", "number", "time", "boolean"):
            known = ", ".join(sorted(kinds))
            raise BadQueryError(f"cannot sort by {name!r} ({kind}); there are: {known}")
        yield f"{statement.column(name)} {'DESC' if downwards else 'ASC'} NULLS LAST"
    if sort:
        yield from map(statement.column, ("collection", "id"))
