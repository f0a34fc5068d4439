"""``satimnet browser``: STAC Browser is built."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER, quiet_option
from satimnet.cli.progress_bars import progress_bar


@click.command(short_help="Build STAC Browser, once, with npm.")
@click.option("--out", type=FOLDER, help="Copy STAC Browser to this new folder, for a static host.")
@click.option(
    "--catalog",
    default="../catalog.json",
    show_default=True,
    help="With --out: URL of the catalog to show; it may be relative to the folder, or s3://, "
    "gs:// or az:// of one that everybody may read.",
)
@quiet_option
@one_line_errors
def browser(out: Path | None, catalog: str, quiet: bool) -> None:
    """Build STAC Browser, set up for the fields of these catalogs.

    It needs npm and a few minutes, once. Then `serve` shows it.
    """
    from satimnet.builder.server.browser import build, install

    with progress_bar(quiet) as progress:
        if out is None:
            folder = build(progress)
        else:
            install(out, catalog, progress)
            folder = out
    if not quiet:
        click.echo(f"{folder} is ready")
