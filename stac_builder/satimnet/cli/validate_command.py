"""``satimnet validate``: catalogs are checked."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import allow_outside, outside_option, quiet_option, schemas_option
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import fail_on, print_findings


@click.command(short_help="Check a catalog.")
@click.argument("catalog")
@click.option("--checksums", is_flag=True, help="Read every member and compare its checksum.")
@outside_option
@schemas_option
@quiet_option
@one_line_errors
def validate(catalog: str, checksums: bool, schemas: Path | None, quiet: bool) -> None:
    """Check CATALOG (path or URL): its schemas, links, byte ranges, shards and index."""
    from satimnet.builder.catalog.validation import validate as run

    with progress_bar(quiet) as progress:
        findings = run(
            catalog,
            schemas=schemas,
            checksums=checksums,
            allow_outside=allow_outside(),
            progress=progress,
        )
    if not quiet:
        print_findings(findings)
    fail_on(findings)
