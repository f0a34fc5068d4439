"""The files of many Items, read together: near ones in a store come in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.assets import read_bytes
from satimnet.builder.storage.checked_offsets import span_of
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.ranges import fetch


def read_together(
    collection: IndexedCollection, assets: Sequence[Mapping[str, Any] | None]
) -> list[bytes | None]:
    """The bytes of the assets' files, of each the first; None where there is no asset.

    Args:
        collection: The collection of the Items.
        assets: Assets of rows of its ``items.parquet``.

    Raises:
        SatimnetError: a file cannot be read, or may not be reached from the catalog.
    """
    read: list[bytes | None] = [None] * len(assets)
    far: dict[int, tuple[str, int, int]] = {}
    for at, asset in enumerate(assets):
        if asset is None:
            continue
        place, members = collection.resolve(asset["href"]), asset.get("archive")
        if not members:
            read[at] = read_bytes({"href": place})
        elif is_url(place):
            far[at] = (place, *span_of(members[0], f"{place}, member 0"))
        else:
            read[at] = read_bytes({"href": place, "archive": members[:1]})
    if far:
        hrefs, starts, sizes = zip(*far.values(), strict=True)
        for at, data in zip(far, fetch(hrefs, starts, sizes), strict=True):
            read[at] = bytes(data)
    return read
