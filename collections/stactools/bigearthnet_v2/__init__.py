"""BigEarthNet v2.0 (reBEN): 549,488 patches of Sentinel-1 and -2 with tags and land-cover maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.datasets import Dataset
from stactools.bigearthnet_v2.source import scan

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
    """The Item of one patch whose band files lie open on disk."""
    from satimnet.builder.stac import create_item

    return create_item(dataset, *hrefs)


def register_plugin(registry: Registry) -> None:
    """Adds ``stac bigearthnet-v2`` to the command of stactools."""
    from satimnet.builder.commands import dataset_command

    registry.register_subcommand(lambda cli: dataset_command(cli, dataset))
