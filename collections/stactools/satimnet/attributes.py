"""The paper's tables of a catalog, printed: ``stac satimnet info --attributes``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from satimnet.builder.attributes import Table, as_json, as_markdown, tables

if TYPE_CHECKING:
    from satimnet.builder.index import Index


def print_attributes(index: Index, form: str) -> None:
    """Prints the three tables of all collections; ``form`` is table, markdown or json."""
    made = tables([collection.document for collection in index.collections.values()])
    if form == "json":
        click.echo(json.dumps(as_json(made), indent=2, ensure_ascii=False))
    elif form == "markdown":
        click.echo(as_markdown(made), nl=False)
    else:
        for table in made:
            _print_table(table)


def _print_table(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    # What a catalog says is text, not markup.
    rows, remarks = table.printed()
    grid = Grid(title=Text(table.title), box=box.SIMPLE_HEAD)
    for column in ("", *table.columns):
        grid.add_column(Text(column), overflow="fold")
    for name, *cells in rows:
        grid.add_row(Text(name, style="bold"), *map(Text, cells))
    console = Console(width=None if sys.stdout.isatty() else max(100, 24 * (1 + len(grid.columns))))
    console.print(grid)
    for remark in remarks:
        console.print(Text(remark, style="dim"), soft_wrap=not sys.stdout.isatty())
    console.print()
