"""Training sets are fused: ``stac satimnet fuse``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.storage.hrefs import on_disk
from satimnet.cli.build_command import print_reports
from satimnet.cli.options import FOLDER, allow_outside, outside_option, quiet_option
from satimnet.cli.output import cell
from satimnet.cli.progress_bars import progress_bar

if TYPE_CHECKING:
    from satimnet.training.fusion.fuse import Fused
    from satimnet.training.fusion.recipes import Recipe


@click.command()
@click.argument("recipe")
@click.argument("catalog")
@click.option("--out", type=FOLDER, help="The catalog to make or to add to; CATALOG without it.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME=PATH",
    help="Raster, VRT or folder of tiles of a mask layer of the recipe.",
)
@click.option("--without-masks", is_flag=True, help="Make no masks.")
@click.option(
    "--available", is_flag=True, help="Take what is there where the recipe wants more samples."
)
@click.option(
    "--scheduler",
    default="processes",
    show_default=True,
    help="threads, processes, or tcp://… of a dask cluster that sees the same files.",
)
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken images.")
@outside_option
@quiet_option
@one_line_errors
def fuse(
    recipe: str,
    catalog: str,
    out: Path | None,
    layers: tuple[str, ...],
    without_masks: bool,
    available: bool,
    scheduler: str,
    keep_going: bool,
    quiet: bool,
) -> None:
    """Make a training set out of collections of CATALOG (path or URL), as RECIPE says.

    RECIPE is a TOML file or the name of one that comes along: paper (EuroSAT enriched with
    BigEarthNet, Section 3 of the SatImNet paper) or demo (for the catalog of the
    command demo).
    The set is a collection of its own, with links to what each sample was made of. The same recipe
    and the same catalog give the same bytes. A fusion that was interrupted goes on when the same
    command is given again.
    """
    from satimnet.training.fusion.fuse import fuse as run
    from satimnet.training.fusion.recipes import read_recipe

    if without_masks and layers:
        raise click.UsageError("--without-masks and --layer exclude each other")
    if scheduler not in ("threads", "processes") and "://" not in scheduler:
        raise click.UsageError("--scheduler is threads, processes or an address such as tcp://…")
    named: dict[str, Path] = {}
    for assignment in layers:
        name, equals, path = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"--layer {assignment}: give NAME=PATH")
        named[name] = on_disk(path)
    read = read_recipe(recipe)
    with progress_bar(quiet) as progress:
        fused = run(
            read,
            catalog,
            out,
            layers=None if without_masks else named,
            available=available,
            allow_outside=allow_outside(),
            scheduler=scheduler,
            bad_files="any" if keep_going else "few",
            progress=progress,
        )
    if not quiet:
        _print_draws(read, fused)
        print_reports([fused.report])
        click.echo(f"{fused.catalog / read.id / 'collection.json'} is ready")


def _print_draws(recipe: Recipe, fused: Fused) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("drawn from", "to", "drawn", "of", box=None)
    for one in fused.drawn:
        to = one.draw.to or "its own class"
        drawn = f"{len(one.table):,}"
        table.add_row(cell(one.draw.label), cell(to), drawn, f"{one.found:,}")
    Console().print(table)
