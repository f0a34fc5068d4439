"""``satimnet versions``: which versions of its collections a catalog keeps."""

from __future__ import annotations

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.output import cell


@click.command(short_help="List the versions of the collections of a catalog.")
@click.argument("catalog")
@click.option("--collection", help="Only the versions of this collection.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print them.",
)
@one_line_errors
def versions(catalog: str, collection: str | None, form: str) -> None:
    """List the versions of the collections of CATALOG (path or URL), the oldest first.

    Each build of other content makes a new version; the old ones can still be opened
    (open(…, version=…) in Python) and compared (satimnet diff), until satimnet prune removes them.
    """
    from satimnet.builder.publishing.versions import versions as find

    found = find(catalog, collection=collection)
    if form == "json":
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(version) for version in found], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    if not found:
        click.echo("no versions are kept: satimnet 0.1 or 0.2 built this catalog")
        return
    table = Table("collection", "version", "published", "")
    for one in found:
        current = "current" if one.current else ""
        table.add_row(cell(one.collection), cell(one.name), one.published or "?", current)
    Console().print(table)
