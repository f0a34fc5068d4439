"""Search over the ``items.parquet`` of a static catalog, on disk or behind any web server.

A search has two steps. The first reads only the columns that the question needs and yields the
matching rows' numbers, in order; the second reads those rows. So counting is cheap, and pages
join to the whole. DuckDB does the reading, with no extension beyond those built in.
"""

from __future__ import annotations

import copy
import difflib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.geoparquet import items_of, property_type
from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.cql2_json import parse_filter
from satimnet.builder.query.cql2_text import Node
from satimnet.builder.query.cql2_to_sql import compile_filter
from satimnet.builder.query.freetext import condition_of
from satimnet.builder.query.geometry import geometry_node
from satimnet.builder.query.index import ALWAYS_THERE, Index, IndexedCollection
from satimnet.builder.query.rfc3339 import period_of
from satimnet.builder.query.statements import Statement
from satimnet.builder.samples import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    _Rows = tuple[NDArray[np.int64], NDArray[np.int64]]

Item = dict[str, Any]

_MOST_SORTED = 20
_MOST_FIELDS = 100
_CHUNK = 2000  # Items made at once: enough to drown a query's fixed cost, few enough for memory


@checked()
def search(
    catalog: str | os.PathLike[str] | Index,
    *,
    collections: Sequence[str] | str | None = None,
    ids: Sequence[str] | str | None = None,
    bbox: Sequence[float | str] | None = None,
    intersects: Any = None,
    datetime: str | None = None,
    filter: str | Mapping[str, Any] | None = None,
    classes: Sequence[str] | str | None = None,
    all_classes: Sequence[str] | str | None = None,
    concept: Sequence[str] | str | None = None,
    split: Sequence[str] | str | None = None,
    q: Sequence[str] | str | None = None,
    sortby: str | Sequence[str | Mapping[str, str]] | None = None,
    fields: str | Sequence[str] | Mapping[str, Sequence[str] | None] | None = None,
    limit: int | None = None,
    allow_outside: bool = False,
) -> Found:
    """The Items that fulfil all conditions given; no Item is read before the result is used.

    ``catalog`` is a path or an http(s) URL, of ``catalog.json`` or its folder, or an open `Index`.
    Without ``sortby`` Items come in the order of the catalog's collections and of their rows.

    - ``collections``, ``ids``, ``split``: one of these; an empty list finds nothing.
    - ``classes``: at least one of these class names is among ``satimnet:classes``.
    - ``all_classes``: all of these class names are among them, so they occur together.
    - ``concept``: what at least one of these terms means, or something narrower, is among
      ``satimnet:concepts``; see `satimnet.builder.vocabulary.concepts.Scheme.resolve`.
    - ``q``: one of these terms stands in a title or description of the Item, of its classes or of
      its collection, or among the collection's keywords; see `satimnet.builder.query.freetext`.
    - ``bbox``: the geometry meets west, south, east, north (degrees; with heights, six numbers);
      west > east crosses the antimeridian, and longitudes may count from 0 to 360.
    - ``intersects``: the geometry meets this GeoJSON geometry or ``__geo_interface__``.
    - ``datetime``: an RFC 3339 timestamp, a date (the whole day), or two of them with a slash, one
      of which may be ``..``. An Item whose ``datetime`` is null is found where the time from its
      ``start_datetime`` to its ``end_datetime`` overlaps.
    - ``filter``: CQL2 text or JSON, see `satimnet.builder.query.cql2_to_sql`.
    - ``sortby``: fields, ``-`` before those to sort downwards, also as ``{"field", "direction"}``;
      nulls come last, ties go by collection and id.
    - ``fields``: as in the STAC API: those that are included, with what tells Items apart, without
      those with ``-`` before them. Where only these are named, they are taken from what makes an
      Item valid; ``{"exclude": [...]}`` takes them from the whole Item.
    - ``limit``: at most so many Items.
    - ``allow_outside``: files may lie outside of a local catalog's folder; not of an `Index`.

    https://github.com/radiantearth/stac-api-spec/tree/v1.0.0/item-search. Raises `SatimnetError`
    for what cannot be read or understood, an unknown collection, concept or property among them.
    """
    index = catalog if isinstance(catalog, Index) else Index(catalog, allow_outside=allow_outside)
    if limit is not None and limit < 0:
        raise SatimnetError(f"limit {limit} is negative")
    names = None if collections is None else _listed(collections)
    conditions = [
        *_one_of("id", ids),
        *_one_of("satimnet:split", _known_splits(split)),
        *_of_classes(index, names, "a_overlaps", classes),
        *_of_classes(index, names, "a_contains", all_classes),
        *([] if q is None else [_free_text(index, index.readable(names or None), q)]),
        *([] if concept is None else [_op("a_overlaps", _CONCEPTS, _concepts(index, concept))]),
        *([] if bbox is None else [_op("s_intersects", _GEOMETRY, {"bbox": list(bbox)})]),
        *([] if intersects is None else [_op("s_intersects", _GEOMETRY, _geojson(intersects))]),
        *([] if datetime is None else [_overlaps(datetime)]),
        *([] if filter is None else [parse_filter(filter)]),
    ]
    return Found(index, names, _op("and", *conditions), _sort_keys(sortby), _fields(fields), limit)


