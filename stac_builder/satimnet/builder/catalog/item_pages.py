"""The Items of a node on pages, where a file for each would be too many.

STAC Browser pages through a static catalog by the link ``items`` of a node to FeatureCollections
with ``next`` and ``prev``. That browser resolves relative links against the node, others do so
against the page; pages lie beside their node, so that both come out the same.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import orjson

from satimnet.builder.catalog.items import ItemText

PAGE_SIZE = 100
"""Items of a page."""
MOST_FILES = 50_000
"""Up to so many Items of a collection, each has a file of its own by default."""

_AT_ONCE = 2**17  # bytes; an Item of BigEarthNet has 10,000

ItemFiles = Literal["json", "pages", "none"]
"""How the tree shows Items: a file for each, pages of many, or not at all."""


def files_for(items: int) -> ItemFiles:
    """How the tree shows so many Items of a collection by default."""
    return "json" if items <= MOST_FILES else "pages"


def page_name(number: int) -> str:
    """File name of a page, counted from 0, beside its node."""
    return f"items-{number:05d}.json"


def write_features(texts: Iterable[ItemText], path: Path) -> None:
    """Writes a line of JSON for each Item, as it will stand on its page."""
    with path.open("wb", buffering=2**20) as file:
        for _, _, text in texts:
            file.write(text + b"\n")


def split_features(features: Path, folder: Path) -> None:
    """Writes a file for each line of `write_features` into the folder of the node."""
    folder.mkdir(parents=True, exist_ok=True)
    with features.open("rb") as lines:
        for line in lines:
            (folder / f"{orjson.loads(line)['id']}.json").write_bytes(line[:-1])


def write_pages(features: Iterable[Path], total: int, folder: Path) -> None:
    """Writes the pages of a node into its folder.

    Args:
        features: Files that `write_features` wrote.
        total: How many Items they have.
        folder: Folder of the node.
    """
    lines = _lines(features)
    last = max(0, -(-total // PAGE_SIZE) - 1)
    for number in range(last + 1):
        chunk = list(itertools.islice(lines, PAGE_SIZE))
        head: dict[str, Any] = {
            "type": "FeatureCollection",
            "numberMatched": total,
            "numberReturned": len(chunk),
            "links": _links(number, last),
        }
        part = folder / f"{page_name(number)}.part"
        # The lines are JSON already, so they are copied as they are.
        with part.open("wb") as file:
            file.write(orjson.dumps(head)[:-1] + b',"features":[')
            file.write(b",".join(chunk) + b"]}\n")
        os.replace(part, folder / page_name(number))


def _lines(features: Iterable[Path]) -> Iterator[bytes]:
    for path in features:
        with path.open("rb", buffering=_AT_ONCE) as file:
            yield from (line[:-1] for line in file)


def _links(number: int, last: int) -> list[dict[str, str]]:
    # https://api.stacspec.org/v1.0.0/ogcapi-features: paging by links
    targets = {"first": 0, "prev": number - 1, "next": number + 1, "last": last}
    return [
        {"rel": rel, "href": f"./{page_name(target)}", "type": "application/geo+json"}
        for rel, target in targets.items()
        if 0 <= target <= last
    ]
