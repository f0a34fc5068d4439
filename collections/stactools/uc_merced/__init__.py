"""UC Merced Land Use: 2,100 aerial images of 21 land-use classes, one foot a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from satimnet.builder.datasets import Dataset
from stactools.uc_merced.source import scan

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
    """The Item of one image that lies open on disk."""
    from satimnet.builder.stac import create_item

    return create_item(dataset, *hrefs)


def register_plugin(registry: Registry) -> None:
    """Adds ``stac uc-merced`` to the command of stactools."""
    from satimnet.builder.commands import dataset_command

    registry.register_subcommand(lambda cli: dataset_command(cli, dataset))