@checked(search)
def search_table(
    catalog: str | os.PathLike[str] | Index,
    *,
    columns: Sequence[str] | None = None,
    **query: Any,
) -> pa.Table:
    """The rows that `search` finds with the same ``query``; see `Found.table`."""
    return search(catalog, **query).table(columns)


@checked(search)
def count(catalog: str | os.PathLike[str] | Index, **query: Any) -> int:
    """How many Items `search` finds with the same ``query``; reads only the columns asked for."""
    return len(search(catalog, **query))


# --- what was asked -----------------------------------------------------------------------------

_GEOMETRY = {"property": "geometry"}
_CLASSES = {"property": "satimnet:classes"}
_CONCEPTS = {"property": "satimnet:concepts"}


def _op(op: str, *args: Node) -> Node:
    return {"op": op, "args": list(args)}


def _listed(values: Sequence[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _one_of(name: str, values: Sequence[str] | str | None) -> list[Node]:
    return [] if values is None else [_op("in", {"property": name}, _listed(values))]


def _known_splits(names: Sequence[str] | str | None) -> list[str] | None:
    for name in _listed(names or ()):
        if name not in SPLITS:
            raise SatimnetError(f"no split {name!r:.100}; there are {', '.join(SPLITS)}")
    return None if names is None else _listed(names)


def _of_classes(
    index: Index, collections: Sequence[str] | None, op: str, names: Sequence[str] | str | None
) -> list[Node]:
    """The condition, if each name stands in the class table of one of the collections."""
    if names is None:
        return []
    tables = [
        collection.document.get("summaries", {}).get("classification:classes")
        for id_, collection in index.collections.items()
        if collections is None or id_ in collections
    ]
    rows = [row for table in tables for row in table or ()]
    known = {row["name"] for row in rows}
    for name in _listed(names):
        if all(tables) and name not in known:
            raise SatimnetError(f"{index.href}: no class {name!r:.100}; {_hint(name, rows)}")
    return [_op(op, _CLASSES, _listed(names))]


def _hint(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The names of classes whose name or title resembles this one; else all there are."""
    names: dict[str, set[str]] = {}
    for row in rows:
        for text in (row["name"], row.get("title", row["name"])):
            names.setdefault(text.casefold(), set()).add(row["name"])
    near = difflib.get_close_matches(name.casefold()[:100], names, n=3)
    if near:
        return f"did you mean {' or '.join(sorted(set().union(*map(names.__getitem__, near))))}?"
    return f"there are {', '.join(sorted({row['name'] for row in rows}))}"


def _concepts(index: Index, terms: Sequence[str] | str) -> list[str]:
    """Ids of the concepts that one of the terms means, and of all that are narrower."""
    scheme = index.scheme
    meant = [concept.id for term in _listed(terms) for concept in scheme.resolve(term)]
    return scheme.expand(meant)


def _free_text(index: Index, names: Sequence[str], terms: Sequence[str] | str) -> Node:
    documents = {name: index.collections[name].document for name in names}
    return condition_of(_listed(terms), documents, index.kinds(names))


def _geojson(shape: Any) -> Node:
    geojson = getattr(shape, "__geo_interface__", shape)
    if not isinstance(geojson, Mapping):
        raise SatimnetError(f"intersects wants GeoJSON, not {shape!r:.80}")
    geometry = geojson.get("geometry", geojson)
    if not isinstance(geometry, Mapping) or not isinstance(geometry.get("type"), str):
        raise SatimnetError("intersects wants a GeoJSON geometry, or a Feature that has one")
    return geometry_node(geometry)


def _overlaps(text: str) -> Node:
    """The STAC API's ``datetime``: an Item has an instant, or where that is null a span."""
    start, slash, end = text.partition("/")
    ends = [start or "..", end or ".."] if slash else [start, start]
    if ends == ["..", ".."]:
        raise SatimnetError(f"datetime {text!r} is open at both ends; give one of them")
    first, last = (None if end == ".." else period_of(end) for end in ends)
    if first and last and first[0] > last[1]:
        raise SatimnetError(f"datetime {text!r} ends before it starts")
    asked = {"interval": ends}
    instant = {"property": "datetime"}
    span = {"interval": [{"property": "start_datetime"}, {"property": "end_datetime"}]}
    return _op(
        "or",
        _op("t_intersects", instant, asked),
        _op("and", _op("isNull", instant), _op("t_intersects", span, asked)),
    )


def _sort_keys(
    sortby: str | Sequence[str | Mapping[str, str]] | None,
) -> list[tuple[str, bool]]:
    """Properties and whether to sort them downwards."""
    if sortby is None:
        return []
    keys = []
    names = sortby.split(",") if isinstance(sortby, str) else sortby
    if len(names) > _MOST_SORTED:
        raise SatimnetError(f"sortby has {len(names):,} fields, at most {_MOST_SORTED} are taken")
    for key in names:
        if isinstance(key, str):
            key = key.strip()  # where a URL had a plus there is a space
            field, downwards = key.lstrip("+-"), key.startswith("-")
        elif "field" in key and key.get("direction", "asc") in ("asc", "desc"):
            field, downwards = key["field"], key.get("direction") == "desc"
        else:
            raise SatimnetError(f"sortby {key!r} needs a field, and asc or desc as its direction")
        keys.append((field.removeprefix("properties."), downwards))
    return keys


def _order(
    sort: Sequence[tuple[str, bool]], kinds: Mapping[str, str], statement: Statement
) -> Iterator[str]:
    for name, downwards in sort:
        kind = kinds.get(name, "unknown")
        if kind not in ("text", "number", "time", "boolean"):
            known = ", ".join(sorted(kinds))
            raise SatimnetError(f"cannot sort by {name!r} ({kind}); there are: {known}")
        yield f"{statement.column(name)} {'DESC' if downwards else 'ASC'} NULLS LAST"
    if sort:
        yield from map(statement.column, ("collection", "id"))


@dataclass(frozen=True, slots=True)
class _Fields:
    base: tuple[str, ...] | None  # None: everything
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


# What is returned where nobody says what, and what comes with whatever else was asked for, so that
# one can tell the Items apart. https://github.com/stac-api-extensions/fields#includeexclude-semantics
_DEFAULT_FIELDS = (
    *("type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"),
    *("properties.datetime", "properties.start_datetime", "properties.end_datetime"),
)
_ALWAYS_FIELDS = _DEFAULT_FIELDS[:4]
_TOP_LEVEL = {path.partition(".")[0] for path in _DEFAULT_FIELDS} | {"stac_extensions"}


def _fields(
    fields: str | Sequence[str] | Mapping[str, Sequence[str] | None] | None,
) -> _Fields:
    if fields is None:
        return _Fields(None)
    if isinstance(fields, Mapping):
        include, exclude = fields.get("include") or (), fields.get("exclude") or ()
        everything = bool(exclude) and "include" not in fields  # an empty one is another matter
    else:
        names = fields.split(",") if isinstance(fields, str) else fields
        names = [name.strip() for name in names]  # where a URL had a plus there is a space
        include = [name.lstrip("+") for name in names if name and not name.startswith("-")]
        exclude = [name[1:] for name in names if name.startswith("-")]
        everything = False
    if len(include) + len(exclude) > _MOST_FIELDS:
        raise SatimnetError(f"fields has more than {_MOST_FIELDS} names")
    base = None if everything else _ALWAYS_FIELDS if include else _DEFAULT_FIELDS
    return _Fields(base, tuple(map(_path, include)), tuple(map(_path, exclude)))


def _path(name: str) -> str:
    """The path of a field; a property may be named without ``properties.``."""
    return name if name.partition(".")[0] in _TOP_LEVEL else f"properties.{name}"


def _picked(item: Item, fields: _Fields) -> Item:
    """The Item with these fields; a longer path beats a shorter one, and inclusion exclusion."""
    excluded = [path for path in fields.exclude if path not in fields.include]
    again = [i for i in fields.include if any(i.startswith(f"{e}.") for e in excluded)]
    whole = copy.deepcopy(item) if again else item
    picked = item
    if fields.base is not None:
        picked = {}
        for path in (*fields.base, *fields.include):
            _copy(item, picked, path)
    for path in excluded:
        _remove(picked, path)
    for path in again:
        _copy(whole, picked, path)
    return picked


def _step(node: Mapping[str, Any], path: str) -> tuple[str, str]:
    """The key that a path starts with and what follows; a key may itself have dots."""
    if path in node:
        return path, ""
    key, _, rest = path.partition(".")
    return key, rest


def _copy(source: Mapping[str, Any], target: dict[str, Any], path: str) -> None:
    key, rest = _step(source, path)
    if key not in source:
        return
    if not rest:
        target[key] = source[key]
    elif isinstance(source[key], dict):
        _copy(source[key], target.setdefault(key, {}), rest)


def _remove(node: dict[str, Any], path: str) -> None:
    key, rest = _step(node, path)
    if not rest:
        node.pop(key, None)
    elif isinstance(node.get(key), dict):
        _remove(node[key], rest)


class _Facet(NamedTuple):
    column: str
    sql: str
    """Its values as text; several of a row where it is a list."""


_FACETS = {
    "collection": _Facet("collection", "collection"),
    "class": _Facet("satimnet:classes", 'unnest(list_distinct("satimnet:classes"))'),
    "split": _Facet("satimnet:split", '"satimnet:split"'),
    "country": _Facet("satimnet:country", '"satimnet:country"'),
    "month": _Facet("datetime", "strftime(datetime, '%Y-%m')"),
}


# --- what was found -----------------------------------------------------------------------------


class Found:
    """The result of a search: iterate over it for Items, or take its `table`.

    Items are dicts with absolute hrefs. They are made as the iteration goes.
    """

    def __init__(
        self,
        index: Index,
        collections: Sequence[str] | None,
        condition: Node,
        sort: Sequence[tuple[str, bool]],
        fields: _Fields,
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
        self._order = [*_order(sort, kinds, statement), "source_", "row_"]
        self._source = index.union(chosen, statement.columns)
        self._known_rows: _Rows | None = None
        self._lock = threading.Lock()

    @property
    def _rows(self) -> _Rows:
        """Each row's position among the collections and its number in that one's file.

        Looked up once; `functools.cached_property` of Python 3.11 would have all searches wait.
        """
        with self._lock:
            if self._known_rows is None:
                self._known_rows = self._find()
            return self._known_rows

    def _find(self) -> _Rows:
        sql = (
            f"SELECT source_, row_ FROM ({self._source}) WHERE {self._where} "
            f"ORDER BY {', '.join(self._order)}"
        )
        if self._limit is not None:
            sql += f" LIMIT {self._limit}"
        table = self._index.run(sql, self._statement)
        return table["source_"].to_numpy(), table["row_"].to_numpy()

    def __len__(self) -> int:
        if self._known_rows is not None:
            return len(self._known_rows[0])
        sql = f"SELECT count(*) AS n FROM ({self._source}) WHERE {self._where}"
        n = int(self._index.run(sql, self._statement)["n"][0].as_py())
        return n if self._limit is None else min(n, self._limit)

    def facets(self) -> dict[str, dict[str, int]]:
        """How many Items there are of each collection, class, split, country and month.

        The most frequent value comes first. An Item counts for each of its classes, and for
        nothing where it has no value; the month, as ``2018-07``, is that of its ``datetime``.
        """
        kinds = self._index.kinds(self._collections)
        known = {name: facet for name, facet in _FACETS.items() if facet.column in kinds}
        columns = {*self._statement.columns, *(facet.column for facet in known.values())}
        source = self._index.union(self._collections, columns)
        sql = f"SELECT * FROM ({source}) WHERE {self._where}"
        if self._limit is not None:
            sql += f" ORDER BY {', '.join(self._order)} LIMIT {self._limit}"
        counts = [
            f"SELECT '{name}' AS facet, {facet.sql} AS value FROM found"
            for name, facet in known.items()
        ]
        table = self._index.run(
            f"WITH found AS MATERIALIZED ({sql}) SELECT facet, value, count(*) AS items "
            f"FROM ({' UNION ALL '.join(counts)}) WHERE value IS NOT NULL "
            "GROUP BY facet, value ORDER BY items DESC, value",
            self._statement,
        )
        found: dict[str, dict[str, int]] = {name: {} for name in _FACETS}
        for facet, value, items in zip(*(column.to_pylist() for column in table.columns)):
            found[facet][value] = items
        return found

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self._rows[0]), _CHUNK):
            yield from self.items(start, start + _CHUNK)

    @property
    def index(self) -> Index:
        """The catalog that was searched."""
        return self._index

    @property
    def collections(self) -> list[IndexedCollection]:
        """The Collections of which something was found."""
        return [self._index.collections[name] for name, own in self.numbers().items() if len(own)]

    def numbers(self) -> dict[str, NDArray[np.int64]]:
        """Of each collection the numbers of its rows, in its file, in the order of the search."""
        sources, numbers = self._rows
        return {name: numbers[sources == at] for at, name in enumerate(self._collections)}

    def items(self, start: int = 0, stop: int | None = None) -> list[Item]:
        """The Items from place ``start`` up to, without, place ``stop``."""
        sources, numbers = (part[start:stop] for part in self._rows)
        items: list[Item] = [{}] * len(sources)
        for source in np.unique(sources):
            places = np.flatnonzero(sources == source)
            collection = self._collections[source]
            rows = self._index.rows(collection, numbers[places])
            base = self._index.collections[collection].parquet
            for place, item in zip(places, items_of(rows, base), strict=True):
                items[place] = _picked(item, self._fields)
        return items

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as they stand in ``items.parquet``, in order, and where each stands.

        ``columns`` chooses among the columns; null stands where a collection lacks one. The last
        column, ``parquet``, is the absolute path or URL of the row's file, against which the hrefs
        in ``assets`` and ``links`` resolve.
        """
        import pyarrow as pa

        types = [self._index.column_types(collection) for collection in self._collections]
        known = list(dict.fromkeys(name for own in types for name in own))
        if unknown := set(columns or ()).difference(known, ALWAYS_THERE):
            raise SatimnetError(
                f"{self._index.href}: no column {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(known)}"
            )
        sources, numbers = self._rows
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
