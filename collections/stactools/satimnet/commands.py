"""The commands of ``stac satimnet``: options in, one call of the library, a picture of the result.

Everything heavy is imported inside the commands, so that ``stac --help`` answers fast.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from satimnet.builder.commands import one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.builder.progress import Progress, silent

if TYPE_CHECKING:
    from satimnet.builder.index import Index
    from satimnet.builder.pipeline import Report
    from satimnet.builder.queries import Found
    from satimnet.builder.validation import Findings
    from satimnet.training import Evaluation, Samples

_FOLDER = click.Path(file_okay=False, path_type=Path)
_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress; errors only.")
_schemas = click.option(
    "--schemas",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="SATIMNET_SCHEMAS",
    help="Folder of extension schemas with an index.json (URI to file), for work offline.",
)


def create_satimnet_command(cli: click.Group) -> click.Command:
    """Adds the group ``satimnet`` to the ``stac`` command."""

    @cli.group("satimnet", short_help="Harmonised training sets: build, check, search, train")
    def satimnet() -> None:
        """Catalogs of harmonised training sets for satellite-image classification."""

    for command in (demo, build, validate, info, search, train, evaluate):
        satimnet.add_command(command)
    return satimnet


# --- build --------------------------------------------------------------------------------------


@click.command()
@click.argument("folder", type=_FOLDER)
@_schemas
@_quiet
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
    with _progress(quiet) as progress:
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
        _print_findings(findings)
        rivers = count(catalog, classes=["River"])
        click.echo(f"Search for the class River finds {rivers} items. Try next:\n")
        for line in (
            f"stac satimnet info {catalog}",
            f"stac satimnet search {catalog} --class Forest --limit 5",
            f"stac satimnet train {catalog} --bands B04,B03,B02,B08 --width 16 --epochs 20 "
            f"--batch-size 16 --out {folder / 'run'}",
        ):
            click.echo(f"  {line}")
    _fail_on(findings)


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="The catalog to make or to add to.")
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
@_quiet
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
    with _progress(quiet) as progress:
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
        click.echo(f"{report.dataset}: {report.items:,} items with {report.members:,} image files")
        for what, problems in (("left out", report.left_out), ("ignored", report.ignored)):
            for problem in problems[:10]:
                click.echo(f"  {what}: {problem.path}: {problem.reason}")
            if len(problems) > 10:
                click.echo(f"  {what}: {len(problems) - 10:,} more, see build-report.json")


# --- validate, info, search ---------------------------------------------------------------------


@click.command()
@click.argument("catalog")
@click.option("--checksums", is_flag=True, help="Read every member and compare its checksum.")
@_schemas
@_quiet
@one_line_errors
def validate(catalog: str, checksums: bool, schemas: Path | None, quiet: bool) -> None:
    """Check CATALOG, on disk, against its schemas, links, byte ranges and index."""
    from satimnet.builder.validation import validate as run

    if "://" in catalog:
        raise SatimnetError(f"{catalog}: only catalogs on disk are checked; copy it here first")

    with _progress(quiet) as progress:
        findings = run(Path(catalog), schemas=schemas, checksums=checksums, progress=progress)
    if not quiet:
        _print_findings(findings)
    _fail_on(findings)


def _print_findings(findings: Findings) -> None:
    objects = findings.objects
    click.echo(
        f"Checked {objects['Feature']:,} items, {objects['Collection']:,} collections and "
        f"{objects['Catalog']:,} catalogs against {len(findings.checked)} schemas"
        + (f", {findings.members:,} members against their checksums" if findings.members else "")
        + f": {findings.count or 'no'} problem{'' if findings.count == 1 else 's'}"
    )
    if findings.unavailable:
        click.echo(
            "NOT checked, for want of a schema (give --schemas or a network): "
            + ", ".join(uri.split("/")[-3] for uri in findings.unavailable),
            err=True,
        )


def _fail_on(findings: Findings) -> None:
    if findings.count:
        for problem in findings.problems[:20]:
            click.echo(problem, err=True)
        raise SatimnetError(f"{findings.count} problems, the first: {findings.problems[0]}")


@click.command()
@click.argument("catalog")
@one_line_errors
def info(catalog: str) -> None:
    """Show what CATALOG (path or URL) holds: collections, items, classes, splits."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from satimnet.builder.index import Index
    from satimnet.builder.queries import search_table

    index = Index(catalog)
    console = Console()
    for name, collection in index.collections.items():
        columns = ["satimnet:classes", "satimnet:split"]
        rows = search_table(index, collections=[name], columns=columns)
        content = collection.document
        console.print(f"\n[bold]{content['title']}[/] ({name}), licence {content['license']}")
        console.print(content["description"].strip(), highlight=False)
        classes = Counter(c for row in rows["satimnet:classes"].to_pylist() for c in row or ())
        table = Table("class", "items", "", box=None)
        most = max(classes.values(), default=1)
        for label, number in sorted(classes.items()):
            table.add_row(label, f"{number:,}", "█" * max(1, round(30 * number / most)))
        table.add_row("all", f"{len(rows):,}")
        console.print(table)
        splits = Counter(rows["satimnet:split"].to_pylist())
        console.print("split: " + ", ".join(f"{k or 'none'} {v:,}" for k, v in splits.items()))


