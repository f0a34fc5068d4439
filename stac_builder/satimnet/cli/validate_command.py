"""Catalogs are checked: ``stac satimnet validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.hrefs import is_url, on_disk
from satimnet.cli.options import allow_outside, outside_option, quiet_option, schemas_option
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.catalog.validation import Findings


@click.command()
@click.argument("catalog")
@click.option("--checksums", is_flag=True, help="Read every member and compare its checksum.")
@outside_option
@schemas_option
@quiet_option
@one_line_errors
def validate(catalog: str, checksums: bool, schemas: Path | None, quiet: bool) -> None:
    """Check CATALOG, on disk, against its schemas, links, byte ranges and index."""
    from satimnet.builder.catalog.validation import validate as run

    if is_url(catalog):
        raise SatimnetError(f"{catalog}: only catalogs on disk are checked; copy it here first")
    folder = on_disk(catalog)
    with progress_bar(quiet) as progress:
        findings = run(
            folder,
            schemas=schemas,
            checksums=checksums,
            allow_outside=allow_outside(),
            progress=progress,
        )
    if not quiet:
        print_findings(findings)
    fail_on(findings)


def print_findings(findings: Findings) -> None:
    """Prints what was checked and how many problems there are; what was not, on stderr."""
    objects = findings.objects
    items = counted(objects["Feature"], "item")
    collections = counted(objects["Collection"], "collection")
    catalogs = counted(objects["Catalog"], "catalog")
    schemas = counted(len(findings.checked), "schema")
    members = counted(findings.members, "member")
    click.echo(
        f"Checked {items}, {collections} and {catalogs} against {schemas}"
        + (f", {members} against their checksums" if findings.members else "")
        + f": {counted(findings.count, 'problem') if findings.count else 'no problems'}"
    )
    if findings.elsewhere:
        click.echo(
            f"NOT checked, as the catalog leaves them where they are, at URLs: "
            f"{counted(findings.elsewhere, 'member')}",
            err=True,
        )
    for path in findings.leftovers:
        click.echo(
            f"{path}: no part of the catalog, left by a run that was killed or still works; "
            "give the same command again, or remove it",
            err=True,
        )
    if findings.unavailable:
        say(
            "NOT checked, for want of a schema (give --schemas or a network): "
            + ", ".join("/".join(uri.split("/")[-3:-2]) or uri for uri in findings.unavailable),
            err=True,
        )


def fail_on(findings: Findings) -> None:
    """Ends the command with an error if there is any problem; lists the first twenty."""
    if findings.count:
        for problem in findings.problems[:20]:
            say(problem, err=True)
        raise SatimnetError(
            f"{counted(findings.count, 'problem')}, the first: {findings.problems[0]}"
        )
