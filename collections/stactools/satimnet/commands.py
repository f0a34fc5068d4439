"""The group ``stac satimnet`` and its commands.

A command takes options in, calls the library once and pictures the result. Everything heavy is
imported inside the commands, so that ``stac --help`` answers fast.
"""

from __future__ import annotations

import click

from satimnet.builder.commands import Commands
from stactools.satimnet.building import build, demo
from stactools.satimnet.checking import validate
from stactools.satimnet.concepts import concepts
from stactools.satimnet.copying import copy
from stactools.satimnet.downloading import download
from stactools.satimnet.exporting import export
from stactools.satimnet.fusing import fuse
from stactools.satimnet.learning import crossvalidate, evaluate, picture, train
from stactools.satimnet.mapping import map_command
from stactools.satimnet.new_dataset import new_dataset
from stactools.satimnet.quality import quality
from stactools.satimnet.querying import info, search
from stactools.satimnet.serving import browser, serve

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
