"""Datasets are downloaded: ``stac satimnet download``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.cli.options import FOLDER, quiet_option
from satimnet.cli.output import program
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.transfer.published_files import Downloads


@click.command()
@click.argument("dataset")
@click.option("--out", type=FOLDER, help="The folder for the files; DATASET without it.")
@click.option("--list", "only_list", is_flag=True, help="Only say what would be downloaded.")
@quiet_option
@one_line_errors
def download(dataset: str, out: Path | None, only_list: bool, quiet: bool) -> None:
    """Download DATASET from its publisher, or say what is to be done by hand.

    Files are checked against what the publisher says of them. A download that was interrupted goes
    on when the same command is given again.
    """
    from satimnet.builder.datasets import installed
    from satimnet.builder.exports.citations import licence
    from satimnet.builder.transfer.published_files import downloads_of
    from satimnet.builder.transfer.resumable import fetch

    known = installed()
    if dataset not in known:
        raise SatimnetError(f"no dataset {dataset!r}; there are {', '.join(sorted(known))}")
    record = known[dataset].record
    downloads = downloads_of(record)
    folder = out or Path(dataset)
    if only_list:
        _print_files(downloads)
    else:
        if not quiet and downloads.files:
            click.echo(f"{record.title}, licence: {licence(record)}")
        with progress_bar(quiet) as progress:
            for file in downloads.files:
                path = fetch(file, folder, progress=progress)
                if not quiet:
                    how = "checked" if file.checksum else "no checksum is known"
                    click.echo(f"{path} is complete, {how}")
    for step in downloads.steps:
        click.echo(f"By hand: {step}")
    if not downloads.files and not only_list:
        raise SatimnetError(f"{dataset}: its publisher allows no download by a program")
    if not quiet and not only_list:
        click.echo(f"Then: {program()} build {folder} --out catalog")


def _print_files(downloads: Downloads) -> None:
    for file in downloads.files:
        size = counted(file.size, "byte") if file.size else "size not known"
        click.echo(f"{file.url}\n  {size}, {file.checksum or 'checksum not known'}")
