"""``satimnet explorer``: what the page needs to show a catalog, and the page itself."""

from __future__ import annotations

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    WRITABLE,
    allow_outside,
    outside_option,
    quiet_option,
    scheduler_option,
)
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted


@click.command(short_help="Write what the explorer shows, and the page itself.")
@click.argument("catalog")
@click.option("--index", is_flag=True, help="Only write the columns that the page reads.")
@click.option(
    "--out",
    type=WRITABLE,
    help="Only write the page, into this folder or prefix of an object store.",
)
@click.option(
    "--collection", "collections", multiple=True, help="Id of a collection; without it, all."
)
@scheduler_option
@outside_option
@quiet_option
@one_line_errors
def explorer(
    catalog: str,
    index: bool,
    out: str | None,
    collections: tuple[str, ...],
    scheduler: str,
    quiet: bool,
) -> None:
    """Write what the explorer shows of CATALOG: columns of numbers, and small previews.

    `satimnet build` has written the columns; previews of what a browser cannot show are drawn here.
    With --out the page is written, which opens CATALOG. `satimnet serve` shows it at /explore/.
    """
    from satimnet.builder.explorer.explorer_files import index_catalog
    from satimnet.builder.explorer.page_files import write_page
    from satimnet.builder.explorer.preview_shards import draw_previews

    if index or out is None:
        wanted = list(collections) or None
        with progress_bar(quiet) as progress:
            if index:
                found = index_catalog(
                    catalog,
                    collections=wanted,
                    allow_outside=allow_outside(),
                    progress=progress,
                )
            else:
                found = draw_previews(
                    catalog,
                    collections=wanted,
                    scheduler=scheduler,
                    allow_outside=allow_outside(),
                    progress=progress,
                )
        for one in found:
            drawn = f", {counted(one.previews, 'preview')}" if one.previews else ""
            say(f"{one.collection}: {counted(one.items, 'item')} in {one.size:,} bytes{drawn}")
    if out is not None:
        say(f"{write_page(out, catalog)} is ready")
