"""Catalogs are made: ``stac satimnet demo`` and ``build``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from stactools.satimnet.checking import fail_on, print_findings
from stactools.satimnet.options import FOLDER, quiet_option, schemas_option
from stactools.satimnet.progress import progress_bar
from stactools.satimnet.wording import counted

if TYPE_CHECKING:
    from satimnet.builder.pipeline import Report


@click.command()
@click.argument("folder", type=FOLDER)
@schemas_option
@quiet_option
@one_line_errors
def demo(folder: Path, schemas: Path | None, quiet: bool) -> None:
    """Make a miniature source and build, check and search its catalog, all in FOLDER."""
    from dataclasses import replace

    from satimnet.builder.pipeline import build as run_build
    from satimnet.builder.queries import count
    from satimnet.builder.validation import validate as run_validate
    from stactools.eurosat import dataset
    from stactools.eurosat.miniature import write_miniature

    source, catalog = folder / "source", folder / "catalog"
    _require_own_demo(folder, catalog / dataset.id / "collection.json")
    record = {
        **dataset.record,
        "title": "EuroSAT in miniature (synthetic)",
        "description": "Made-up pixels in the official layout of EuroSAT, to try things with. "
        "Nothing in it was observed; the metadata are those of the real EuroSAT.",
        "keywords": [*dataset.record["keywords"], "synthetic"],
        "collection": {**dataset.record["collection"], "satimnet:synthetic": True},
    }
    with progress_bar(quiet) as progress:
        progress("Writing the source", 0, 0)
        try:
            archives = write_miniature(source)
        except OSError as error:
            raise SatimnetError(f"{source}: {error.strerror}; choose another folder") from error
        datasets = {dataset.id: replace(dataset, record=record)}
        reports = run_build(archives, catalog, datasets=datasets, progress=progress)
        findings = run_validate(catalog, schemas=schemas, checksums=True, progress=progress)
    if not quiet:
        _print_reports(reports)
        print_findings(findings)
        rivers = count(catalog, classes=["River"])
        click.echo(f"Search for the class River finds {counted(rivers, 'item')}. Try next:\n")
        for line in (
            f"stac satimnet info {catalog}",
            f"stac satimnet search {catalog} --class Forest --limit 5",
            f"stac satimnet train {catalog} --bands B04,B03,B02,B08 --width 16 --epochs 20 "
            f"--batch-size 16 --out {folder / 'run'}",
        ):
            click.echo(f"  {line}")
    fail_on(findings)


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=FOLDER, help="The catalog to make or to add to.")
@click.option(
    "--dataset", "assigned", multiple=True, metavar="NAME=PATH", help="A source of a named dataset."
)
@click.option(
    "--scheduler",
    default="processes",
    show_default=True,
    help="threads, processes, or tcp://… of a dask cluster that sees the same files.",
)
@click.option("--shard-size", default="256MiB", show_default=True, help="Upper size of a shard.")
@click.option("--strict", is_flag=True, help="Fail on the first broken file.")
@click.option("--keep-going", is_flag=True, help="Leave out any number of broken files.")
@quiet_option
@one_line_errors
def build(
    sources: tuple[Path, ...],
    out: Path,
    assigned: tuple[str, ...],
    scheduler: str,
    shard_size: str,
    strict: bool,
    keep_going: bool,
    quiet: bool,
) -> None:
    """Build a catalog from SOURCES: folders, .zip or .tar(.gz) as their publishers give them out.

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
        named.setdefault(name, []).append(Path(path))
    with progress_bar(quiet) as progress:
        reports = run(
            sources,
            out,
            assigned=named,
            scheduler=scheduler,
            shard_size=_bytes(shard_size),
            bad_files="stop" if strict else "any" if keep_going else "few",
            progress=progress,
        )
    if not quiet:
        _print_reports(reports)
        click.echo(f"{out / 'catalog.json'} is ready")


def _require_own_demo(folder: Path, collection: Path) -> None:
    """An earlier demo may be written over, nothing else."""
    try:
        if not any(folder.iterdir()):
            return
        if json.loads(collection.read_bytes())["satimnet:synthetic"]:
            return
    except FileNotFoundError:
        if not folder.exists():
            return
    except (OSError, ValueError, LookupError):
        pass
    raise SatimnetError(f"{folder}: is not empty and no earlier demo; choose another folder")


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]i?)?B?", text, re.IGNORECASE)
    if match is None:
        raise click.UsageError(f"size {text!r}: give bytes or a unit, as in 256MiB")
    unit = (match[2] or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    return int(match[1]) * int(base ** " kmg".index(unit[:1] or " "))


def _print_reports(reports: Sequence[Report]) -> None:
    for report in reports:
        items, files = counted(report.items, "item"), counted(report.members, "image file")
        click.echo(f"{report.dataset}: {items} with {files}")
        for what, problems in (("left out", report.left_out), ("ignored", report.ignored)):
            for problem in problems[:10]:
                click.echo(f"  {what}: {problem.path}: {problem.reason}")
            if len(problems) > 10:
                click.echo(f"  {what}: {len(problems) - 10:,} more, see build-report.json")
