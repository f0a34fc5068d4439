"""The STAC extension ``satimnet``: attributes of training sets and of their samples.

The text of the specification is ``extensions/README.md`` of the repository, its JSON Schema is
`schema`, and `SatimnetExtension` gives the fields on pystac objects.
"""

from __future__ import annotations

from satimnet.extension._extension import (
    HOOKS,
    AssetSatimnetExtension,
    CollectionSatimnetExtension,
    ItemAssetSatimnetExtension,
    ItemSatimnetExtension,
    SatimnetExtension,
    SummariesSatimnetExtension,
)
from satimnet.extension._schema import PREFIX, SCHEMA_URI, SCHEMA_URIS, schema

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
