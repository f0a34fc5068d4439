"""Catalogs are made: ``stac satimnet demo`` and ``build``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import LocalPath, one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.builder.storage.atomic_files import sync, write
from satimnet.builder.storage.hrefs import on_disk
from satimnet.cli.options import FOLDER, quiet_option, schemas_option
from satimnet.cli.output import program
from satimnet.cli.progress_bars import progress_bar
from satimnet.cli.validate_command import fail_on, print_findings
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.catalog.item_pages import ItemFiles
    from satimnet.builder.datasets import Dataset
    from satimnet.builder.pipeline import Report

_SHOWN = 10  # problems of a kind that are printed


@click.command()
@click.argument("folder", type=FOLDER)
@schemas_option
@quiet_option
@one_line_errors
def demo(folder: Path, schemas: Path | None, quiet: bool) -> None:
    """Make miniature sources of all datasets, and build, check and search their catalog.

    Everything lies in FOLDER.
    """
    from satimnet.builder.catalog.validation import validate as run_validate
    from satimnet.builder.datasets import installed, miniatures
    from satimnet.builder.pipeline import build as run_build
    from satimnet.builder.query.search import count

    sources, catalog = folder / "sources", folder / "catalog"
    mark = folder / ".unfinished-demo"
    if not mark.exists():
        _require_own_demo(folder, catalog)
        write(mark, b"")
    writers = miniatures()
    datasets = {name: _synthetic(d) for name, d in installed().items() if name in writers}
    with progress_bar(quiet) as progress:
        assigned = {}
        progress("Writing sources", 0, len(datasets), "datasets")
        for done, name in enumerate(datasets, 1):
            try:
                assigned[name] = writers[name](sources / name)
            except OSError as error:
                raise SatimnetError(
                    f"{sources}: {error.strerror}; choose another folder"
                ) from error
            progress("Writing sources", done, len(datasets), "datasets")
        sync(sources)
        reports = run_build([], catalog, assigned=assigned, datasets=datasets, progress=progress)
        mark.unlink()
        findings = run_validate(catalog, schemas=schemas, checksums=True, progress=progress)
    if not quiet:
        print_reports(reports)
        print_findings(findings)
        found = counted(count(catalog, concept="building"), "item")
        click.echo(f"A search for the concept building finds {found}. Try next:\n")
        for line in (
            f"info {catalog}",
            f"search {catalog} --concept water",
            f"concepts ship --catalog {catalog}",
            f"fuse demo {catalog}",
            f"train {catalog} --collection eurosat --bands B04,B03,B02,B08 "
            f"--width 16 --epochs 20 --batch-size 16 --out {folder / 'run'}",
        ):
            click.echo(f"  {program()} {line}")
    fail_on(findings)


def _synthetic(dataset: Dataset) -> Dataset:
    """The dataset, saying of itself that its pixels are made up."""
    title = dataset.record.title
    record = dataset.record.changed(
        title=f"{title} in miniature (synthetic)",
        description=f"Made-up pixels in the official layout of {title}, to try things with. "
        f"Nothing in it was observed; the metadata are those of the real {title}.",
        keywords=[*dataset.record.keywords, "synthetic"],
        collection={**dataset.record.attributes, "satimnet:synthetic": True},
    )
    return replace(dataset, record=record)


@click.command()
@click.argument("sources", nargs=-1, type=LocalPath(path_type=Path))
@click.option("--out", required=True, type=FOLDER, help="The catalog to make or to add to.")
@click.option(
    "--dataset", "assigned", multiple=True, metavar="NAME=PATH", help="A source of a named dataset."
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME.OPTION=VALUE",
    help="An option of a dataset, such as eurosat.splits=spatial.",
)
@click.option(
    "--scheduler",
    default="processes",
    show_default=True,
    help="threads, processes, or tcp://… of a dask cluster that sees the same files.",
)
@click.option("--shard-size", default="256MiB", show_default=True, help="Upper size of a shard.")
@click.option(
    "--max-scene-size",
    default="4GiB",
    show_default=True,
    help="Leave out images with more bytes of pixels.",
)
@click.option(
    "--items",
    type=click.Choice(["json", "pages", "none"]),
    help="A file for each, pages of 100, or only the parquet; by default files, but pages where "
    "there are more than 50,000.",
)
@click.option("--strict", is_flag=True, help="Fail on the first broken file.")
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken files.")
@quiet_option
@one_line_errors
def build(
    sources: tuple[Path, ...],
    out: Path,
    assigned: tuple[str, ...],
    options: tuple[str, ...],
    scheduler: str,
    shard_size: str,
    max_scene_size: str,
    items: ItemFiles | None,
    strict: bool,
    keep_going: bool,
    quiet: bool,
) -> None:
    """Build a catalog from SOURCES: folders, .zip or .tar as their publishers give them out.

    A tar may be compressed (.tar.gz, .tar.bz2, .tar.xz, .tar.zst); archives may lie in archives.
    What cannot be read in place is unpacked beside the catalog while the build runs, which needs
    room for its content: all compressed tars but .tar.gz, and compressed archives inside others.

    Other collections of the catalog stay, one of the same dataset is replaced: give all editions
    of a dataset at once. Broken files are left out, listed in the summary and in
    build-report.json; more than one in a hundred stops the build. A build that was interrupted
    goes on when the same command is given again.
    """
    from satimnet.builder.pipeline import build as run

    if strict and keep_going:
        raise click.UsageError("--strict and --keep-going exclude each other")
    if not sources and not assigned:
        raise click.UsageError("give a source")
    if scheduler not in ("threads", "processes") and "://" not in scheduler:
        raise click.UsageError("--scheduler is threads, processes or an address such as tcp://…")
    named: dict[str, list[Path]] = {}
    for assignment in assigned:
        name, equals, path = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"--dataset {assignment}: give NAME=PATH")
        named.setdefault(name, []).append(on_disk(path))
    with progress_bar(quiet) as progress:
        reports = run(
            sources,
            out,
            assigned=named,
            options=_options(options),
            scheduler=scheduler,
            shard_size=_bytes(shard_size),
            max_scene_size=_bytes(max_scene_size),
            bad_files="stop" if strict else "any" if keep_going else "few",
            items=items,
            progress=progress,
        )
    _warn_of_nothing(reports)
    if not quiet:
        print_reports(reports)
        click.echo(f"{out / 'catalog.json'} is ready")


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


def _warn_of_nothing(reports: Sequence[Report]) -> None:
    """Names, aside and even where quiet was asked for, the sources of which nothing came."""
    for report in reports:
        if report.dataset is not None and not report.items:
            reason = report.problems[0].reason if report.problems else "it has no image"
            click.echo(f"Warning: {report.dataset}: no item, so no collection: {reason}", err=True)
        elif report.dataset is None:
            for problem in report.problems:
                click.echo(f"Warning: {problem.path}: {problem.reason}; left out", err=True)


def _require_own_demo(folder: Path, catalog: Path) -> None:
    """An earlier demo may be written over, nothing else."""
    try:
        if not any(folder.iterdir()):
            return
        made = [json.loads(path.read_bytes()) for path in catalog.glob("*/collection.json")]
        if made and all(collection["satimnet:synthetic"] for collection in made):
            return
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise SatimnetError(f"{folder}: is not empty and no earlier demo; choose another folder")


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]i?)?B?", text, re.IGNORECASE)
    if match is None:
        raise click.UsageError(f"size {text!r}: give bytes or a unit, as in 256MiB")
    unit = (match[2] or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    return int(match[1]) * int(base ** " kmg".index(unit[:1] or " "))


_KINDS = {
    "broken": "left out",
    "incomplete": "incomplete",
    "foreign": "ignored",
}


def print_reports(reports: Sequence[Report]) -> None:
    """Prints what a build made of each dataset, and the first of its problems."""
    for report in reports:
        if report.dataset is None:  # has been warned of
            continue
        items, members = counted(report.items, "item"), counted(report.members, "file")
        click.echo(f"{report.dataset}: {items} with {members}")
        for kind, what in _KINDS.items():
            problems = report.of(kind)
            for problem in problems[:_SHOWN]:
                click.echo(f"  {what}: {problem.path}: {problem.reason}")
            if len(problems) > _SHOWN:
                more = len(problems) - _SHOWN
                click.echo(f"  {what}: {more:,} more, see build-report.json")
