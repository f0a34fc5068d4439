"""Networks learn from catalogs: ``stac satimnet train`` and ``evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from stactools.satimnet.options import FOLDER, quiet_option
from stactools.satimnet.wording import counted

if TYPE_CHECKING:
    from satimnet.training import Evaluation, Samples


@click.command()
@click.argument("catalog")
@click.option("--collection", help="Id of a collection; all without it.")
@click.option("--bands", default="B02,B03,B04,B08", show_default=True, help="Names, with commas.")
@click.option("--width", default=256, show_default=True, help="Filters of a convolution.")
@click.option("--epochs", default=40, show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--learning-rate", default=0.01, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--device", help="cpu or cuda; the GPU if there is one.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Test on this fraction of each class, drawn by the seed, instead of the catalog's split.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder of checkpoint, pictures, metrics.")
@quiet_option
@one_line_errors
def train(
    catalog: str,
    collection: str | None,
    bands: str,
    width: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str | None,
    holdout: float | None,
    out: Path,
    quiet: bool,
) -> None:
    """Train CNN-class on CATALOG and evaluate it on samples held out.

    Without --holdout the catalog's train and test splits are used; where it has none, a tenth of
    each class is held out.
    """
    from satimnet.training import evaluate as run_evaluate
    from satimnet.training import open_samples
    from satimnet.training import train as run_train

    names = bands.split(",")
    only = None if collection is None else [collection]
    samples = open_samples(catalog).search(collections=only, bands=names)
    if len(samples) == 0:
        raise SatimnetError(f"{catalog}: no item has the bands {bands}")
    training, testing = _parts(samples, holdout, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SatimnetError(f"{out}: {error.strerror}; choose another --out") from error
    run_train(
        training,
        testing,
        out / "checkpoint.pt",
        bands=names,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        quiet=quiet,
    )
    result = run_evaluate(out / "checkpoint.pt", testing, out, device=device)
    click.echo(f"trained on {len(training):,}, held out {counted(len(testing), 'sample')}")
    _print_result(result, out)


@click.command()
@click.argument("catalog")
@click.option("--checkpoint", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", help="Id of a collection; all without it.")
@click.option("--split", help="Only samples of this split.")
@click.option("--device", help="cpu or cuda; the GPU if there is one.")
@click.option("--out", required=True, type=FOLDER, help="Folder of pictures and metrics.")
@one_line_errors
def evaluate(
    catalog: str,
    checkpoint: Path,
    collection: str | None,
    split: str | None,
    device: str | None,
    out: Path,
) -> None:
    """Evaluate a trained network on CATALOG."""
    from satimnet.training import evaluate as run
    from satimnet.training import load, open_samples

    bands = load(checkpoint).recipe.bands
    only = None if collection is None else [collection]
    samples = open_samples(catalog).search(collections=only, split=split, bands=bands)
    if len(samples) == 0:
        of_split = "" if split is None else f" of the split {split}"
        raise SatimnetError(f"{catalog}: no item{of_split} has the bands {', '.join(bands)}")
    _print_result(run(checkpoint, samples, out, device=device), out)


def _parts(samples: Samples, holdout: float | None, seed: int) -> tuple[Samples, Samples]:
    import numpy as np

    splits = np.array(samples.splits, dtype=object)
    training, testing = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    if holdout is None and len(training) and len(testing):
        return samples.subset(training), samples.subset(testing)
    return samples.holdout(holdout or 0.1, seed)


def _print_result(result: Evaluation, out: Path) -> None:
    tested = counted(int(result.confusion.sum()), "sample")
    click.echo(f"accuracy {result.accuracy:.2%} on {tested}")
    click.echo(f"{out / 'confusion.png'}, {out / 'curves.png'} and {out / 'metrics.json'} written")
