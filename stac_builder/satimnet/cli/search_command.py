"""``satimnet search``: items of a catalog are found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.storage.hrefs import public_item, warn_of_secret
from satimnet.cli.options import (
    COUNTS,
    NAMES,
    SIZES,
    WRITABLE,
    WRITABLE_FILE,
    added,
    allow_outside,
    at,
    at_option,
    chosen_splits,
    outside_option,
    quiet_option,
    single_writer_option,
    splits_option,
)
from satimnet.cli.output import cell, count_table, say, say_json
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.query.index import Index
    from satimnet.builder.query.search_results import Found

_file_options = added(
    click.option(
        "--file-format",
        multiple=True,
        metavar="FORMAT",
        help="Format of an image: jpg, png, tif.",
    ),
    click.option(
        "--band-count",
        type=click.IntRange(min=1),
        multiple=True,
        help="Number of bands of an image, or of all where each band is a file.",
    ),
    click.option(
        "--bands", type=NAMES, metavar="B02,B08", help="Names of bands; the item has all of them."
    ),
    click.option(
        "--data-type", multiple=True, metavar="TYPE", help="Data type of an image: uint8, uint16."
    ),
    click.option(
        "--rows", type=COUNTS, metavar="FROM:TO", help="Rows of the largest image: 64, 100:300."
    ),
    click.option("--columns", type=COUNTS, metavar="FROM:TO", help="Its columns."),
    click.option(
        "--bytes", type=SIZES, metavar="FROM:TO", help="Size of the image files: :1MB, 100kB:."
    ),
    click.option("--mask/--no-mask", "has_mask", default=None, help="With or without a mask."),
    click.option(
        "--annotation/--no-annotation",
        "has_annotation",
        default=None,
        help="With or without a file of annotations.",
    ),
    click.option(
        "--georeference/--no-georeference",
        "georeferenced",
        default=None,
        help="Whether the images say where they lie.",
    ),
    click.option(
        "--nodata/--no-nodata",
        "has_nodata",
        default=None,
        help="Whether an image has a no-data value.",
    ),
)
"""Options about the files of items, by the arguments of `satimnet.builder.search`."""


@click.command(short_help="Find items of a catalog.")
@click.argument("catalog")
@click.option("--collection", "collections", multiple=True, help="Id of a collection.")
@click.option("--id", "ids", multiple=True, help="Id of an item.")
@click.option(
    "--bbox",
    metavar="W,S,E,N",
    help="A box in degrees; with W > E it crosses 180. Longitudes may also be 0 to 360.",
)
@click.option("--datetime", help="A time or an interval as in RFC 3339: 2016-01-01/..")
@click.option("--filter", "filter_", help="CQL2, text or JSON.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    help="Name of a class that occurs in the item.",
)
@click.option("--all-classes", is_flag=True, help="Of several --class, all occur in the item.")
@click.option(
    "--concept",
    "concepts",
    multiple=True,
    help="A term such as building: it stands for classes of all collections.",
)
@click.option(
    "--task", "tasks", multiple=True, help="What the collection is for: object-detection."
)
@click.option("--split", multiple=True, help="train, validation or test.")
@click.option(
    "--text",
    "texts",
    multiple=True,
    help="A phrase in a title or description of the item, its classes or its collection; of "
    "several, also with commas between them, one suffices.",
)
@_file_options
@click.option("--sortby", help="Fields to sort by, with '-' for descending order: -datetime,id.")
@click.option("--limit", type=click.IntRange(min=0), help="Find at most so many items.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option(
    "--facets", is_flag=True, help="Print how many there are by class, split, month, format..."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "ndjson", "paths", "geoparquet"]),
    default="table",
    show_default=True,
    help="How to print the items or facets; paths are those that GDAL opens, of the images that "
    "were asked for; geoparquet goes to the file --out.",
)
@click.option(
    "--asset",
    "assets",
    multiple=True,
    help="Of --format paths: the key of an asset, such as mask, instead of the images.",
)
@click.option(
    "--out",
    type=WRITABLE_FILE,
    help="The file for --format geoparquet.",
)
@click.option(
    "--save",
    type=WRITABLE,
    help="Write a new catalog of the items, which points to the same shards; to a folder or an "
    "object store.",
)
@click.option(
    "--copy",
    type=WRITABLE,
    help="Write a new catalog of the items, with shards of its own; to a folder or an object "
    "store.",
)
@outside_option
@single_writer_option
@at_option
@splits_option
@quiet_option
@one_line_errors
def search(
    catalog: str,
    collections: tuple[str, ...],
    ids: tuple[str, ...],
    bbox: str | None,
    datetime: str | None,
    filter_: str | None,
    classes: tuple[str, ...],
    all_classes: bool,
    concepts: tuple[str, ...],
    tasks: tuple[str, ...],
    split: tuple[str, ...],
    texts: tuple[str, ...],
    sortby: str | None,
    limit: int | None,
    count: bool,
    facets: bool,
    form: str,
    assets: tuple[str, ...],
    out: str | None,
    save: str | None,
    copy: str | None,
    single_writer: bool,
    quiet: bool,
    **facts: Any,
) -> None:
    """Find items of CATALOG (path or URL), and print, count, save or copy them.

    An item is found if it fits every option that is given. If an option is given several times,
    one of its values suffices.
    """
    from satimnet.builder.query.index import Index
    from satimnet.builder.query.search import search as run

    if (form == "geoparquet") != (out is not None):
        raise click.UsageError("--format geoparquet and --out FILE go together")
    if sum(map(bool, (count, facets, out, save, copy))) > 1:
        raise click.UsageError("give one of --count, --facets, --out, --save and --copy")
    if all_classes and not classes:
        raise click.UsageError("--all-classes says how several --class are meant; give them")
    if form == "paths" and (count or facets):
        raise click.UsageError("--format paths prints items; leave out --count and --facets")
    if assets and form != "paths":
        raise click.UsageError("--asset says whose paths are printed; give --format paths")
    # an option that was not given is no condition
    facts = {name: None if value == () else value for name, value in facts.items()}
    index = Index(catalog, allow_outside=allow_outside(), version=at(), splits=chosen_splits())
    found = run(
        index,
        collections=collections or None,
        ids=ids or None,
        bbox=_numbers(bbox),
        datetime=datetime,
        filter=filter_,
        classes=None if all_classes else classes or None,
        all_classes=classes if all_classes else None,
        concept=concepts or None,
        task=tasks or None,
        split=split or None,
        q=[part for text in texts for part in text.split(",")] or None,
        sortby=sortby,
        limit=limit,
        **facts,
    )
    if save or copy or out:
        _write(found, save, copy, out, single_writer=single_writer, quiet=quiet)
    elif count:
        click.echo(len(found))
    elif facets and form == "table":
        _print_facets(found)
    elif facets:
        say_json(found.facets(), indent=2 if form == "json" else None)
    elif form == "paths":
        _print_paths(found, assets, facts)
    elif form == "json":
        warn_of_secret(index.href)
        features = [public_item(item, index.href) for item in found]
        say_json({"type": "FeatureCollection", "features": features})
    elif form == "ndjson":
        warn_of_secret(index.href)
        for item in found:
            say_json(public_item(item, index.href), indent=None)
    else:
        if concepts:
            _print_meaning(index, concepts)
        _print_items(found)


def _print_meaning(index: Index, terms: tuple[str, ...]) -> None:
    """Says, aside, which concepts the terms were taken for: a part of a name suffices."""
    for term in terms:
        labels = ", ".join(concept.label for concept in index.scheme.resolve(term))
        say(f"{term} means: {labels}", err=True)


def _write(
    found: Found,
    save: str | None,
    copy: str | None,
    out: str | None,
    *,
    single_writer: bool,
    quiet: bool,
) -> None:
    from satimnet.builder.transfer.subset import copy_found, save_found, write_found

    with progress_bar(quiet) as progress:
        if out is not None:
            number, path = write_found(found, out), out
        else:
            way, place = (save_found, save) if save is not None else (copy_found, copy)
            number = way(found, str(place), progress, single_writer=single_writer)
            path = f"{str(place).rstrip('/')}/catalog.json"
    if not quiet:
        click.echo(f"{path} is ready: {counted(number, 'item')}")


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--bbox {text}: give numbers, as in 5,45,15,55") from error


def _print_facets(found: Found) -> None:
    from rich.console import Console

    console = Console()
    for name, values in found.facets().items():
        if values:
            console.print(count_table(name, values), "")
    click.echo(counted(len(found), "item"))


def _print_paths(found: Found, assets: tuple[str, ...], facts: dict[str, Any]) -> None:
    """Prints a line for each file: of the assets that were named, else of the images that fit."""
    from satimnet.builder.query.image_paths import asset_paths, image_paths

    documents = [collection.document for collection in found.collections]
    known = {key: None for document in documents for key in document.item_assets}
    if unknown := set(assets).difference(known) if known else None:
        there = ", ".join(known)
        raise click.UsageError(f"--asset {min(unknown)}: no such asset; there are {there}")
    of_files = {name: facts[name] for name in ("file_format", "band_count", "bands", "data_type")}
    for item in found:
        for path in asset_paths(item, assets) if assets else image_paths(item, **of_files):
            say(path)


def _print_items(items: Found) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("collection", "id", "classes", "split", "assets", "bbox", box=None)
    for item in items:
        properties = item["properties"]
        table.add_row(
            cell(item["collection"]),
            cell(item["id"]),
            cell(", ".join(map(str, properties.get("satimnet:classes", ())))),
            cell(properties.get("satimnet:split", "")),
            cell(", ".join(item["assets"])),
            " ".join(f"{v:.3f}" for v in item.get("bbox", ())),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    click.echo(counted(len(items), "item"))
