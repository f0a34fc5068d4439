"""Where the files of a built catalog lie: below the version of a collection that is the current."""

import json
from pathlib import Path


def home_of(catalog: Path, collection: str = "eurosat") -> Path:
    """The folder of the current version of a collection."""
    root = json.loads((catalog / "catalog.json").read_bytes())
    hrefs = [link["href"] for link in root["links"] if link["rel"] == "child"]
    (found,) = [href for href in hrefs if href.split("/")[1] == collection]
    return (catalog / found).parent


def shard_of(catalog: Path, name: str, collection: str = "eurosat") -> Path:
    """The shard whose plan has the name, such as ``River-00000``."""
    (found,) = (catalog / collection / "shards").glob(f"{name}-*.zip")
    return found
