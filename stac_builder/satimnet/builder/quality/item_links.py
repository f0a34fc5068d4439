"""Item links: where whoever reads a report finds the Items that its pictures show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from satimnet.builder.errors import SatimnetError
from satimnet.builder.explorer.page_files import PAGE
from satimnet.builder.exports.links import Links
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import is_web, join
from satimnet.builder.storage.stores import is_url

_EXPLORER = f"./explore/{PAGE}"


class ItemLinks:
    """Links to the Items of a catalog, from a report on this machine.

    An Item's own file is linked. Where the tree has none, it is the Item's place in the explorer,
    if that lies in the catalog's folder ``explore``.

    Args:
        catalog: path or URL of ``catalog.json``.
        folder: that of the report.
        future_place: as of `satimnet.builder.exports.links.Links`.
    """

    def __init__(self, catalog: str, folder: Path, future_place: str = "") -> None:
        self._links = Links(folder, catalog=catalog, future_place=future_place)
        self._in_store = bool(future_place)
        self._explorer = join(_EXPLORER, catalog)
        self._known: dict[str, bool] = {}

    def to(self, item: Mapping[str, Any]) -> str | None:
        """The link to an Item whose hrefs are absolute; None if a browser can open none."""
        parents = [link["href"] for link in item["links"] if link["rel"] == "parent"]
        if not parents:
            return None
        if is_url(parents[0]) and not is_web(parents[0]) and not self._in_store:
            return None
        file = join(f"./{item['id']}.json", parents[0])
        if self._is_there(f"{item['collection']}", file):
            return self._links.to(file)
        if self._is_there("", self._explorer):
            words = urlencode({"item": f"{item['collection']}/{item['id']}"})
            return f"{self._links.to(self._explorer)}#{words}"
        return None

    def _is_there(self, name: str, place: str) -> bool:
        """Whether a file is there: of a collection's Items one is asked for, for all of them."""
        if name not in self._known:
            try:
                self._known[name] = objects.exists(place)
            except SatimnetError:
                self._known[name] = False
        return self._known[name]
