"""``satimnet demo``: miniature sources of all datasets, and a catalog of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER, quiet_option, schemas_option
from satimnet.cli.output import program, say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import fail_on, print_findings
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.demo import Demo


@click.command(short_help="Make a small catalog to try things with.")
@click.argument("folder", type=FOLDER)
@schemas_option
@quiet_option
@one_line_errors
def demo(folder: Path, schemas: Path | None, quiet: bool) -> None:
    """Make a small catalog to try things with, in FOLDER.

    The command makes up a miniature source of every dataset, in the layout of its publisher, then
    builds their catalog, checks it and searches it. Nothing is downloaded.
    """
    from satimnet.builder.demo import make_demo

    with progress_bar(quiet) as progress:
        made = make_demo(folder, schemas=schemas, progress=progress)
    if not quiet:
        _print_what_was_made(made)
        print_findings(made.findings)
        _print_what_to_try(made.catalog, folder / "run")
    fail_on(made.findings)


def _print_what_was_made(made: Demo) -> None:
    """How many items of which datasets, and where the faults of their sources are listed."""
    reports = sorted(made.reports, key=lambda report: -report.items)
    items = counted(sum(report.items for report in reports), "item")
    files = counted(sum(report.members for report in reports), "file")
    faults = sum(len(report.problems) for report in reports)
    say(f"{made.catalog}: {items} of {len(reports)} datasets in {files}, all with made-up pixels")
    click.echo("  " + ", ".join(f"{report.dataset} {report.items}" for report in reports))
    reported = made.catalog / "*" / "*" / "build-report.json"
    say(f"{faults} faults, put into the sources on purpose, are listed in {reported}")


def _print_what_to_try(catalog: Path, run: Path) -> None:
    """Where to go on: first something to look at."""
    from satimnet.builder.query.search import count

    said, found = program(), counted(count(catalog, concept="water", split="train"), "item")
    eurosat = json.loads((catalog / "eurosat" / "collection.json").read_bytes())
    sheet = catalog / "eurosat" / eurosat["assets"]["overview"]["href"]
    click.echo("Try next:")
    for line, what in (
        (f"{said} serve {catalog}", "the explorer: look at all of it in a browser"),
        (str(sheet), "a contact sheet; each collection has one"),
        (f"{said} search {catalog} --concept water --split train", f"finds {found}"),
        (
            f"{said} train {catalog} --collection eurosat --bands B04,B03,B02,B08 "
            f"--width 16 --epochs 20 --batch-size 16 --out {run}",
            "a network",
        ),
    ):
        say(f"  {line}  # {what}")
