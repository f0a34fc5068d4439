"""``satimnet prune``: what no kept version of a catalog needs is removed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import WRITABLE, quiet_option
from satimnet.cli.progress_bars import progress_bar

if TYPE_CHECKING:
    from click import Context, Parameter

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(context: Context, _: Parameter, value: Any) -> float:
    """Seconds, of words such as ``36h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(value))
    if match is None:
        raise click.UsageError(f"--older-than {value}: give a time such as 36h or 7d", context)
    return float(match[1]) * _SECONDS[match[2] or "s"]


@click.command(short_help="Remove old versions of a catalog, and what killed runs left.")
@click.argument("catalog", type=WRITABLE)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Keep so many versions of each collection; without it, all.",
)
@click.option(
    "--older-than",
    default="1d",
    show_default=True,
    callback=_duration,
    help="Leave what was written later, and no version needs: a build may be about to use it.",
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; only say what would be removed.")
@quiet_option
@one_line_errors
def prune(catalog: str, keep: int | None, older_than: float, dry_run: bool, quiet: bool) -> None:
    """Remove what no kept version of CATALOG needs: a folder, or s3://, gs://, az://.

    These are versions beyond --keep, shards that only they have, and what runs left that were
    killed. Files that satimnet did not write stay.
    """
    from satimnet.builder.publishing.pruning import prune as run

    with progress_bar(quiet) as progress:
        done = run(catalog, keep=keep, older_than=older_than, dry_run=dry_run, progress=progress)
    verb = "would remove" if dry_run else "removed"
    for version in done.versions:
        click.echo(f"{verb} the version {version}")
    count = len(done.files)
    click.echo(f"{verb} {count:,} file{'' if count == 1 else 's'}, {done.size / 2**20:,.1f} MiB")
