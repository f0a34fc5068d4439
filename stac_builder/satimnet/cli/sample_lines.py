"""The samples that a network of a command takes: chosen by the library, described in lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.cli.options import allow_outside, at, chosen_splits
from satimnet.cli.output import say
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.training import Checkpoint, Evaluation, Samples


def chosen_samples(
    catalog: str,
    bands: Sequence[str],
    models: Sequence[str],
    *,
    trained: Checkpoint | None = None,
    size: tuple[int, int] | None = None,
    crop: tuple[int, int] | None = None,
    collection: str | None = None,
    **query: Any,
) -> Samples:
    """The samples that the networks can take; prints which they are, and how many are left out."""
    from satimnet.training import open_samples
    from satimnet.training.networks.usable_samples import choose

    choice = choose(
        open_samples(catalog, allow_outside=allow_outside(), version=at(), splits=chosen_splits()),
        bands,
        models=models,
        trained=trained,
        size=size,
        collections=None if collection is None else [collection],
        **query,
    )
    for line in choice.lines():
        say(line)
    return choice.samples if crop is None else choice.samples.cropped(*crop)


def some_of(samples: Samples, limit: int | None, seed: int) -> Samples:
    """So many of the samples, drawn by the seed, in their order; prints how many."""
    from satimnet.training.data import order

    if limit is None or limit >= len(samples):
        return samples
    click.echo(f"drawn by the seed: {limit:,} of {len(samples):,}")
    return samples.subset(order.some_of(len(samples), limit, seed))


def print_epoch(entry: Mapping[str, float], epochs: int) -> None:
    """Says on the error stream how an epoch went."""
    rates = [f"{entry[key]:.1%}" for key in entry if key.startswith("accuracy_")]
    click.echo(
        f"epoch {entry['epoch']}/{epochs}  loss {entry['loss']:.3f}  held out {', '.join(rates)}  "
        f"{entry['examples_per_second']:,.0f}/s",
        err=True,
    )


def print_results(results: Mapping[str, Evaluation], files: Sequence[Path]) -> None:
    """Prints the accuracy of each output of a network, and which files say more."""
    for name, result in results.items():
        noun = "sample" if list(results) == ["class"] else "pixel"
        of = "" if len(results) == 1 else f" of {name}"
        tested = counted(int(result.confusion.sum()), noun)
        click.echo(f"accuracy{of} {result.accuracy:.2%} on {tested}")
        if result.scores is not None:
            means = result.scores.means().items()
            click.echo(", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in means))
    click.echo(f"{files[0].parent}: {', '.join(file.name for file in files)} written")
