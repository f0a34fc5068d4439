"""``satimnet export``: catalogs are described in the formats of others."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import ArgumentError
from satimnet.builder.exports import FORMATS, OBJECT_FORMATS
from satimnet.cli.options import (
    FOLDER,
    allow_outside,
    at,
    at_option,
    chosen_splits,
    outside_option,
    quiet_option,
    single_writer_option,
    splits_option,
)
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar


@click.command(short_help="Write a catalog in another format.")
@click.argument("catalog")
@click.option(
    "--format",
    "form",
    type=click.Choice((*FORMATS, *OBJECT_FORMATS)),
    required=True,
    help="What to write.",
)
@click.option(
    "--collection", "collections", multiple=True, help="Id of a collection; without it, all."
)
@click.option(
    "--out",
    type=FOLDER,
    show_default="the current one",
    help="Folder for the files; links in them are relative to it.",
)
@click.option(
    "--attach",
    is_flag=True,
    help="Instead of --out: write the files into the catalog, and publish versions of its "
    "collections that link them as assets.",
)
@click.option(
    "--base",
    metavar="URL|FOLDER",
    help="With gdal-parquet: where the catalog will lie when the file is used (https://, http://, "
    "s3://, gs://, az:// or a folder); without it, where it lies now.",
)
@outside_option
@at_option
@splits_option
@single_writer_option
@quiet_option
@one_line_errors
def export(
    catalog: str,
    form: str,
    collections: tuple[str, ...],
    out: Path | None,
    attach: bool,
    base: str | None,
    single_writer: bool,
    quiet: bool,
) -> None:
    """Describe CATALOG (path or URL) in a format that other programs read.

    croissant (MLCommons), trainingdml (OGC) and gdal-parquet (Items whose files GDAL, geopandas and
    odc-stac open) make a file for each collection; dcat, schema.org, bibtex, citation and sssom
    (classes, concepts and land-cover codes) make one for all. hugging-face makes a folder that
    `datasets` loads and that can be uploaded to the hub, images included. coco, yolo, yolo-obb
    (oriented boxes) and voc make a folder of images and objects for each collection of detection.
    The catalog itself does not change. --out may be a folder of the catalog, such as that of a
    collection, to publish the files along with it.
    """
    if attach:
        _attach(catalog, form, collections, out, base, single_writer, quiet)
        return
    from satimnet.builder.exports import export as run
    from satimnet.builder.query.index import Index

    with progress_bar(quiet) as progress:
        index = Index(catalog, allow_outside=allow_outside(), version=at(), splits=chosen_splits())
        chosen = collections or None
        written = run(index, form, out or Path(), collections=chosen, base=base, progress=progress)
    if not quiet:
        for path in written:
            say(path)


def _attach(
    catalog: str,
    form: str,
    collections: tuple[str, ...],
    out: Path | None,
    base: str | None,
    single_writer: bool,
    quiet: bool,
) -> None:
    from satimnet.builder.exports.attached_exports import attach_export

    if out is not None or at() or chosen_splits() or allow_outside():
        raise ArgumentError("attach: goes with --format, --collection and --base alone", "attach")
    with progress_bar(quiet) as progress:
        chosen = collections or None
        made = attach_export(
            catalog,
            form,
            collections=chosen,
            base=base,
            single_writer=single_writer,
            progress=progress,
        )
    for id_, version in made.items() if not quiet else ():
        click.echo(f"{id_}@{version} links it")
