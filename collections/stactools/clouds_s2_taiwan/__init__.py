"""Clouds-s2-taiwan: Sentinel-2 images of Taiwan with masks of clouds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.datasets import Dataset
from stactools.clouds_s2_taiwan.source import scan

if TYPE_CHECKING:
    import pystac
    from stactools.cli.registry import Registry

__all__ = ["create_collection", "create_item", "dataset", "register_plugin"]

dataset = Dataset.load(Path(__file__).with_name("dataset.toml"), scan)


def create_collection() -> pystac.Collection:
    """The Collection without items, as published."""
    from satimnet.builder.stac import create_collection

    return create_collection(dataset)


def create_item(*hrefs: str) -> pystac.Item:
    """The Item of one image that lies open on disk, with its mask."""
    from satimnet.builder.stac import create_item

    return create_item(dataset, *hrefs)


def register_plugin(registry: Registry) -> None:
    """Adds ``stac clouds-s2-taiwan`` to the command of stactools."""
    from satimnet.builder.commands import dataset_command

    registry.register_subcommand(lambda cli: dataset_command(cli, dataset))
