"""A pystac-client `Client` on a static catalog that can be searched, without a server.

pystac-client asks a STAC API by URL; here the questions under the catalog's own address are
answered by `satimnet.builder.api`, and every other URL is read as ever.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, unquote

import pystac
from pystac_client import Client
from pystac_client.stac_api_io import StacApiIO

from satimnet.builder.api import Api, Place
from satimnet.builder.index import Index

_PAGE = 500  # Items a page where the client names no limit


def open(href: str | os.PathLike[str]) -> Client:
    """A `Client` on the static catalog at ``href`` (path or URL of ``catalog.json`` or folder).

    ``search`` takes all that a STAC API server would, CQL2 filters, ``query``, ``sortby`` and
    ``fields`` included. What cannot be understood, and a collection that is not there, raise
    `SatimnetError`. A plain ``Client.open`` of the same href does not search.
    """
    index = Index(href)
    return Client.open(index.href, stac_io=_StaticApi(index))


class _StaticApi(StacApiIO):
    """Answers below the root's folder: search, collections, their items and queryables."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self._href = index.href
        self._folder = index.href.rpartition("/")[0]
        self._api = Api(index, _PAGE)
        self._place = Place(self._folder, self._folder)
        self._by_href = {c.href: c.id for c in index.collections.values()}

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What an API answers to a URL or a ``next`` link; else what lies at that href."""
        parameters: dict[str, Any] = kwargs.get("parameters") or {}
        method = kwargs.get("method") or "GET"
        if isinstance(source, pystac.Link):
            # A next link says all: the parameters passed along are those of the first page.
            method = source.extra_fields.get("method", "GET")
            parameters = source.extra_fields.get("body", {})
        href = str(getattr(source, "href", source))
        api, place = self._api, self._place
        if href == self._href:
            return api.landing(place)
        if href in self._by_href:
            return api.collection(self._by_href[href], place)
        path, _, query = href.removeprefix(f"{self._folder}/").partition("?")
        asked = parameters | dict(parse_qsl(query, keep_blank_values=True))
        match [unquote(part) for part in path.split("/")]:
            case ["search"]:
                return api.search(asked, method, place)
            case ["queryables"]:
                return api.queryables(place)
            case ["collections"]:
                return api.collections(place)
            case ["collections", name]:
                return api.collection(name, place)
            case ["collections", name, "items"]:
                return api.items(name, asked, method, place)
            case ["collections", name, "queryables"]:
                return api.queryables(place, name)
        return super().read_json(source, *args, **kwargs)

    def stac_object_from_dict(
        self,
        d: dict[str, Any],
        href: Any = None,
        root: pystac.Catalog | None = None,
        preserve_dict: bool = True,
    ) -> Any:
        """A catalog below the root is a plain one: only the root is an API."""
        if d.get("type") == "Catalog" and str(href) != self._href:
            return pystac.Catalog.from_dict(
                d, href=str(href), root=root, migrate=True, preserve_dict=preserve_dict
            )
        return super().stac_object_from_dict(d, href, root, preserve_dict)
