"""``satimnet diff``: what differs between two versions of a catalog or a collection."""

from __future__ import annotations

import sys

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import allow_outside, outside_option, quiet_option
from satimnet.cli.output import say, say_json
from satimnet.cli.progress_bars import progress_bar


@click.command(short_help="Show what differs between two versions of a catalog.")
@click.argument("old")
@click.argument("new", required=False)
@click.option(
    "--from",
    "old_version",
    multiple=True,
    metavar="VERSION",
    help="The version of a collection of OLD, as satimnet versions lists it.",
)
@click.option(
    "--to",
    "new_version",
    multiple=True,
    metavar="VERSION",
    help="The version of a collection of NEW; without it, the current one.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="How to print the differences.",
)
@click.option(
    "--most",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many ids and fields of each kind of change to print; all are counted.",
)
@click.option("--exit-code", is_flag=True, help="End with exit code 1 if anything differs.")
@outside_option
@quiet_option
@one_line_errors
def diff(
    old: str,
    new: str | None,
    old_version: tuple[str, ...],
    new_version: tuple[str, ...],
    form: str,
    most: int,
    exit_code: bool,
    quiet: bool,
) -> None:
    """Show what differs between OLD and NEW, two catalogs or two versions of a collection.

    Without NEW, two versions in one catalog are compared: --from the one, --to the other. Each is
    the path or URL of a catalog or of a collection.json. Of two catalogs, all collections with
    equal ids are compared.

    Items are compared by id: those added, removed and relabelled, and those with other pixels,
    another split or other properties. Only the indexes are read; pixels and masks are compared by
    their checksums. A member that lies elsewhere with the same content is no difference.
    """
    from satimnet.builder.comparison.change_reports import as_json, as_markdown, as_text
    from satimnet.builder.comparison.comparing import diff as run

    if new is None and not (old_version or new_version):
        raise click.UsageError("give NEW, or the version of OLD to compare --from")
    with progress_bar(quiet) as progress:
        found = run(
            old,
            old if new is None else new,
            old_version=old_version or None,
            new_version=new_version or None,
            most=most,
            allow_outside=allow_outside(),
            progress=progress,
        )
    if form == "json":
        say_json(as_json(found, most))
    else:
        say((as_markdown if form == "markdown" else as_text)(found, most))
    if exit_code and found.differs:
        sys.exit(1)
