"""Pixels and labels are looked at: ``stac satimnet quality``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.cli.options import FOLDER, allow_outside, outside_option, quiet_option
from satimnet.cli.output import cell
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.quality.report_files import Report

_WIDEST = 120  # characters of a finding that are printed
_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


@click.command()
@click.argument("catalog")
@click.option(
    "--out",
    type=FOLDER,
    default=Path("quality"),
    show_default=True,
    help="Folder of the report; an earlier report there is replaced.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info"]),
    help="Exit with an error if there is a finding of this severity or a graver one.",
)
@click.option(
    "--scheduler",
    default="processes",
    show_default=True,
    help="threads, processes, or tcp://… of a dask cluster that sees the same files.",
)
@outside_option
@quiet_option
@one_line_errors
def quality(catalog: str, out: Path, fail_on: str | None, scheduler: str, quiet: bool) -> None:
    """Read all pixels and labels of CATALOG, on disk, and report what is wrong with them.

    Unreadable files, images that are not as described, empty and unusual ones, duplicates and
    near-duplicates, splits that share ground, labels that contradict each other, unbalanced
    classes: as report.html with pictures, report.md and report.json, findings.ndjson with every
    finding and items.parquet with the figures of every item.
    """
    from satimnet.builder.quality import assess
    from satimnet.builder.quality.findings import SEVERITIES

    if scheduler not in ("threads", "processes") and "://" not in scheduler:
        raise click.UsageError("--scheduler is threads, processes or an address such as tcp://…")
    with progress_bar(quiet) as progress:
        report = assess(
            catalog, out, scheduler=scheduler, allow_outside=allow_outside(), progress=progress
        )
    if not quiet:
        _print(report)
        click.echo(f"{out / 'report.html'} shows all of it")
    if fail_on is not None:
        grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        number = sum(map(report.count, grave))
        if number:
            raise SatimnetError(f"{counted(number, 'finding')} of {' or '.join(grave)}, see {out}")


def _print(report: Report) -> None:
    """A line for each check that found something, with the first of its findings."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from satimnet.builder.quality.findings import CHECKS

    click.echo(f"Read {counted(report.items, 'item')}")
    table = Table("severity", box=None)
    table.add_column("check", no_wrap=True)
    table.add_column("findings", justify="right")
    table.add_column("the first")
    for name, check in CHECKS.items():
        found = report.of(name)
        if found:
            items = report.items_of(found[0])[:2]
            where = ", ".join(f"{item['collection']}/{item['id']}" for item in items)
            where = where or ", ".join(found[0].collections)
            severity = Text(check.severity, _COLOURS[check.severity])
            first = cell(f"{where}: {found[0].message}")
            first.truncate(_WIDEST, overflow="ellipsis")
            table.add_row(severity, check.title, f"{len(found):,}", first)
    if table.row_count:
        Console().print(table)
    else:
        click.echo("Nothing was found.")
