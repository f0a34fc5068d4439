"""Which Items differ between two collections: their numbers, compared by id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from satimnet.builder.errors import TooLargeError
from satimnet.builder.query.statements import quoted
from satimnet.builder.versions.item_numbers import PROPERTY, Side, numbers_of

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

    An Item that is gone and one that is new are one Item that was relabelled if all their images
    have the same checksums and their classes differ: datasets whose folders are their classes name
    a sample after its class.

    Raises:
        BadCatalogError: a collection has two Items with the same id, or one without.
        SatimnetError: a collection cannot be read.
    """
    import duckdb

    tables = numbers_of(old, new)
    names = [name for name in tables[0].column_names if name.startswith(PROPERTY)]
    closed = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    with duckdb.connect(config=closed | {"enable_external_access": "false"}) as connection:
        connection.register("old", tables[0])
        connection.register("new", tables[1])
        try:
            connection.execute(_PAIRED)
            gone, come = (
                connection.sql(
                    f"SELECT id, row_ FROM {side} WHERE row_ NOT IN (SELECT {row} FROM again) "
                    "ORDER BY row_"
                ).to_arrow_table()
                for side, row in (("gone", "old_row"), ("come", "new_row"))
            )
            changed = connection.sql(_changed(names)).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise TooLargeError(
                f"{new.collection.parquet}: too many Items to compare in this memory; compare on "
                "a larger machine"
            ) from error
    return ItemChanges(len(tables[0]), len(tables[1]), gone, come, changed)


_PAIRED = """
CREATE TEMP TABLE gone AS SELECT id, row_, pixels, classes, images AND known AS sure
  FROM old ANTI JOIN new USING (id);
CREATE TEMP TABLE come AS SELECT id, row_, pixels, classes, images AND known AS sure
  FROM new ANTI JOIN old USING (id);
CREATE TEMP TABLE again AS SELECT o.row_ AS old_row, n.row_ AS new_row
  FROM (SELECT *, row_number() OVER (PARTITION BY pixels ORDER BY row_) AS nth FROM gone WHERE sure) o
  JOIN (SELECT *, row_number() OVER (PARTITION BY pixels ORDER BY row_) AS nth FROM come WHERE sure) n
  USING (pixels, nth) WHERE o.classes <> n.classes;
"""


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
        f"SELECT {ids}, {columns} FROM old o JOIN new n USING (id)",
        f"SELECT {ids}, {columns} FROM again JOIN old o ON o.row_ = old_row "
        "JOIN new n ON n.row_ = new_row",
    )
    return (
        f"SELECT * EXCLUDE (elsewhere), elsewhere AND NOT ({differs}) AS moved "
        f"FROM ({' UNION ALL '.join(pairs)}) "
        f"WHERE {differs} OR elsewhere OR unknown ORDER BY row_"
    )
