"""The group ``stac satimnet`` and its commands.

A command takes options in, calls the library once and pictures the result. Everything heavy is
imported inside the commands, so that ``stac --help`` answers fast.
"""

from __future__ import annotations

import click

from satimnet.builder.commands import Commands
from satimnet.cli.build_command import build, demo
from satimnet.cli.concepts_command import concepts
from satimnet.cli.copy_command import copy
from satimnet.cli.download_command import download
from satimnet.cli.export_command import export
from satimnet.cli.fuse_command import fuse
from satimnet.cli.map_command import map_command
from satimnet.cli.new_dataset_command import new_dataset
from satimnet.cli.quality_command import quality
from satimnet.cli.search_command import info, search
from satimnet.cli.serve_command import browser, serve
from satimnet.cli.train_command import crossvalidate, evaluate, picture, train
from satimnet.cli.validate_command import validate

_COMMANDS: tuple[click.Command, ...] = (
    demo,
    download,
    build,
    validate,
    info,
    concepts,
    search,
    serve,
    browser,
    quality,
    copy,
    export,
    new_dataset,
    fuse,
    train,
    crossvalidate,
    evaluate,
    picture,
    map_command,
)


@click.group(
    "satimnet",
    cls=Commands,
    commands=_COMMANDS,
    short_help="Harmonised training sets: build, check, search, train",
)
def satimnet() -> None:
    """Catalogs of harmonised training sets for satellite-image classification."""


def create_satimnet_command(cli: click.Group) -> click.Command:
    """Adds the group ``satimnet`` to the ``stac`` command."""
    cli.add_command(satimnet)
    return satimnet
