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
    "--report",
    metavar="FOLDER",
    help="Only show what this report of satimnet quality found; near-duplicates side by side.",
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
    report: str | None,
    collections: tuple[str, ...],
    scheduler: str,
    quiet: bool,
) -> None:
    """Write what the explorer shows of CATALOG: columns of numbers, and small previews.

    `satimnet build` has written the columns; previews of what a browser cannot show are drawn here.
    With --out the page is written, which opens CATALOG. `satimnet serve` shows it at /explore/.
    With --report the page also tells what `satimnet quality` found.
    """
    from satimnet.builder.explorer.explorer_files import index_catalog
    from satimnet.builder.explorer.page_files import write_page
    from satimnet.builder.explorer.preview_shards import draw_previews

    if index or (out is None and report is None):
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
    if report is not None:
        _tell_findings(catalog, report, collections, quiet)
    if out is not None:
        say(f"{write_page(out, catalog)} is ready")


def _tell_findings(catalog: str, report: str, collections: tuple[str, ...], quiet: bool) -> None:
    """Puts findings where the page shows them, and says of each collection how many there are."""
    from satimnet.builder.explorer.report_findings import show_findings

    with progress_bar(quiet) as progress:
        found = show_findings(
            catalog,
            report,
            collections=list(collections) or None,
            allow_outside=allow_outside(),
            progress=progress,
        )
    for one in found:
        words = f"{counted(one.findings, 'finding')} of {counted(one.items, 'item')}"
        if one.left_out:
            words += f", {one.left_out:,} more are only in the report"
        if one.unknown:
            words += f", {one.unknown:,} about items that the collection does not have"
        say(f"{one.collection}: {words}")
