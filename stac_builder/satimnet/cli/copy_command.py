"""``satimnet copy``: catalogs are copied."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER, allow_outside, outside_option, quiet_option
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted


@click.command(short_help="Copy a catalog.")
@click.argument("catalog")
@click.argument("destination", type=FOLDER)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Id of a collection to copy; without it, all.",
)
@outside_option
@quiet_option
@one_line_errors
def copy(catalog: str, destination: Path, collections: tuple[str, ...], quiet: bool) -> None:
    """Copy CATALOG (path or URL), or some of its collections, to the folder DESTINATION.

    Each shard is copied once, and all links stay as they are. If DESTINATION is a catalog already,
    the collections are added to it. If the copy is interrupted, give the same command again: it
    goes on.
    """
    from satimnet.builder.transfer.mirror import copy_catalog

    with progress_bar(quiet) as progress:
        copied = copy_catalog(
            catalog,
            destination,
            collections=collections or None,
            allow_outside=allow_outside(),
            progress=progress,
        )
    if quiet:
        return
    for link in copied.left[:10]:
        say(f"not copied: {link}")
    if copied.left_count > 10:
        click.echo(f"not copied: {counted(copied.left_count - 10, 'more link')}")
    files, size = counted(copied.files, "file"), copied.size / 2**20
    say(f"{', '.join(copied.collections)}: {files}, {size:,.1f} MiB")
    click.echo(f"{destination / 'catalog.json'} is ready")
