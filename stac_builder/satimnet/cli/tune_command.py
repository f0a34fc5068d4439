"""``satimnet tune``: combinations of bands and parameters are cross-validated and ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    FOLDER,
    MODELS,
    NAMES,
    Listed,
    at_option,
    collection_option,
    device_option,
    devices_option,
    filter_option,
    limit_option,
    outside_option,
    quiet_option,
    save_option,
    seed_option,
    size_options,
    splits_option,
    spreading_option,
    window_options,
)
from satimnet.cli.output import cell, say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.sample_lines import chosen_samples, some_of
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.training import Grid, Trial, Tuning

_BANDS = "B02,B03,B04,B08"


@click.command(short_help="Search for the best bands and parameters of a network.")
@click.argument("catalog")
@outside_option
@at_option
@splits_option
@click.option(
    "--grid",
    metavar="NAME|FILE.toml",
    help="The values to try: paper, for what Section 3.1 of the paper names, or a file of the same "
    "form. The options replace what it says.",
)
@click.option(
    "--model",
    type=click.Choice(MODELS),
    help="The network: CNN-class, CNN-segm or CNN-dual; without it, that of the grid, or class.",
)
@collection_option
@filter_option
@limit_option
@size_options
@click.option(
    "--bands",
    type=Listed(NAMES, ";"),
    help=f'Combinations of bands: "B02,B03,B04,B08;B04,B08". Without them, {_BANDS}.',
)
@click.option(
    "--learning-rate",
    type=Listed(click.FLOAT),
    help="Rates: 0.01,0.001. Without it, the published one.",
)
@click.option(
    "--dropout",
    type=Listed(click.FLOAT),
    help="Fractions that are dropped: 0.1,0.3. Without it, the published one.",
)
@click.option(
    "--width",
    type=Listed(click.INT),
    help="Filters of each convolution: 16,32. Without it, the published number.",
)
@click.option(
    "--batch-size",
    type=Listed(click.INT),
    help="Samples in a step: 32,64. Without it, 64 patches or 1024 windows.",
)
@click.option(
    "--epochs",
    type=Listed(click.INT),
    help="How often all samples are gone through: 20,40. Without it, 40.",
)
@click.option(
    "--schedule",
    type=NAMES,
    help="How the learning rate goes: one-cycle,constant. Without it, one-cycle.",
)
@click.option(
    "--folds",
    type=int,
    help="Of the cross-validation; without it, those of the grid, or 3. Where the Items have "
    "satimnet:fold, those are put together to so many.",
)
@window_options
@seed_option
@device_option
@devices_option
@spreading_option
@save_option
@click.option(
    "--max-combinations",
    default=100,
    show_default=True,
    help="Refuse to begin with more combinations.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder for the tables and the picture.")
@quiet_option
@one_line_errors
def tune(
    catalog: str,
    grid: str | None,
    model: str | None,
    collection: str | None,
    filter_: str | None,
    limit: int | None,
    size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    folds: int | None,
    seed: int,
    out: Path,
    quiet: bool,
    windows: int | None,
    windows_per_epoch: int | None,
    device: str | None,
    devices: int,
    scheduler: str,
    save_seconds: float,
    max_combinations: int,
    **values: Any,
) -> None:
    """Search for the best bands and parameters of a network on CATALOG (path or URL).

    Every combination of the values is cross-validated on the same samples, those that have the
    bands of all combinations. The table has a row for each, the best one first, with the mean
    accuracy and the standard deviation over the folds. Learn with the best one by train.

    table.md, table.json and table.png in --out are the same whenever the search is made; times.md
    is the table with times. The networks are not kept.

    If the run is interrupted, give the same command again: it goes on. It may have more values.
    """
    from satimnet.training import tune as run
    from satimnet.training.networks.tuning import with_all_bands

    if grid is None and all(value is None for value in values.values()):
        raise click.UsageError(
            "nothing to try: give --bands, --learning-rate or other values, or --grid paper"
        )
    asked = _grid(grid, model, folds, {name: v for name, v in values.items() if v is not None})
    samples = chosen_samples(
        catalog,
        asked.values["bands"][0],
        [asked.model],
        size=size,
        crop=crop,
        collection=collection,
        filter=filter_,
    )
    having = with_all_bands(samples, asked)
    if len(having) < len(samples):
        left = counted(len(samples) - len(having), "sample")
        say(f"left out: {left} without the bands of all combinations")

    def tell(trial: Trial) -> None:
        judged = trial.failed or f"{trial.mean:.1%}, deviation {trial.deviation:.1%}"
        say(f"{asked.label(trial.values)}: {judged}, {trial.seconds:.0f} s", err=True)

    with progress_bar(quiet) as progress:
        tuning = run(
            some_of(having, limit, seed),
            asked,
            out,
            windows=windows,
            windows_per_epoch=windows_per_epoch,
            seed=seed,
            device=device,
            devices=devices,
            scheduler=scheduler,
            save_seconds=save_seconds,
            max_combinations=max_combinations,
            quiet=quiet,
            progress=progress,
            on_trial=tell,
        )
    _print_table(tuning)
    click.echo(f"{out}: table.md, table.json, table.png, times.md written")


def _grid(
    name: str | None, model: str | None, folds: int | None, values: Mapping[str, Any]
) -> Grid:
    """The grid of a file with what the options say."""
    from satimnet.training import Grid, read_grid

    fixed: dict[str, Any] = {"model": model, "folds": folds}
    given = {key: value for key, value in fixed.items() if value is not None}
    if name is not None:
        found = read_grid(name)
        asked = replace(found, values={**found.values, **values}, **given)
    else:
        asked = Grid(values, **given)
    if "bands" in asked.values:
        return asked
    return replace(asked, values={"bands": [_BANDS.split(",")], **asked.values})


def _print_table(tuning: Tuning) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    varied = len(tuning.grid.varied)
    table = Table(box=SIMPLE_HEAD)
    for at, head in enumerate(tuning.heads(times=True)):
        table.add_column(head, justify="left" if 0 < at <= varied else "right", overflow="fold")
    for cells in tuning.cells(times=True):
        table.add_row(*map(cell, cells))
    Console(soft_wrap=False).print(table)
    for name, value in tuning.facts(times=True):
        say(f"{name}: {value}")
