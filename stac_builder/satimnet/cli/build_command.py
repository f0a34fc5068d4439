"""``satimnet build``: catalogs are made of what publishers hand out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import LocalPath, one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.builder.option_names import with_options
from satimnet.builder.storage.hrefs import is_url
from satimnet.cli.options import (
    BYTES,
    FILE,
    WRITABLE,
    quiet_option,
    scheduler_option,
    single_writer_option,
)
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.report_lines import print_reports, print_without_masks, warn_of_nothing

if TYPE_CHECKING:
    from satimnet.builder.catalog.item_pages import ItemFiles
    from satimnet.builder.datasets import Dataset


class _SourcePlace(LocalPath):
    """A file or folder of this machine, or the URL of an archive or prefix."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path, or the URL as a text."""
        return _place(value) if is_url(str(value)) else super().convert(value, param, ctx)


def _place(text: str) -> Path | str:
    """The source at a place, which is refused in one line if it can be none."""
    from satimnet.builder.sources import source_place

    try:
        return source_place(text)
    except SatimnetError as error:
        raise click.ClickException(with_options(error)) from error


@click.command(short_help="Build a catalog from the files of publishers.")
@click.argument("sources", nargs=-1, type=_SourcePlace())
@click.option(
    "--out",
    required=True,
    type=WRITABLE,
    help="The catalog to make or to add to: a folder, or s3://, gs://, az://.",
)
@click.option(
    "--dataset",
    "assigned",
    multiple=True,
    metavar="NAME=PATH",
    help="A source whose dataset you name, instead of having it recognised.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME.OPTION=VALUE",
    help="An option of a dataset, such as eurosat.splits=spatial.",
)
@click.option(
    "--layout",
    type=click.Choice(["image-folder", "masks", "coco", "yolo", "voc", "csv"]),
    help="SOURCES are a training set of your own in this layout; give it an --id.",
)
@click.option("--id", "id_", metavar="NAME", help="Of --layout: id of the collection, as my-set.")
@click.option(
    "--record",
    type=FILE,
    help="Of --layout: a TOML file with what the files do not say: title, license, classes...",
)
@scheduler_option
@click.option(
    "--shard-size",
    type=BYTES,
    default="256MiB",
    show_default=True,
    help="The largest size of a shard.",
)
@click.option(
    "--max-scene-size",
    type=BYTES,
    default="4GiB",
    show_default=True,
    help="Leave out images with more bytes of pixels.",
)
@click.option(
    "--items",
    type=click.Choice(["json", "pages", "none"]),
    help="Write a file for each Item, pages of 100, or only the parquet. Without it: files, but "
    "pages if there are more than 50,000 Items.",
)
@click.option(
    "--overview/--no-overview",
    default=True,
    show_default=True,
    help="Draw a picture of samples of each collection.",
)
@click.option(
    "--masks",
    is_flag=True,
    help="Also fill a mask with the class of a patch that is labelled as a whole by one tag.",
)
@click.option("--strict", is_flag=True, help="Stop at the first broken file.")
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken files.")
@single_writer_option
@quiet_option
@one_line_errors
def build(
    sources: tuple[Path | str, ...],
    out: str,
    assigned: tuple[str, ...],
    options: tuple[str, ...],
    layout: str | None,
    id_: str | None,
    record: Path | None,
    scheduler: str,
    shard_size: int,
    max_scene_size: int,
    items: ItemFiles | None,
    overview: bool,
    masks: bool,
    strict: bool,
    keep_going: bool,
    single_writer: bool,
    quiet: bool,
) -> None:
    """Build a catalog from SOURCES: the folders, .zip and .tar files of the publishers.

    A source may be the URL of an archive (https://, s3://, gs://, az://), or a prefix of an object
    store, which is read as a folder. Only the parts that are needed are read, and nothing is
    downloaded to disk.

    A tar may be compressed (.tar.gz, .tar.bz2, .tar.xz, .tar.zst), and archives may lie in
    archives. Most are read where they lie. Compressed tars other than .tar.gz, and compressed
    archives inside others, are unpacked beside the catalog while the build runs; that needs room
    for their content.

    If --out is a catalog already, its other collections stay. A dataset that is there already gets
    a new version as a whole, so give all editions of a dataset at once; earlier versions are kept
    (satimnet versions, satimnet prune).

    Broken files are left out and listed, here and in build-report.json. If more than one file in a
    hundred is broken, the build stops. If the build is interrupted, give the same command again:
    it goes on.
    """
    from satimnet.builder.pipeline import build as run

    if strict and keep_going:
        raise click.UsageError("--strict and --keep-going exclude each other")
    if not sources and not assigned:
        raise click.UsageError("give a source")
    named = _named(assigned)
    exclusive = bool(assigned or options)
    datasets = _of_layout(sources, layout, id_, record, max_scene_size, exclusive=exclusive)
    if datasets is not None:
        named, sources = {str(id_): list(sources)}, ()
    with progress_bar(quiet) as progress:
        reports = run(
            sources,
            out,
            assigned=named,
            datasets=datasets,
            options=_options(options),
            scheduler=scheduler,
            shard_size=shard_size,
            max_scene_size=max_scene_size,
            bad_files="stop" if strict else "any" if keep_going else "few",
            items=items,
            overview=overview,
            masks=masks,
            single_writer=single_writer,
            progress=progress,
        )
    warn_of_nothing(reports)
    if not quiet:
        print_reports(reports)
        if masks:
            print_without_masks(reports)
        click.echo(f"{out.rstrip('/')}/catalog.json is ready")


def _of_layout(
    sources: Sequence[Path | str],
    layout: str | None,
    id_: str | None,
    record: Path | None,
    max_scene_size: int,
    *,
    exclusive: bool,
) -> dict[str, Dataset] | None:
    """The dataset of a layout by its id; None where none is named."""
    if layout is None:
        if id_ is not None or record is not None:
            raise click.UsageError("--id and --record are for --layout")
        return None
    if id_ is None or not sources or exclusive:
        raise click.UsageError("--layout wants SOURCES and --id, and no --dataset or --option")
    from satimnet.builder.layouts import layout_dataset

    return {id_: layout_dataset(sources, layout, id_, record=record, max_scene_size=max_scene_size)}


def _named(given: Sequence[str]) -> dict[str, list[Path | str]]:
    """The sources by dataset, of words such as ``eurosat=s3://bucket/EuroSAT.zip``."""
    named: dict[str, list[Path | str]] = {}
    for word in given:
        name, equals, place = word.partition("=")
        if not equals:
            raise click.UsageError(f"--dataset {word}: give NAME=PATH")
        named.setdefault(name, []).append(_place(place))
    return named


def _options(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """Options by dataset, of words such as ``eurosat.splits=spatial``."""
    options: dict[str, dict[str, str]] = {}
    for word in given:
        match = re.fullmatch(r"([^.=]+)\.([^=]+)=(.+)", word)
        if match is None:
            raise click.UsageError(f"--option {word}: give NAME.OPTION=VALUE")
        if match[2] in options.setdefault(match[1], {}):
            raise click.UsageError(f"--option {match[1]}.{match[2]}: is given twice; give it once")
        options[match[1]][match[2]] = match[3]
    return options
