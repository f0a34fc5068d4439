"""``satimnet download``: datasets come from their publishers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import NotFoundError
from satimnet.cli.options import FOLDER, quiet_option
from satimnet.cli.output import program
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.transfer.published_files import Downloads


@click.command(short_help="Download a dataset from its publisher.")
@click.argument("dataset")
@click.option("--out", type=FOLDER, help="Folder for the files; without it, one named DATASET.")
@click.option("--list", "only_list", is_flag=True, help="Only list the files; download nothing.")
@quiet_option
@one_line_errors
def download(dataset: str, out: Path | None, only_list: bool, quiet: bool) -> None:
    """Download DATASET from its publisher, or say what you have to do by hand.

    Each file is compared with the size and checksum that the publisher gives, if any. If the
    download is interrupted, give the same command again: it goes on.
    """
    from satimnet.builder.datasets import installed
    from satimnet.builder.exports.citations import licence
    from satimnet.builder.transfer.published_files import downloads_of
    from satimnet.builder.transfer.resumable import fetch

    known = installed()
    if dataset not in known:
        raise NotFoundError(f"no dataset {dataset!r}; there are {', '.join(sorted(known))}")
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
        raise NotFoundError(f"{dataset}: its publisher allows no download by a program")
    if not quiet and not only_list:
        click.echo(f"Then: {program()} build {folder} --out catalog")


def _print_files(downloads: Downloads) -> None:
    for file in downloads.files:
        size = counted(file.size, "byte") if file.size else "size not known"
        click.echo(f"{file.url}\n  {size}, {file.checksum or 'checksum not known'}")
