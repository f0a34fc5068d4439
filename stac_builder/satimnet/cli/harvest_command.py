"""``satimnet harvest``: a description on the web becomes the skeleton of a dataset package."""

from __future__ import annotations

from pathlib import Path

import click

from satimnet.builder.commands import one_line_errors
from satimnet.cli.options import FOLDER
from satimnet.cli.output import say
from satimnet.cli.package_skeleton import in_checkout, skeleton, write_package


@click.command(short_help="Write a dataset package from a description on the web.")
@click.argument("description", metavar="FILE|URL")
@click.argument("folder", type=FOLDER, default=".")
@click.option("--name", help="Id of the dataset; without it, made of what it is called there.")
@one_line_errors
def harvest(description: str, folder: Path, name: str | None) -> None:
    """Write the skeleton of a dataset package from a description of the dataset.

    FILE or URL is a Croissant description (JSON-LD), a STAC Collection, the README.md of a dataset
    at Hugging Face, or a record of Zenodo (https://zenodo.org/api/records/NUMBER). The package is
    that of new-dataset, and goes where that goes; its dataset.toml has all that the description
    states, with the source, and lists what is open. It works as it stands, on made-up images.
    """
    from satimnet.builder.errors import ArgumentError
    from satimnet.builder.harvest import read_description, record_of

    said = read_description(description)
    chosen = name or said.id
    if chosen is None:
        raise ArgumentError(
            f"{said.place}: does not say what the dataset is called; give name", "name"
        )
    files = skeleton(chosen, folder, layout="harvested")
    path = next(path for path in files if path.name == "dataset.toml")
    record = record_of(said, chosen, _in_made_up_layout(files[path], chosen))
    write_package(chosen, folder, files | {path: record.text})
    for one in files:
        say(one)
    say(f"\n{said.form}, {said.place}. Open, because nothing is said of it there:\n")
    for what in record.open:
        say(f"  {what}")
    for what in said.left_out:
        say(f"  left out: {what}")
    test = next(path for path in files if path.name.startswith("test_"))
    install = "" if in_checkout(folder) else f'  pip install -e "{folder / chosen}[test]"\n'
    say(f"""
The record is {path}.
It works as it stands, on made-up images:

{install}  pytest {test}

Next: fill in what is open, and have source.py read the dataset's own layout.""")


def _in_made_up_layout(record: str, name: str) -> str:
    """The record of the skeleton, with the layout that the harvested reader reads."""
    lines = record.splitlines(keepends=True)
    made_up = {
        "layout": f'"<class>/<number>/{name}-<asset>.<ending>, such as forest/1/{name}-image.png"',
        "signature": f"'(^|/)[^/]+/[0-9]+/{name}-[A-Za-z0-9_.-]+$'",
    }
    for at, line in enumerate(lines):
        key = line.partition(" = ")[0]
        if key in made_up:
            lines[at] = f"{key} = {made_up[key]}\n"
    return "".join(lines)
