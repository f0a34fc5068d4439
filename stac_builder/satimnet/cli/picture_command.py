"""``satimnet picture``: what networks see in a few samples, drawn."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError, StorageError
from satimnet.cli.options import (
    ANY_FILE,
    CHECKPOINT,
    at_option,
    collection_option,
    filter_option,
    outside_option,
    splits_option,
)
from satimnet.cli.sample_lines import chosen_samples


@click.command(short_help="Draw what networks see in a few samples.")
@click.argument("catalog")
@outside_option
@at_option
@splits_option
@click.option(
    "--checkpoint",
    "checkpoints",
    required=True,
    multiple=True,
    type=CHECKPOINT,
    help="A trained network, path or URL; give the option again for further ones.",
)
@collection_option
@click.option("--split", help="Only samples of this split: train, validation or test.")
@filter_option
@click.option(
    "--count", type=click.IntRange(1), default=6, show_default=True, help="How many samples."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The same seed draws the same samples.",
)
@click.option("--out", required=True, type=ANY_FILE, help="The picture to write, a PNG.")
@one_line_errors
def picture(
    catalog: str,
    checkpoints: tuple[Path | str, ...],
    collection: str | None,
    split: str | None,
    filter_: str | None,
    count: int,
    seed: int,
    out: Path,
) -> None:
    """Draw what networks see in samples of CATALOG, beside each image and its mask.

    The answer of CNN-class stands in words below the image.
    """
    from satimnet.training import load
    from satimnet.training.networks.plots import draw_predictions

    trained = [load(path) for path in checkpoints]
    bands = list(dict.fromkeys(name for one in trained for name in one.bands))
    models = list(dict.fromkeys(one.kind.removeprefix("cnn-") for one in trained))
    samples = chosen_samples(
        catalog, bands, models, collection=collection, split=split, filter=filter_
    )
    try:
        draw_predictions(samples, trained, out, count, seed)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror})") from error
    click.echo(f"{out} written")
