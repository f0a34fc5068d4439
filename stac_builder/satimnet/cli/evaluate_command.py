"""``satimnet evaluate``: a trained network is tested on a catalog."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    CHECKPOINT,
    FOLDER,
    at_option,
    collection_option,
    device_option,
    filter_option,
    outside_option,
    reading_option,
    size_options,
    splits_option,
)
from satimnet.cli.sample_lines import chosen_samples, print_results


@click.command(short_help="Test a trained network on a catalog.")
@click.argument("catalog")
@outside_option
@at_option
@splits_option
@click.option(
    "--checkpoint",
    required=True,
    type=CHECKPOINT,
    help="The trained network, a checkpoint.pt, path or URL.",
)
@collection_option
@click.option("--split", help="Only samples of this split: train, validation or test.")
@filter_option
@size_options
@click.option(
    "--scores",
    is_flag=True,
    help="Also mean IoU, F1, average precision and calibration error, by torchmetrics.",
)
@device_option
@reading_option
@click.option("--out", required=True, type=FOLDER, help="Folder for the metrics and pictures.")
@one_line_errors
def evaluate(
    catalog: str,
    checkpoint: Path | str,
    collection: str | None,
    split: str | None,
    filter_: str | None,
    size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    scores: bool,
    device: str | None,
    scheduler: str,
    out: Path,
) -> None:
    """Test a trained network on the samples of CATALOG that have its bands and its classes."""
    from satimnet.training import evaluate as run
    from satimnet.training import load, write_report

    trained = load(checkpoint)
    samples = chosen_samples(
        catalog,
        trained.bands,
        [trained.kind.removeprefix("cnn-")],
        trained=trained,
        size=size,
        crop=crop,
        collection=collection,
        split=split,
        filter=filter_,
    )
    results = run(checkpoint, samples, device=device, scheduler=scheduler, scores=scores)
    files = write_report(results, trained, out, samples)
    print_results(results, files)
