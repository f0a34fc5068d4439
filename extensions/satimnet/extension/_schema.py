"""The names of the extension and its JSON Schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

SCHEMA_URI = "https://satimnet.github.io/stac-extension/v1.1.0/schema.json"
"""What stands in ``stac_extensions`` of every Item and Collection that has ``satimnet:`` fields."""

_FILES = {
    SCHEMA_URI: "schema.json",
    "https://satimnet.github.io/stac-extension/v1.0.0/schema.json": "schema-1.0.0.json",
}

SCHEMA_URIS = tuple(_FILES)
"""The URIs of all versions, the newest first: objects of older catalogs declare older ones."""

PREFIX = "satimnet:"
"""What the names of all fields of the extension begin with."""


def schema(uri: str = SCHEMA_URI) -> dict[str, Any]:
    """The JSON Schema (draft-07) of the extension, read from the package without the network.

    Args:
        uri: One of `SCHEMA_URIS`: the version.

    Returns:
        The schema as Python has JSON: a new object with each call.

    Example:
        >>> schema()["$id"] == SCHEMA_URI
        True
        >>> [schema(uri)["$id"] == uri for uri in SCHEMA_URIS]
        [True, True]
    """
    text = files(__package__).joinpath(_FILES[uri]).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
