"""``satimnet quality``: pixels and labels are checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import ArgumentError, BadCatalogError
from satimnet.builder.storage.stores import is_url, shown
from satimnet.cli.options import (
    FOLDER,
    NAMES,
    allow_outside,
    at,
    at_option,
    chosen_splits,
    measuring_option,
    outside_option,
    quiet_option,
    single_writer_option,
    splits_option,
)
from satimnet.cli.output import cell
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.quality.report_files import Report

_WIDEST = 120  # characters of a finding that are printed
_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


@click.command(short_help="Report what is wrong with pixels and labels.")
@click.argument("catalog")
@click.option(
    "--out",
    type=FOLDER,
    show_default="quality, for a catalog on disk",
    help="Folder on this machine for the report; an earlier report there is replaced.",
)
@click.option(
    "--attach",
    metavar="COLLECTION",
    help="Instead of --out: judge this collection by itself, write the report into the catalog, "
    "and publish a version of the collection that links it as assets.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info"]),
    help="End with an error if there is a finding of this severity or a graver one.",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="SCENE",
    help="Compare the bands of collections with those of a scene: a Sentinel-2 product (its .SAFE "
    "folder) or any raster that GDAL reads. Give the option again for further scenes.",
)
@click.option(
    "--bands",
    type=NAMES,
    help="Names of the bands of --compare, if it does not say: B02,B03,B04,B08.",
)
@click.option(
    "--offset",
    default=0.0,
    help="A number to add to the values of --compare: -1000 if it was cut from a product of "
    "processing baseline 04.00 or later.",
)
@measuring_option
@outside_option
@at_option
@splits_option
@single_writer_option
@quiet_option
@one_line_errors
def quality(
    catalog: str,
    out: Path | None,
    attach: str | None,
    fail_on: str | None,
    compare: tuple[str, ...],
    bands: list[str] | None,
    offset: float,
    scheduler: str,
    single_writer: bool,
    quiet: bool,
) -> None:
    """Read all pixels and labels of CATALOG (path or URL), and report what is wrong.

    It looks for unreadable files, images that are not as described, empty and unusual images,
    duplicates and near-duplicates, splits that share ground, labels that contradict each other,
    unbalanced classes, and bands with other values in another collection of the same satellite.

    The folder --out gets report.html with pictures, report.md, report.json, findings.ndjson with
    every finding, and items.parquet with the measurements of every item.
    """
    from satimnet.builder.quality import assess
    from satimnet.builder.quality.findings import SEVERITIES

    how: dict[str, Any] = {"scheduler": scheduler, "compare": compare}
    how |= {"bands": bands, "offset": offset}
    if attach is not None:
        how["single_writer"] = single_writer
        where, report = _attached(catalog, attach, out, how, quiet)
    else:
        folder = _folder(catalog) if out is None else out
        with progress_bar(quiet) as progress:
            report = assess(
                catalog,
                folder,
                **how,
                allow_outside=allow_outside(),
                version=at(),
                splits=chosen_splits(),
                progress=progress,
            )
        where = str(folder / "report.html")
    if not quiet:
        _print(report)
        click.echo(f"{where} shows all of it")
    if fail_on is not None:
        grave = SEVERITIES[: SEVERITIES.index(fail_on) + 1]
        number = sum(map(report.count, grave))
        if number:
            raise BadCatalogError(
                f"{counted(number, 'finding')} of {' or '.join(grave)}, see {where}"
            )


def _folder(catalog: str) -> Path:
    if is_url(catalog):
        raise ArgumentError(
            f"{shown(catalog)}: is not on this machine, where the report is written; "
            "give --out FOLDER",
            "catalog",
        )
    return Path("quality")


def _attached(
    catalog: str, id_: str, out: Path | None, how: dict[str, Any], quiet: bool
) -> tuple[str, Report]:
    """Where the report of a collection lies that is attached to it, and the report."""
    from satimnet.builder.quality.attached_reports import attach_report

    if out is not None or at() or chosen_splits() or allow_outside():
        raise ArgumentError("attach: goes without --out, --at, --splits and --allow-outside")
    with progress_bar(quiet) as progress:
        report, version = attach_report(catalog, id_, progress=progress, **how)
    return f"quality-report of {id_}@{version}", report


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
