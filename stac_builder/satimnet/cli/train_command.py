"""``satimnet train``: a network learns from a catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    FOLDER,
    MODELS,
    at_option,
    outside_option,
    quiet_option,
    sample_options,
    splits_option,
    training_options,
)
from satimnet.cli.output import print_nothing_more
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.sample_lines import chosen_samples, print_epoch, print_results, some_of
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from typing import Literal


@click.command(short_help="Train a network on a catalog.")
@click.argument("catalog")
@outside_option
@at_option
@splits_option
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default="class",
    show_default=True,
    help="The network: CNN-class, CNN-segm or CNN-dual.",
)
@sample_options
@training_options
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Test on this fraction of each class, drawn by the seed, instead of the catalog's split.",
)
@click.option(
    "--split-by",
    type=click.Choice(["patch", "window"]),
    default="patch",
    show_default=True,
    help="Hold out whole patches; or windows wherever they lie, as the paper does, which makes the "
    "accuracy look better than it is.",
)
@click.option(
    "--shuffle",
    type=click.Choice(["samples", "shards"]),
    default="samples",
    show_default=True,
    help="Show samples in any order; or eight neighbours of a shard together, which saves requests "
    "if CNN-class reads more than fits into memory from the web or a store.",
)
@click.option(
    "--out", required=True, type=FOLDER, help="Folder for the checkpoint, metrics and pictures."
)
@quiet_option
@one_line_errors
def train(
    catalog: str,
    model: str,
    collection: str | None,
    filter_: str | None,
    limit: int | None,
    bands: list[str],
    size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    holdout: float | None,
    split_by: Literal["patch", "window"],
    out: Path,
    quiet: bool,
    epochs: int,
    seed: int,
    **how: Any,
) -> None:
    """Train a network on CATALOG (path or URL), and test it on samples that it has not seen.

    CNN-class gives a class to each patch, CNN-segm to each pixel, CNN-dual to both at once.

    The samples are those that have all of --bands; the command says what it leaves out. If the
    collections of the catalog do not go together, choose one with --collection. The train and test
    splits of the catalog are used; without them, a tenth of each class is held out for the test.

    If the training is interrupted, give the same command again: it goes on.
    """
    from satimnet.training import held_out, write_report
    from satimnet.training import train as run
    from satimnet.training.devices import Launched
    from satimnet.training.networks.held_out import divide

    launched = Launched.found()
    others = launched is not None and launched.number > 0
    if others:
        print_nothing_more()
    samples = chosen_samples(
        catalog,
        bands,
        [model],
        size=size,
        crop=crop,
        collection=collection,
        filter=filter_,
    )
    chosen = some_of(samples, limit, seed)
    division = divide(chosen, holdout, model=model, split_by=split_by, seed=seed)
    learned, held = division.learned, division.held_out
    with progress_bar(quiet or others) as progress:
        checkpoint = run(
            learned,
            held,
            out / "checkpoint.pt",
            model=model,
            bands=bands,
            epochs=epochs,
            seed=seed,
            quiet=quiet,
            progress=progress,
            on_epoch=lambda entry: print_epoch(entry, epochs),
            **how,
        )
    if others:  # the first process writes
        return
    results = held_out(checkpoint)
    files = write_report(results, checkpoint, out, division.pictured)
    if isinstance(held, float):
        judged = f"{held:.0%} of their windows"
    else:
        judged = counted(len(held), "sample")
        if rest := len(chosen) - len(learned) - len(held):
            judged += f"; {counted(rest, 'sample')} of other splits left out"
    click.echo(f"trained on {len(learned):,}, held out {judged}")
    print_results(results, files)
