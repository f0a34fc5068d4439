"""The tables of the paper for a catalog, printed: ``satimnet info --attributes``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from satimnet.builder.exports.paper_tables import AttributeTable, as_json, as_markdown, tables
from satimnet.cli.output import cell, say, say_json

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index


def print_attributes(index: Index, form: str) -> None:
    """Prints the tables of all collections; ``form`` is table, markdown or json."""
    made = tables([collection.document for collection in index.collections.values()])
    if form == "json":
        say_json(as_json(made))
    elif form == "markdown":
        say(as_markdown(made).removesuffix("\n"))
    else:
        for table in made:
            _print_table(table)


def _print_table(table: AttributeTable) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows, remarks = table.printed()
    grid = Table(title=cell(table.title), box=box.SIMPLE_HEAD)
    for column in ("", *table.columns):
        grid.add_column(cell(column), overflow="fold")
    for name, *cells in rows:
        grid.add_row(cell(name, "bold"), *map(cell, cells))
    console = Console(width=None if sys.stdout.isatty() else max(100, 24 * (1 + len(grid.columns))))
    console.print(grid)
    for remark in remarks:
        console.print(cell(remark, "dim"), soft_wrap=not sys.stdout.isatty())
    console.print()
