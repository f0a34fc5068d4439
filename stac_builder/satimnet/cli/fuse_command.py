"""``satimnet fuse``: training sets are made of several collections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    WRITABLE,
    allow_outside,
    named_paths,
    outside_option,
    quiet_option,
    scheduler_option,
    single_writer_option,
)
from satimnet.cli.output import cell
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import print_reports

if TYPE_CHECKING:
    from satimnet.training.fusion.fusing import Fused
    from satimnet.training.fusion.recipes import Recipe


@click.command(short_help="Make a training set of several collections.")
@click.argument("recipe")
@click.argument("catalog")
@click.option(
    "--out",
    type=WRITABLE,
    help="The catalog to make or to add to, a folder or in an object store; without it, CATALOG.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME=PATH",
    help="Where a mask layer of the recipe lies: a raster, a VRT or a folder of tiles.",
)
@click.option("--without-masks", is_flag=True, help="Make no masks.")
@click.option(
    "--available",
    is_flag=True,
    help="If a collection has fewer samples than the recipe wants, take those.",
)
@scheduler_option
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken images.")
@outside_option
@single_writer_option
@quiet_option
@one_line_errors
def fuse(
    recipe: str,
    catalog: str,
    out: str | None,
    layers: tuple[str, ...],
    without_masks: bool,
    available: bool,
    scheduler: str,
    keep_going: bool,
    single_writer: bool,
    quiet: bool,
) -> None:
    """Make a training set of collections of CATALOG (path or URL), as RECIPE says.

    RECIPE is a TOML file, or the name of one that satimnet brings along: paper (EuroSAT enriched
    with BigEarthNet, Section 3 of the SatImNet paper) or demo (for the catalog that the command
    demo makes).

    The training set is a new collection, with links to what each sample was made of. The same
    recipe and the same catalog give the same bytes. If the command is interrupted, give it again:
    it goes on.
    """
    from satimnet.training.fusion.fusing import fuse as run
    from satimnet.training.fusion.recipes import read_recipe

    if without_masks and layers:
        raise click.UsageError("--without-masks and --layer exclude each other")
    named = {name: paths[-1] for name, paths in named_paths("--layer", layers).items()}
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
            single_writer=single_writer,
            progress=progress,
        )
    if not quiet:
        _print_draws(read, fused)
        print_reports([fused.report])
        click.echo(f"{fused.catalog}/{read.id}/collection.json is ready")


def _print_draws(recipe: Recipe, fused: Fused) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("drawn from", "to", "drawn", "of", box=None)
    for one in fused.drawn:
        to = one.draw.to or "its own class"
        drawn = f"{len(one.table):,}"
        table.add_row(cell(one.draw.label), cell(to), drawn, f"{one.found:,}")
    Console().print(table)
