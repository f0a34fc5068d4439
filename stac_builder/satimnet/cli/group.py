"""The group ``satimnet`` and its commands.

A command takes options, calls the library and prints the result. Everything heavy is imported
inside the commands, so that ``satimnet --help`` answers fast.
"""

from __future__ import annotations

import click

from satimnet.builder.commands import Commands
from satimnet.cli.browser_command import browser
from satimnet.cli.build_command import build
from satimnet.cli.chip_command import chip
from satimnet.cli.concepts_command import concepts
from satimnet.cli.copy_command import copy
from satimnet.cli.crossvalidate_command import crossvalidate
from satimnet.cli.demo_command import demo
from satimnet.cli.diff_command import diff
from satimnet.cli.download_command import download
from satimnet.cli.evaluate_command import evaluate
from satimnet.cli.explorer_command import explorer
from satimnet.cli.export_command import export
from satimnet.cli.fuse_command import fuse
from satimnet.cli.harvest_command import harvest
from satimnet.cli.info_command import info
from satimnet.cli.map_command import map_command
from satimnet.cli.new_dataset_command import new_dataset
from satimnet.cli.picture_command import picture
from satimnet.cli.prune_command import prune
from satimnet.cli.quality_command import quality
from satimnet.cli.search_command import search
from satimnet.cli.serve_command import serve
from satimnet.cli.split_command import split
from satimnet.cli.train_command import train
from satimnet.cli.tune_command import tune
from satimnet.cli.validate_command import validate
from satimnet.cli.versions_command import versions

_COMMANDS: tuple[click.Command, ...] = (
    demo,
    download,
    build,
    validate,
    info,
    concepts,
    search,
    serve,
    explorer,
    browser,
    quality,
    split,
    diff,
    copy,
    versions,
    prune,
    export,
    new_dataset,
    harvest,
    chip,
    fuse,
    train,
    crossvalidate,
    tune,
    evaluate,
    picture,
    map_command,
)


@click.group(
    "satimnet",
    cls=Commands,
    commands=_COMMANDS,
    short_help="Harmonised training sets: build, check, search, train.",
)
def satimnet() -> None:
    """Harmonised training sets of satellite images, in STAC catalogs."""


def create_satimnet_command(cli: click.Group) -> click.Command:
    """Adds the group ``satimnet`` to the ``stac`` command."""
    cli.add_command(satimnet)
    return satimnet
