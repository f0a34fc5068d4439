"""Counts for people: how many Items each collection of a catalog has, by class and by split.

DuckDB counts, so that no row of a large catalog becomes a Python object.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from satimnet.builder.arguments import checked
from satimnet.builder.query.index import Index
from satimnet.builder.query.statements import Statement

_CLASSES, _SPLIT = "satimnet:classes", "satimnet:split"


@dataclass(frozen=True)
class CollectionCounts:
    """What one collection says of itself, and how many Items it has.

    An Item counts for each of its classes. ``classes`` are in alphabetical order, ``splits`` in
    the order of the rows; the split None stands for the Items that have none.
    """

    id: str
    title: str
    license: str
    description: str
    items: int
    classes: Mapping[str, int]
    splits: Mapping[str | None, int]


@checked()
def collection_counts(
    catalog: str | os.PathLike[str] | Index, *, allow_outside: bool = False
) -> Iterator[CollectionCounts]:
    """Counts the Items of each collection that can be read, in the catalog's order.

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder, or an open `Index`.
        allow_outside: files may lie outside of a local catalog's folder; not of an `Index`.

    Returns:
        One result for each collection, counted when it is asked for.

    Raises:
        SatimnetError: the catalog cannot be read, or none of its collections.
    """
    index = catalog if isinstance(catalog, Index) else Index(catalog, allow_outside=allow_outside)
    return (_counted(index, name) for name in index.readable())


def _counted(index: Index, name: str) -> CollectionCounts:
    document = index.collections[name].document
    table = index.run(_SQL.format(rows=index.union([name], [_CLASSES, _SPLIT])), Statement())
    kinds, values, counts = (column.to_pylist() for column in table.columns)
    found: dict[str, dict[str | None, int]] = {"class": {}, "split": {}}
    for kind, value, items in zip(kinds, values, counts, strict=True):
        found[kind][value] = items
    return CollectionCounts(
        id=name,
        title=document.title,
        license=document.license,
        description=document.description,
        items=sum(found["split"].values()),
        classes={str(label): items for label, items in sorted(found["class"].items())},
        splits=found["split"],
    )


_SQL = f"""
WITH found AS MATERIALIZED ({{rows}}),
classes AS (SELECT unnest(list_distinct("{_CLASSES}")) AS name FROM found)
SELECT kind, value, items FROM (
  SELECT 'class' AS kind, name AS value, count(*) AS items, 0 AS first FROM classes GROUP BY name
  UNION ALL
  SELECT 'split', "{_SPLIT}", count(*), min(row_) FROM found GROUP BY "{_SPLIT}"
) ORDER BY kind, first
"""
