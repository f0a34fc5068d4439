"""The plugin of stactools that hangs the command ``satimnet`` under ``stac``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from satimnet.builder.old_names import find_moved_modules

if TYPE_CHECKING:
    from stactools.cli.registry import Registry

find_moved_modules()


def register_plugin(registry: Registry) -> None:
    """Adds ``stac satimnet`` to the command of stactools."""
    from satimnet.cli.group import create_satimnet_command

    registry.register_subcommand(create_satimnet_command)
