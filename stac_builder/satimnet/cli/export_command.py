"""Catalogs are told in other languages: ``stac satimnet export``."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.exports import FORMATS
from satimnet.cli.options import FOLDER, allow_outside, outside_option, quiet_option
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar


@click.command()
@click.argument("catalog")
@click.option("--format", "form", type=click.Choice(FORMATS), required=True)
@click.option("--collection", "collections", multiple=True, help="Id of a collection; else all.")
@click.option(
    "--out",
    type=FOLDER,
    default=Path(),
    show_default="the current one",
    help="The folder for the files; links in them are relative to it.",
)
@outside_option
@quiet_option
@one_line_errors
def export(catalog: str, form: str, collections: tuple[str, ...], out: Path, quiet: bool) -> None:
    """Describe CATALOG (path or URL) in a format that others read.

    croissant (MLCommons) and trainingdml (OGC) make a file for each collection, dcat, schema.org,
    bibtex and citation one for all. The catalog itself is not changed; --out may be a folder of it,
    such as that of a collection, to publish the files along with it.
    """
    from satimnet.builder.exports import export as run
    from satimnet.builder.query.index import Index

    with progress_bar(quiet) as progress:
        index = Index(catalog, allow_outside=allow_outside())
        written = run(index, form, out, collections=collections or None, progress=progress)
    if not quiet:
        for path in written:
            say(path)
