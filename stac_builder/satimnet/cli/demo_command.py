"""``satimnet demo``: miniature sources of all datasets, and a catalog of them."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER, quiet_option, schemas_option
from satimnet.cli.output import program
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import fail_on, print_findings, print_reports
from satimnet.cli.wording import counted


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
    from satimnet.builder.query.search import count

    with progress_bar(quiet) as progress:
        made = make_demo(folder, schemas=schemas, progress=progress)
    if not quiet:
        print_reports(made.reports)
        print_findings(made.findings)
        found = counted(count(made.catalog, concept="building"), "item")
        click.echo(f"A search for the concept building finds {found}. Try next:\n")
        for line in (
            f"info {made.catalog}",
            f"search {made.catalog} --concept water",
            f"concepts ship --catalog {made.catalog}",
            f"fuse demo {made.catalog}",
            f"train {made.catalog} --collection eurosat --bands B04,B03,B02,B08 "
            f"--width 16 --epochs 20 --batch-size 16 --out {folder / 'run'}",
        ):
            click.echo(f"  {program()} {line}")
    fail_on(made.findings)
