"""``satimnet crossvalidate``: networks are tested on every fold, as in the table of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import ArgumentError
from satimnet.cli.options import (
    FOLDER,
    MODELS,
    NAMES,
    at_option,
    outside_option,
    quiet_option,
    sample_options,
    splits_option,
    training_options,
)
from satimnet.cli.output import cell, say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.sample_lines import chosen_samples, print_epoch, some_of

if TYPE_CHECKING:
    from satimnet.training import Table


@click.command(short_help="Cross-validate networks: the table of the paper.")
@click.argument("catalog")
@outside_option
@at_option
@splits_option
@click.option(
    "--models",
    type=NAMES,
    default="class",
    show_default=True,
    help="class, segm, dual, with commas; the table of the paper has class and dual.",
)
@sample_options
@training_options
@click.option(
    "--folds", default=10, show_default=True, help="How many, if the Items have no satimnet:fold."
)
@click.option("--only-folds", "only", type=click.IntRange(1), help="Stop after so many folds.")
@click.option(
    "--out", required=True, type=FOLDER, help="Folder for the networks, tables and pictures."
)
@quiet_option
@one_line_errors
def crossvalidate(
    catalog: str,
    models: list[str],
    collection: str | None,
    filter_: str | None,
    limit: int | None,
    bands: list[str],
    size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    folds: int,
    only: int | None,
    out: Path,
    quiet: bool,
    epochs: int,
    seed: int,
    **how: Any,
) -> None:
    """Cross-validate networks on CATALOG (path or URL): the table of the paper.

    Each fold is held out once. The folds are the satimnet:fold of the Items; Items without one are
    dealt into folds by the seed, with the same share of each class in every fold.

    On a fused collection, networks learn from its main source alone and from all sources, and are
    tested on both.

    If the run is interrupted, give the same command again: it goes on.
    """
    from satimnet.training import crossvalidate as run

    for model in models:
        if model not in MODELS:
            raise ArgumentError(f"model {model}: there are {', '.join(MODELS)}", "models")
    samples = chosen_samples(
        catalog,
        bands,
        models,
        size=size,
        crop=crop,
        collection=collection,
        filter=filter_,
    )

    def last_epoch(entry: Mapping[str, float]) -> None:
        if entry["epoch"] == epochs:
            print_epoch(entry, epochs)

    with progress_bar(quiet) as progress:
        table = run(
            some_of(samples, limit, seed),
            models,
            out,
            bands=bands,
            folds=folds,
            only=only,
            epochs=epochs,
            seed=seed,
            quiet=quiet,
            progress=progress,
            on_epoch=last_epoch,
            **how,
        )
    _print_table(table)
    click.echo(f"{out / 'table.md'} and {out / 'table.json'} written")


def _print_table(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD)
    for name in ("Model", "Training set", "Testing set"):
        grid.add_column(name)
    for name in ("mean %", "max. %"):
        grid.add_column(name, justify="right")
    heading = ""
    for title, *cells in table.cells():
        if title != heading:
            grid.add_row(cell(title, "italic"), "", "", "", "")
            heading = title
        grid.add_row(*map(cell, cells))
    console = Console(soft_wrap=False)
    console.print(grid)
    for name, value in table.facts():
        say(f"{name}: {value}")
