"""The names of the extension and its JSON Schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

SCHEMA_URI = "https://satimnet.github.io/stac-extension/v1.0.0/schema.json"
"""What stands in ``stac_extensions`` of every Item and Collection that has ``satimnet:`` fields."""

PREFIX = "satimnet:"
"""What the names of all fields of the extension begin with."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft-07) of the extension, read from the package without the network.

    Returns:
        The schema as Python has JSON: a new object with each call.

    Example:
        >>> schema()["$id"] == SCHEMA_URI
        True
    """
    text = files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
