"""Networks learn from catalogs: ``stac satimnet train``, ``crossvalidate``, ``evaluate``…"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from satimnet.builder.commands import LocalPath, one_line_errors
from satimnet.builder.errors import SatimnetError
from satimnet.cli.options import FOLDER, allow_outside, outside_option, quiet_option
from satimnet.cli.output import cell, say
from satimnet.cli.wording import counted

if TYPE_CHECKING:
    from satimnet.training import Checkpoint, Evaluation, Samples, Table

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MODELS = click.Choice(["class", "segm", "dual"])
_COLLECTION = "Id of a collection; without it all whose samples can be taken together."
_FILE = LocalPath(exists=True, dir_okay=False, path_type=Path)


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_image_size = click.option(
    "--image-size", metavar="ROWSxCOLUMNS", help="Leave out samples with images of another size."
)
_crop = click.option(
    "--crop", metavar="ROWSxCOLUMNS", help="Read only the middle of each image, of that size."
)
_which = _options(
    click.option("--collection", help=_COLLECTION),
    click.option("--filter", "cql2", help="CQL2 text over the Items' properties."),
    click.option(
        "--limit", type=click.IntRange(1), help="Take only so many samples, drawn by the seed."
    ),
    click.option("--bands", default="B02,B03,B04,B08", show_default=True, help="With commas."),
    _image_size,
    _crop,
)
"""Options that choose the samples."""

_how = _options(
    click.option("--width", type=int, help="Filters of a convolution; the published number."),
    click.option("--epochs", default=40, show_default=True),
    click.option("--batch-size", type=int, help="64 patches, or 1024 windows."),
    click.option("--learning-rate", type=float, help="The published one."),
    click.option(
        "--schedule",
        type=click.Choice(["one-cycle", "constant"]),
        default="one-cycle",
        show_default=True,
        help="Of the learning rate: rises to it and falls, or stays.",
    ),
    click.option("--windows", type=click.IntRange(1), help="Draw so many windows beforehand."),
    click.option(
        "--windows-per-epoch", type=click.IntRange(1), help="Show so many windows in an epoch."
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--device", help="cpu or cuda; the GPU if there is one."),
    click.option("--devices", default=1, show_default=True, help="So many GPUs, or processes."),
    click.option(
        "--save-seconds",
        default=60.0,
        show_default=True,
        help="A killed training that is started again has lost at most that.",
    ),
)
"""Options of a training, by the names of `satimnet.training.train`."""


@click.command()
@click.argument("catalog")
@outside_option
@click.option("--model", type=_MODELS, default="class", show_default=True)
@_which
@_how
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Test on this fraction of each class, drawn by the seed, instead of the catalog's split.",
)
@click.option(
    "--split-by",
    type=click.Choice(["patch", "window"]),
    default="patch",
    show_default=True,
    help="Hold out whole patches, or windows wherever they lie, as the paper does: it flatters.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder of checkpoint, pictures, metrics.")
@quiet_option
@one_line_errors
def train(
    catalog: str,
    model: str,
    collection: str | None,
    cql2: str | None,
    limit: int | None,
    bands: str,
    image_size: str | None,
    crop: str | None,
    holdout: float | None,
    split_by: str,
    out: Path,
    quiet: bool,
    **how: Any,
) -> None:
    """Train a network on CATALOG and judge it by what was held out.

    Taken are the samples with all of --bands, and told is what is left out. Where collections do
    not go together, --collection chooses one.

    CNN-class gives patches a class, CNN-segm gives pixels the class of the mask, CNN-dual both at
    once. Without --holdout the catalog's train and test splits are used; where it has none, a
    tenth of each class is held out. Killed and started again with the same options, it goes on.
    """
    from satimnet.training import held_out, write_report
    from satimnet.training import train as run

    if split_by == "window" and model == "class":
        raise SatimnetError("--split-by window is for segm and dual; class has whole patches")
    samples = _samples(
        catalog,
        [model],
        collection,
        cql2,
        limit,
        bands,
        seed=how["seed"],
        size=image_size,
        crop=crop,
    )
    held: Samples | float
    if split_by == "window":
        training, held, pictured = samples, holdout or 0.1, samples
    else:
        training, held = _parts(samples, holdout, how["seed"])
        pictured = held
    checkpoint = run(
        training,
        held,
        out / "checkpoint.pt",
        model=model,
        bands=bands.split(","),
        quiet=quiet,
        **how,
    )
    results = held_out(checkpoint)
    files = write_report(results, checkpoint, out, pictured)
    judged = (
        f"{held:.0%} of their windows" if isinstance(held, float) else counted(len(held), "sample")
    )
    click.echo(f"trained on {len(training):,}, held out {judged}")
    _print(results, files)


@click.command()
@click.argument("catalog")
@outside_option
@click.option(
    "--models",
    default="class",
    show_default=True,
    help="class, segm, dual, with commas; the paper's table has class and dual.",
)
@_which
@_how
@click.option("--folds", default=10, show_default=True, help="Where items have no satimnet:fold.")
@click.option("--only-folds", type=click.IntRange(1), help="Stop after so many of the folds.")
@click.option("--out", required=True, type=FOLDER, help="Folder of networks, tables, pictures.")
@quiet_option
@one_line_errors
def crossvalidate(
    catalog: str,
    models: str,
    collection: str | None,
    cql2: str | None,
    limit: int | None,
    bands: str,
    image_size: str | None,
    crop: str | None,
    folds: int,
    only_folds: int | None,
    out: Path,
    quiet: bool,
    **how: Any,
) -> None:
    """Cross-validate networks on CATALOG: the table of the paper.

    Every fold is held out once. Folds are the items' satimnet:fold; where they have none, drawn
    by the seed with the same share of each class. Of a fused collection, networks learn from its
    main source alone and from all sources, and are tested on both. Started again, it goes on.
    """
    from satimnet.training import crossvalidate as run

    chosen = models.split(",")
    unknown = [model for model in chosen if model not in _MODELS.choices]
    if unknown:
        raise SatimnetError(f"model {unknown[0]}: there are {', '.join(_MODELS.choices)}")
    samples = _samples(
        catalog,
        chosen,
        collection,
        cql2,
        limit,
        bands,
        seed=how["seed"],
        size=image_size,
        crop=crop,
    )
    table = run(
        samples,
        chosen,
        out,
        bands=bands.split(","),
        folds=folds,
        only=only_folds,
        quiet=quiet,
        **how,
    )
    _print_table(table)
    click.echo(f"{out / 'table.md'} and {out / 'table.json'} written")


@click.command()
@click.argument("catalog")
@outside_option
@click.option("--checkpoint", required=True, type=_FILE)
@click.option("--collection", help=_COLLECTION)
@click.option("--split", help="Only samples of this split.")
@click.option("--filter", "cql2", help="CQL2 text over the Items' properties.")
@_image_size
@_crop
@click.option("--device", help="cpu or cuda; the GPU if there is one.")
@click.option("--out", required=True, type=FOLDER, help="Folder of pictures and metrics.")
@one_line_errors
def evaluate(
    catalog: str,
    checkpoint: Path,
    collection: str | None,
    split: str | None,
    cql2: str | None,
    image_size: str | None,
    crop: str | None,
    device: str | None,
    out: Path,
) -> None:
    """Evaluate a trained network on CATALOG: on samples with its bands and its classes."""
    from satimnet.training import evaluate as run
    from satimnet.training import load, write_report

    trained = load(checkpoint)
    models, bands = [trained.kind.removeprefix("cnn-")], ",".join(trained.bands)
    samples = _samples(
        catalog,
        models,
        collection,
        cql2,
        None,
        bands,
        split,
        trained=trained,
        size=image_size,
        crop=crop,
    )
    results = run(checkpoint, samples, device=device)
    files = write_report(results, trained, out, samples)
    _print(results, files)


@click.command()
@click.argument("catalog")
@outside_option
@click.option(
    "--checkpoint",
    "checkpoints",
    required=True,
    multiple=True,
    type=_FILE,
    help="Of CNN-segm or CNN-dual; may be given again.",
)
@click.option("--collection", help=_COLLECTION)
@click.option("--split", help="Only samples of this split.")
@click.option("--filter", "cql2", help="CQL2 text over the Items' properties.")
@click.option(
    "--count", type=click.IntRange(1), default=6, show_default=True, help="Samples to show."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws the samples."
)
@click.option("--out", required=True, type=LocalPath(dir_okay=False, path_type=Path), help="PNG.")
@one_line_errors
def picture(
    catalog: str,
    checkpoints: tuple[Path, ...],
    collection: str | None,
    split: str | None,
    cql2: str | None,
    count: int,
    seed: int,
    out: Path,
) -> None:
    """Draw what networks see in samples of CATALOG, beside image and mask."""
    from satimnet.training import load
    from satimnet.training.networks.plots import draw_predictions

    trained = [load(path, kinds=("cnn-segm", "cnn-dual")) for path in checkpoints]
    bands = ",".join(dict.fromkeys(name for one in trained for name in one.bands))
    samples = _samples(catalog, ["segm"], collection, cql2, None, bands, split)
    try:
        draw_predictions(samples, trained, out, count, seed)
    except OSError as error:
        raise SatimnetError(f"{out}: cannot be written ({error.strerror})") from error
    click.echo(f"{out} written")


def _samples(
    catalog: str,
    models: Sequence[str],
    collection: str | None,
    cql2: str | None,
    limit: int | None,
    bands: str,
    split: str | None = None,
    seed: int = 0,
    trained: Checkpoint | None = None,
    size: str | None = None,
    crop: str | None = None,
) -> Samples:
    """The samples that the networks can take; says which these are, and how many are left out."""
    import numpy as np

    from satimnet.training import open_samples
    from satimnet.training.networks.usable_samples import choose

    choice = choose(
        open_samples(catalog, allow_outside=allow_outside()),
        bands.split(","),
        models=models,
        trained=trained,
        size=None if size is None else _rows_and_columns("--image-size", size),
        collections=None if collection is None else [collection],
        split=split,
        filter=cql2,
    )
    for line in choice.lines():
        say(line)
    found = choice.samples
    if crop is not None:
        found = found.cropped(*_rows_and_columns("--crop", crop))
    if limit is None or limit >= len(found):
        return found
    click.echo(f"drawn by the seed: {limit:,} of {len(found):,}")
    drawn = np.random.default_rng(seed).permutation(len(found))[:limit]
    return found.subset(np.sort(drawn))


def _rows_and_columns(option: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise click.UsageError(f"{option} {text}: give rows and columns, as in 256x256")
    return int(match[1]), int(match[2])


def _parts(samples: Samples, holdout: float | None, seed: int) -> tuple[Samples, Samples]:
    import numpy as np

    from satimnet.training.data.folds import hold_out

    splits = np.array(samples.splits, dtype=object)
    training, testing = np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    if holdout is None and len(training) and len(testing):
        return samples.subset(training), samples.subset(testing)
    return hold_out(samples, holdout or 0.1, seed)


def _print(results: Mapping[str, Evaluation], files: list[Path]) -> None:
    for name, result in results.items():
        noun = "sample" if list(results) == ["class"] else "pixel"
        of = "" if len(results) == 1 else f" of {name}"
        tested = counted(int(result.confusion.sum()), noun)
        click.echo(f"accuracy{of} {result.accuracy:.2%} on {tested}")
    click.echo(f"{files[0].parent}: {', '.join(file.name for file in files)} written")


def _print_table(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=SIMPLE_HEAD)
    for name in ("Model", "Training set", "Testing set"):
        grid.add_column(name)
    for name in ("mean %", "max. %"):
        grid.add_column(name, justify="right")
    heading = ""
    for title, *cells in table.cells():
        if title != heading:
            grid.add_row(cell(title, "italic"), "", "", "", "")
            heading = title
        grid.add_row(*map(cell, cells))
    console = Console(soft_wrap=False)
    console.print(grid)
    for name, value in table.facts():
        say(f"{name}: {value}")
