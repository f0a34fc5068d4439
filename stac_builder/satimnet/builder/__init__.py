"""SatImNet's builder: from a dataset's source to a static STAC catalog, and the search over it.

The public surface is what stands in ``__all__``; it is loaded on first use, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from satimnet.builder.old_names import find_moved_modules

if TYPE_CHECKING:
    from satimnet.builder.catalog.validation import validate
    from satimnet.builder.comparison.comparing import diff
    from satimnet.builder.errors import BadFileError, SatimnetError
    from satimnet.builder.pipeline import build
    from satimnet.builder.publishing.pruning import prune
    from satimnet.builder.publishing.versions import versions
    from satimnet.builder.query.client import open
    from satimnet.builder.query.search import search
    from satimnet.builder.splitting.dividing import split
    from satimnet.builder.storage.assets import gdal_path, open_asset, read_bytes, resolve

__all__ = [
    "BadFileError",
    "SatimnetError",
    "build",
    "diff",
    "gdal_path",
    "open",
    "open_asset",
    "prune",
    "read_bytes",
    "resolve",
    "search",
    "split",
    "validate",
    "versions",
]

_HOMES = {
    "BadFileError": "errors",
    "SatimnetError": "errors",
    "build": "pipeline",
    "diff": "comparison.comparing",
    "gdal_path": "storage.assets",
    "open": "query.client",
    "open_asset": "storage.assets",
    "prune": "publishing.pruning",
    "read_bytes": "storage.assets",
    "resolve": "storage.assets",
    "search": "query.search",
    "split": "splitting.dividing",
    "validate": "catalog.validation",
    "versions": "publishing.versions",
}

find_moved_modules()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
