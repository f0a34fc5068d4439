"""The STAC extension ``satimnet``: attributes of training sets and of their samples.

The text of the specification is ``extensions/README.md`` of the repository, its JSON Schema is
`schema`, and `SatimnetExtension` gives the fields on pystac objects. What needs pystac is loaded on
first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from satimnet.extension._schema import PREFIX, SCHEMA_URI, SCHEMA_URIS, schema

if TYPE_CHECKING:
    from satimnet.extension._extension import (
        HOOKS,
        AssetSatimnetExtension,
        CollectionSatimnetExtension,
        ItemAssetSatimnetExtension,
        ItemSatimnetExtension,
        SatimnetExtension,
        SummariesSatimnetExtension,
    )

__all__ = [
    "HOOKS",
    "PREFIX",
    "SCHEMA_URI",
    "SCHEMA_URIS",
    "AssetSatimnetExtension",
    "CollectionSatimnetExtension",
    "ItemAssetSatimnetExtension",
    "ItemSatimnetExtension",
    "SatimnetExtension",
    "SummariesSatimnetExtension",
    "schema",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}._extension"), name)


def __dir__() -> list[str]:
    return __all__
