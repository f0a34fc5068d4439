"""``satimnet copy``: catalogs are copied."""

from __future__ import annotations

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    WRITABLE,
    allow_outside,
    outside_option,
    quiet_option,
    single_writer_option,
)
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted


@click.command(short_help="Copy a catalog.")
@click.argument("catalog")
@click.argument("destination", type=WRITABLE)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Id of a collection to copy; without it, all.",
)
@outside_option
@single_writer_option
@quiet_option
@one_line_errors
def copy(
    catalog: str,
    destination: str,
    collections: tuple[str, ...],
    single_writer: bool,
    quiet: bool,
) -> None:
    """Copy CATALOG (path or URL), or some of its collections, to DESTINATION.

    DESTINATION is a folder or a place in an object store: s3://, gs:// or az://BUCKET/PATH. If it
    is a catalog already, the collections are added to it. A collection that it has in another
    version gets that of CATALOG as its current one, and the others are kept (satimnet versions).

    Each shard is copied once, and all links stay as they are; of a collection the current version
    is copied. If the copy is interrupted, give the same command again: it goes on.
    """
    from satimnet.builder.transfer.mirror import copy_catalog

    with progress_bar(quiet) as progress:
        copied = copy_catalog(
            catalog,
            destination,
            collections=collections or None,
            allow_outside=allow_outside(),
            single_writer=single_writer,
            progress=progress,
        )
    if quiet:
        return
    for link in copied.left[:10]:
        say(f"not copied: {link}")
    if copied.left_count > 10:
        click.echo(f"not copied: {counted(copied.left_count - 10, 'more link')}")
    for id_ in copied.there:
        say(f"{id_}: this version is there already")
    if new := [id_ for id_ in copied.collections if id_ not in copied.there]:
        files, size = counted(copied.files, "file"), copied.size / 2**20
        say(f"{', '.join(new)}: {files}, {size:,.1f} MiB")
    click.echo(f"{destination.rstrip('/')}/catalog.json is ready")