@click.command()
@click.argument("catalog")
@click.option("--collection", "collections", multiple=True, help="Id of a collection.")
@click.option("--id", "ids", multiple=True, help="Id of an item.")
@click.option("--bbox", metavar="W,S,E,N", help="Degrees; W > E crosses the antimeridian.")
@click.option("--datetime", help="RFC 3339 time or interval, as 2016-01-01/..")
@click.option("--filter", "filter_", help="CQL2, text or JSON.")
@click.option("--class", "classes", multiple=True, help="Name of a class that is present.")
@click.option("--split", multiple=True, help="train, validation or test.")
@click.option("--sortby", help="Fields, '-' before those to sort downwards: -datetime,id")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many items.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "ndjson"]),
    default="table",
    show_default=True,
)
@one_line_errors
def search(
    catalog: str,
    collections: tuple[str, ...],
    ids: tuple[str, ...],
    bbox: str | None,
    datetime: str | None,
    filter_: str | None,
    classes: tuple[str, ...],
    split: tuple[str, ...],
    sortby: str | None,
    limit: int | None,
    count: bool,
    form: str,
) -> None:
    """Find items of CATALOG (path or URL)."""
    from satimnet.builder.index import Index
    from satimnet.builder.queries import search as run

    index = Index(catalog)
    _require_known(index, classes)
    found = run(
        index,
        collections=collections or None,
        ids=ids or None,
        bbox=_numbers(bbox),
        datetime=datetime,
        filter=filter_,
        classes=classes or None,
        split=split or None,
        sortby=sortby,
        limit=limit,
    )
    if count:
        click.echo(len(found))
    elif form == "json":
        click.echo(json.dumps({"type": "FeatureCollection", "features": list(found)}, indent=2))
    elif form == "ndjson":
        for item in found:
            click.echo(json.dumps(item))
    else:
        _print_items(found)


def _require_known(index: Index, classes: tuple[str, ...]) -> None:
    known = {
        row["name"]
        for collection in index.collections.values()
        for row in collection.document.get("summaries", {}).get("classification:classes", ())
    }
    for name in classes:
        if known and name not in known:
            raise SatimnetError(f"no class {name!r}; there are {', '.join(sorted(known))}")


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--bbox {text}: give numbers, as in 5,45,15,55") from error


def _print_items(items: Found) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("collection", "id", "classes", "split", "assets", "bbox", box=None)
    for item in items:
        properties = item["properties"]
        table.add_row(
            item["collection"],
            item["id"],
            ", ".join(properties.get("satimnet:classes", ())),
            properties.get("satimnet:split", ""),
            ", ".join(item["assets"]),
            " ".join(f"{v:.3f}" for v in item.get("bbox", ())),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    click.echo(f"{len(items):,} items")


# --- train, evaluate ----------------------------------------------------------------------------


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
@click.option("--out", required=True, type=_FOLDER, help="Folder of checkpoint, pictures, metrics.")
@_quiet
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
    click.echo(f"trained on {len(training):,}, held out {len(testing):,} samples")
    _print_result(result, out)


@click.command()
@click.argument("catalog")
@click.option("--checkpoint", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--collection", help="Id of a collection; all without it.")
@click.option("--split", help="Only samples of this split.")
@click.option("--device", help="cpu or cuda; the GPU if there is one.")
@click.option("--out", required=True, type=_FOLDER, help="Folder of pictures and metrics.")
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
    click.echo(f"accuracy {result.accuracy:.2%} on {result.confusion.sum():,} samples")
    click.echo(f"{out / 'confusion.png'}, {out / 'curves.png'} and {out / 'metrics.json'} written")


# --- progress -----------------------------------------------------------------------------------


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A progress bar on the terminal's error stream, which leaves the output to results."""
    if quiet:
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total or None)

        yield show
