"""Search over the ``items.parquet`` of a static catalog, on disk or behind any web server.

Here a question becomes one condition in CQL2; `satimnet.builder.query.search_results` answers it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.collection_document import CollectionDocument, LabelClass
from satimnet.builder.errors import ArgumentError, BadQueryError, TooLargeError
from satimnet.builder.query.cql2_json import parse_filter
from satimnet.builder.query.cql2_text import Node
from satimnet.builder.query.fact_conditions import fact_conditions
from satimnet.builder.query.freetext import condition_of
from satimnet.builder.query.geometry import geometry_node
from satimnet.builder.query.index import Index
from satimnet.builder.query.item_fields import fields_of
from satimnet.builder.query.rfc3339 import period_of
from satimnet.builder.query.search_results import Found
from satimnet.builder.vocabulary.tasks import task_of

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_SORTED = 20


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
    task: Sequence[str] | str | None = None,
    split: Sequence[str] | str | None = None,
    splits: str | None = None,
    q: Sequence[str] | str | None = None,
    file_format: Sequence[str] | str | None = None,
    band_count: Sequence[int] | int | None = None,
    bands: Sequence[str] | str | None = None,
    data_type: Sequence[str] | str | None = None,
    rows: Sequence[int | None] | int | None = None,
    columns: Sequence[int | None] | int | None = None,
    bytes: Sequence[int | None] | int | None = None,
    has_mask: bool | None = None,
    has_annotation: bool | None = None,
    georeferenced: bool | None = None,
    has_nodata: bool | None = None,
    sortby: str | Sequence[str | Mapping[str, str]] | None = None,
    fields: str | Sequence[str] | Mapping[str, Sequence[str] | None] | None = None,
    limit: int | None = None,
    allow_outside: bool = False,
) -> Found:
    """Finds the Items that fulfil all conditions given.

    No Item is read before the result is used. What stands for a condition is that of the STAC API:
    https://github.com/radiantearth/stac-api-spec/tree/v1.0.0/item-search

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder, or an open `Index`.
        collections: ids of collections; an empty list finds nothing.
        ids: ids of Items; an empty list finds nothing.
        bbox: west, south, east, north in degrees, which the geometry must meet; six numbers with
            heights. West > east crosses the antimeridian. Longitudes may count from 0 to 360.
        intersects: GeoJSON geometry or Feature, or an object with a ``__geo_interface__``, that
            the geometry must meet.
        datetime: RFC 3339 time, date (the whole day), or two of them with a slash, one of which
            may be ``..``. Of an Item whose ``datetime`` is null the time from ``start_datetime``
            to ``end_datetime`` must overlap.
        filter: CQL2 as text or JSON; see `satimnet.builder.query.cql2_to_sql`.
        classes: names of classes; an Item must have at least one of them.
        all_classes: names of classes; an Item must have all of them.
        concept: terms such as building; an Item must have a class that stands for one of them, or
            for something narrower. See `satimnet.builder.vocabulary.concepts.Scheme.resolve`.
        task: what the collection is for, such as ``object-detection``: one of the tasks, see
            `satimnet.builder.vocabulary.tasks.TASKS`; an empty list finds nothing.
        split: ``train``, ``validation`` or ``test``, or several; an empty list finds nothing.
        splits: name of a split of the catalog that `satimnet.builder.split` made: splits and folds,
            of conditions and of the Items found, are then those of it and not the publisher's.
        q: terms, one of which must stand in a title or description of the Item, of its classes or
            of its collection, or among the collection's keywords. See
            `satimnet.builder.query.freetext`.
        file_format: formats of images, such as ``jpg`` and ``tif``; an image must have one of them.
        band_count: numbers of bands; an image must have one of them, or all images together where
            each band is a file of its own.
        bands: names of bands; an Item must have all of them.
        data_type: data types such as ``uint16``; an image must have one of them.
        rows: the rows of the largest image: a number, or the least and the most, of which one may
            be None.
        columns: its columns, in the same way.
        bytes: the bytes of all image files of the Item, in the same way.
        has_mask: whether the Item has a mask.
        has_annotation: whether the Item has a file of annotations.
        georeferenced: whether its images say where they lie.
        has_nodata: whether an image has a no-data value.
        sortby: fields, with ``-`` before those to sort downwards, or as ``{"field": ...,
            "direction": ...}``. Nulls come last; ties go by collection and id. Without it, Items
            come in the order of the catalog's collections and of their rows.
        fields: fields to include, and with ``-`` before them to exclude, as in the STAC API. What
            tells Items apart is always there. If fields are only excluded, they are taken from
            what makes an Item valid; ``{"exclude": [...]}`` takes them from the whole Item.
        limit: number of Items at most.
        allow_outside: files may lie outside of a local catalog's folder; not of an `Index`.

    Returns:
        What was found: iterate over it for Items, take its ``len``, its `Found.table` or its
        `Found.facets`.

    Raises:
        NotFoundError: the catalog, one of ``collections`` or the split is not there.
        BadCatalogError: the catalog cannot be understood.
        BadQueryError: a condition cannot be understood, or names what no Item has.
        ArgumentError: ``limit`` is negative, a range is none, or an argument has the wrong type.
        StorageError: files of the catalog cannot be read.

    Example:
        >>> from satimnet.builder import search
        >>> found = search("catalog", collections="eurosat", classes=["Forest", "River"])
        >>> found.facets()["class"]
        {'Forest': 30, 'River': 30}
        >>> item = next(iter(found))
        >>> item["collection"], item["properties"]["satimnet:classes"]
        ('eurosat', ['Forest'])
        >>> len(search("catalog", file_format="jpg", classes="PermanentCrop", rows=(32, 64)))
        30
    """
    facts = {
        "file_format": file_format,
        "band_count": band_count,
        "bands": bands,
        "data_type": data_type,
        "rows": rows,
        "columns": columns,
        "bytes": bytes,
        "has_mask": has_mask,
        "has_annotation": has_annotation,
        "georeferenced": georeferenced,
        "has_nodata": has_nodata,
    }
    index = catalog if isinstance(catalog, Index) else Index(catalog, allow_outside=allow_outside)
    if splits is not None:
        index = index.with_splits(splits)
    if limit is not None and limit < 0:
        raise ArgumentError(f"limit {limit} is negative", "limit")
    names = None if collections is None else _listed(collections)
    names = names if task is None else _for_tasks(index, names, task)
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
        *fact_conditions(facts, _documents(index, names)),
        *([] if filter is None else [parse_filter(filter)]),
    ]
    return Found(
        index, names, _op("and", *conditions), _sort_keys(sortby), fields_of(fields), limit
    )


@checked(search)
def search_table(
    catalog: str | os.PathLike[str] | Index,
    *,
    columns: Sequence[str] | None = None,
    **query: Any,
) -> pa.Table:
    """The rows that `search` finds with the same ``query``; see `Found.table`.

    ``columns`` are those of the table: ask for columns of images by a ``filter``.
    """
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


def _documents(index: Index, collections: Sequence[str] | None) -> list[CollectionDocument]:
    return [
        collection.document
        for id_, collection in index.collections.items()
        if collections is None or id_ in collections
    ]


def _for_tasks(
    index: Index, collections: Sequence[str] | None, names: Sequence[str] | str
) -> list[str]:
    """Ids of those collections that are for one of the tasks."""
    try:
        wanted = {task_of(name) for name in _listed(names)}
    except ValueError as error:
        raise BadQueryError(str(error)) from None
    unknown = [name for name in collections or () if name not in index.collections]
    found = [one.id for one in _documents(index, collections) if wanted.intersection(one.tasks)]
    return [*unknown, *found]  # the former are refused as without tasks


def _known_splits(names: Sequence[str] | str | None) -> list[str] | None:
    if names is None:
        return None
    from satimnet.builder.samples import SPLITS  # with all that reads sources

    for name in _listed(names):
        if name not in SPLITS:
            raise BadQueryError(f"no split {name!r:.100}; there are {', '.join(SPLITS)}")
    return _listed(names)


def _of_classes(
    index: Index, collections: Sequence[str] | None, op: str, names: Sequence[str] | str | None
) -> list[Node]:
    """The condition, if each name stands in the class table of one of the collections."""
    if names is None:
        return []
    tables = [document.classes for document in _documents(index, collections)]
    rows = [row for table in tables for row in table]
    known = {row.name for row in rows}
    for name in _listed(names):
        if all(tables) and name not in known:
            raise BadQueryError(f"{index.href}: no class {name!r:.100}; {_hint(name, rows)}")
    return [_op(op, _CLASSES, _listed(names))]


def _hint(name: str, rows: Sequence[LabelClass]) -> str:
    """The names of classes whose name or title resembles this one; else all there are."""
    names: dict[str, set[str]] = {}
    for row in rows:
        for text in (row.name, row.label):
            names.setdefault(text.casefold(), set()).add(row.name)
    near = difflib.get_close_matches(name.casefold()[:100], names, n=3)
    if near:
        return f"did you mean {' or '.join(sorted(set().union(*map(names.__getitem__, near))))}?"
    return f"there are {', '.join(sorted({row.name for row in rows}))}"


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
        raise BadQueryError(f"intersects wants GeoJSON, not {shape!r:.80}")
    geometry = geojson.get("geometry", geojson)
    if not isinstance(geometry, Mapping) or not isinstance(geometry.get("type"), str):
        raise BadQueryError("intersects wants a GeoJSON geometry, or a Feature that has one")
    return geometry_node(geometry)


def _overlaps(text: str) -> Node:
    """The STAC API's ``datetime``: an Item has an instant, or where that is null a span."""
    start, slash, end = text.partition("/")
    ends = [start or "..", end or ".."] if slash else [start, start]
    if ends == ["..", ".."]:
        raise BadQueryError(f"datetime {text!r} is open at both ends; give one of them")
    first, last = (None if end == ".." else period_of(end) for end in ends)
    if first and last and first[0] > last[1]:
        raise BadQueryError(f"datetime {text!r} ends before it starts")
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
        raise TooLargeError(f"sortby has {len(names):,} fields, at most {_MOST_SORTED} are taken")
    for key in names:
        if isinstance(key, str):
            key = key.strip()  # where a URL had a plus there is a space
            field, downwards = key.lstrip("+-"), key.startswith("-")
        elif "field" in key and key.get("direction", "asc") in ("asc", "desc"):
            field, downwards = key["field"], key.get("direction") == "desc"
        else:
            raise BadQueryError(f"sortby {key!r} needs a field, and asc or desc as its direction")
        keys.append((field.removeprefix("properties."), downwards))
    return keys
