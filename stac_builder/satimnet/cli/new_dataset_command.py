"""``satimnet new-dataset``: the skeleton of a dataset package is written."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER
from satimnet.cli.package_skeleton import in_checkout, skeleton, write_package


@click.command("new-dataset", short_help="Write the skeleton of a dataset package.")
@click.argument("name")
@click.argument("folder", type=FOLDER, default=".")
@click.option(
    "--like",
    type=click.Choice(["image-folder", "masks", "coco", "yolo", "voc", "csv"]),
    help="The dataset is in this layout; the package then needs no reader of its own.",
)
@one_line_errors
def new_dataset(name: str, folder: Path, like: str | None) -> None:
    """Write the skeleton of a package for the dataset NAME. It works as it stands.

    NAME is the id of the collection, such as city-trees. The package goes into a new folder
    FOLDER/NAME, as a distribution of its own; or, if FOLDER is a checkout of satimnet, into its
    folders collections/stactools and tests. Without FOLDER, it is the current folder.
    """
    files = skeleton(name, folder, like=like)
    write_package(name, folder, files)
    for path in files:
        click.echo(path)
    test = next(path for path in files if path.name.startswith("test_"))
    install = "" if in_checkout(folder) else f'  pip install -e "{folder / name}[test]"\n'
    click.echo(f"""
It works as it stands:

{install}  pytest {test}

Make it yours: dataset.toml says what the dataset is, source.py reads it, miniature.py makes
a small one up. docs/new-dataset.md of satimnet goes through them.""")
