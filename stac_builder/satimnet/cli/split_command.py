"""``satimnet split``: the Items of a catalog are divided without leaks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import (
    FOLDER,
    WRITABLE,
    Listed,
    allow_outside,
    at,
    at_option,
    measuring_option,
    outside_option,
    quiet_option,
    single_writer_option,
)
from satimnet.cli.output import say
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from click import Context, Parameter

    from satimnet.builder.splitting.dividing import SplitMade

_METRES = {"m": 1.0, "km": 1000.0}
_JOINED = {
    "overlaps": "overlap on the ground",
    "duplicates": "show the same",
    "origins": "come from the same item",
}


def _length(context: Context, _: Parameter, value: Any) -> float:
    """Metres, of words such as ``10km``."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(m|km)", str(value))
    if match is None:
        raise click.UsageError(f"--size {value}: give a length such as 10km or 500m", context)
    return float(match[1]) * _METRES[match[2]]


@click.command(short_help="Divide items into splits or folds that do not leak.")
@click.argument("catalog", type=WRITABLE)
@click.option(
    "--by",
    type=click.Choice(["block", "scene", "time", "group"]),
    default="block",
    show_default=True,
    help="What stays together: a block of the ground, what was taken at one moment, what was taken "
    "within --days, or items with the same value of --property.",
)
@click.option(
    "--size", default="10km", show_default=True, callback=_length, help="Side of a block."
)
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of --by time: days that stay together.",
)
@click.option("--property", help="Of --by group: a property, such as satimnet:country.")
@click.option(
    "--shares",
    type=Listed(click.FLOAT),
    metavar="0.7,0.15,0.15",
    help="Shares of train, validation and test, or of train and test; without it and --folds "
    "0.7,0.15,0.15.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 1000),
    help="Make so many folds of equal shares instead; the first is also the test split.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="The same seed makes the same split.",
)
@click.option("--name", help="Name of the split; without it, a name that says what it is by.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Id of a collection to divide; without it, all are divided together.",
)
@click.option(
    "--images/--no-images",
    default=True,
    help="Read all images, and keep those together that show the same. --no-images is fast, but "
    "near-duplicates may be on several sides.",
)
@click.option(
    "--quality",
    type=FOLDER,
    help="Take what shows the same from this report of satimnet quality, and read no image.",
)
@click.option(
    "--overlaps/--no-overlaps",
    default=True,
    help="Keep items together whose footprints overlap, whatever their times.",
)
@measuring_option
@outside_option
@single_writer_option
@at_option
@quiet_option
@one_line_errors
def split(
    catalog: str,
    collections: tuple[str, ...],
    quality: Path | None,
    quiet: bool,
    **how: Any,
) -> None:
    """Divide the items of CATALOG (a folder, or s3://, gs://, az://) into train, validation, test.

    No part has seen what another has: items of a block stay together, and so do items whose
    footprints overlap, and images that show the same, exactly or nearly. Each part has its share
    of every class and of every collection, as far as that allows.

    The split is a table beside the catalog. The publisher's own split stays; search, quality,
    export, train and other commands use the table where they are given --splits NAME.
    """
    from satimnet.builder.splitting.dividing import split as run

    with progress_bar(quiet) as progress:
        made = run(
            catalog,
            collections=collections or None,
            quality=quality,
            allow_outside=allow_outside(),
            version=at(),
            progress=progress,
            **how,
        )
    if not quiet:
        _print(made)


def _print(made: SplitMade) -> None:
    total = sum(made.parts.values())
    for part, items in made.parts.items():
        click.echo(f"{part}: {counted(items, 'item')} ({items / total:.1%})")
    click.echo(
        f"{counted(made.groups, 'group')}, the largest of {counted(made.largest, 'item')} "
        f"({made.largest / total:.1%})"
    )
    for reason, fewer in made.joined.items():
        if fewer:
            click.echo(f"joined, as items {_JOINED[reason]}: {counted(fewer, 'group')}")
    if made.alone:
        click.echo(f"grouped by nothing, as they do not say it: {counted(made.alone, 'item')}")
    if made.worst is not None:
        (collection, name), distance = made.worst
        say(f"shares of classes are within {distance:.1%} of even, {collection}/{name} the least")
    say(f"{made.place} is ready: --splits {made.link.name}, or {made.link.cited} to cite it")
