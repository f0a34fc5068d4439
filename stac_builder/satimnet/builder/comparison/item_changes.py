"""Which Items differ between two collections: their numbers, compared by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from satimnet.builder.comparison.item_numbers import PROPERTY, Side, numbers_of
from satimnet.builder.errors import TooLargeError
from satimnet.builder.query.statements import quoted

if TYPE_CHECKING:
    import pyarrow as pa

_OF_CLASSES = ("satimnet:concepts", "themes")
"""Properties that follow from the classes: they count where those are the same."""


@dataclass(frozen=True)
class ItemChanges:
    """The Items that are not the same in both collections.

    The tables ``removed`` and ``added`` have the columns ``id`` and ``row_``, the number of the row
    in the file. ``changed`` has ``old_id``, ``old_row``, ``id``, ``row_``, and these which are true
    or false: ``relabelled``, ``pixels``, ``split``, ``properties``, ``moved``, ``unknown`` and
    ``property:<name>`` for each property.
    """

    old_items: int
    new_items: int
    removed: pa.Table
    added: pa.Table
    changed: pa.Table


def item_changes(old: Side, new: Side) -> ItemChanges:
    """Compares the Items of two collections.

    Datasets whose folders are their classes name a sample after its class. So images that are gone
    from one id and new at another, with the same checksums and other classes, are an Item that was
    relabelled, and none that was removed and one that was added.

    Raises:
        BadCatalogError: a collection has two Items with the same id, or one without.
        SatimnetError: a collection cannot be read.
    """
    import duckdb

    tables = numbers_of(old, new)
    names = [name for name in tables[0].column_names if name.startswith(PROPERTY)]
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.register("old", tables[0])
        connection.register("new", tables[1])
        try:
            connection.execute(_PAIRED)
            gone = connection.sql(_alone("gone", "old_row", "new_row")).to_arrow_table()
            come = connection.sql(_alone("come", "new_row", "old_row")).to_arrow_table()
            changed = connection.sql(_changed(names)).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise TooLargeError(
                f"{new.collection.parquet}: too many Items to compare in this memory; compare on "
                "a larger machine"
            ) from error
    return ItemChanges(len(tables[0]), len(tables[1]), gone, come, changed)


_PAIRED = """
CREATE TEMP TABLE repainted AS SELECT o.row_ AS old_row, n.row_ AS new_row
  FROM old o JOIN new n USING (id) WHERE o.pixels <> n.pixels AND o.known AND n.known;
CREATE TEMP TABLE gone AS
  SELECT *, row_number() OVER (PARTITION BY sure, pixels ORDER BY row_) AS nth
  FROM (
    SELECT id, row_, pixels, classes, images AND known AS sure, NULL AS same
      FROM old ANTI JOIN new USING (id)
    UNION ALL SELECT id, row_, pixels, classes, images, new_row
      FROM old JOIN repainted ON row_ = old_row
  );
CREATE TEMP TABLE come AS
  SELECT *, row_number() OVER (PARTITION BY sure, pixels ORDER BY row_) AS nth
  FROM (
    SELECT id, row_, pixels, classes, images AND known AS sure, NULL AS same
      FROM new ANTI JOIN old USING (id)
    UNION ALL SELECT id, row_, pixels, classes, images, old_row
      FROM new JOIN repainted ON row_ = new_row
  );
CREATE TEMP TABLE again AS SELECT gone.row_ AS old_row, come.row_ AS new_row
  FROM gone JOIN come USING (pixels, nth)
  WHERE gone.sure AND come.sure AND gone.classes <> come.classes;
"""
"""Tables of the Items whose images are not there any more under their ids (``gone``), or not yet
(``come``), of both with the row of the other side that has the same id, and of those that are there
under another id and class (``again``)."""


def _alone(side: str, own: str, other: str) -> str:
    """SQL for the Items that have no counterpart: where another took over the id, that is none."""
    return (
        f"SELECT id, row_ FROM {side} WHERE row_ NOT IN (SELECT {own} FROM again) "
        f"AND (same IS NULL OR same IN (SELECT {other} FROM again)) ORDER BY row_"
    )


def _changed(names: list[str]) -> str:
    """SQL for the Items of both collections that differ; ``names`` are columns of properties."""
    flags = {
        "unknown": "NOT (o.known AND n.known)",
        "relabelled": "o.words <> n.words OR (o.labels <> n.labels AND o.known AND n.known)",
        "pixels": "o.pixels <> n.pixels AND o.known AND n.known",
        "split": "o.split <> n.split",
    }
    for name in names:
        flags[name] = f"o.{quoted(name)} <> n.{quoted(name)}"
        if name.removeprefix(PROPERTY) in _OF_CLASSES:
            flags[name] += " AND o.words = n.words"
    flags["properties"] = " OR ".join(f"({flags[name]})" for name in names)
    differs = "relabelled OR pixels OR split OR properties"
    ids = "o.id AS old_id, o.row_ AS old_row, n.id, n.row_, o.place <> n.place AS elsewhere"
    columns = ", ".join(f"({text}) AS {quoted(name)}" for name, text in flags.items())
    pairs = (
        f"SELECT {ids}, {columns} FROM old o JOIN new n USING (id) "
        "WHERE o.row_ NOT IN (SELECT old_row FROM again) "
        "AND n.row_ NOT IN (SELECT new_row FROM again)",
        f"SELECT {ids}, {columns} FROM again JOIN old o ON o.row_ = old_row "
        "JOIN new n ON n.row_ = new_row",
    )
    return (
        f"SELECT * EXCLUDE (elsewhere), elsewhere AND NOT ({differs}) AS moved "
        f"FROM ({' UNION ALL '.join(pairs)}) "
        f"WHERE {differs} OR elsewhere OR unknown ORDER BY row_"
    )
