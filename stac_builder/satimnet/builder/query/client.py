"""A pystac-client `Client` on a static catalog that can be searched, without a server.

pystac-client asks a STAC API by URL. Here `satimnet.builder.query.stac_api` answers the questions
below the catalog's own address; every other URL is read as usual.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import pystac
from pystac.cache import ResolvedObjectCache
from pystac.serialization import identify_stac_object, migrate_to_latest
from pystac_client import Client, ItemSearch
from pystac_client.stac_api_io import StacApiIO

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.stac_api import CONFORMS_TO, GEOJSON, QUERYABLES_REL, Api
from satimnet.builder.storage.hrefs import (
    Bounds,
    catalog_file,
    folder_at,
    is_url,
    is_web,
    join,
    plain_name,
)

_PAGE = 500  # Items a page where the client names no limit
_ODD = re.compile(r"[#?%\\]")


@checked()
def open(
    href: str | os.PathLike[str],
    *,
    allow_outside: bool = False,
    version: str | Sequence[str] | None = None,
) -> Client:
    """Opens a static catalog as a pystac-client `Client` that can search it.

    ``search`` takes all that a STAC API server would: CQL2 filters, ``query``, ``sortby`` and
    ``fields`` included. It raises `BadQueryError` for what cannot be understood. A plain
    ``Client.open`` of the same href cannot search.

    Where the folder's path has a character that pystac takes for a part of a URL (``#``, ``?``,
    ``%``, a backslash), hrefs use another name of the folder, which is valid until this process
    ends.

    Args:
        href: path or URL of ``catalog.json`` or of its folder.
        allow_outside: files may lie outside of a local catalog's folder.
        version: names of versions of collections to open instead of the current ones (see
            `satimnet.builder.versions`), as they are or as ``collection@version``.

    Returns:
        The client; its Items have absolute hrefs.

    Raises:
        NotFoundError: there is no catalog, or no such version.
        BadCatalogError: the catalog cannot be understood.
        StorageError: files of the catalog cannot be read.

    Example:
        >>> from satimnet.builder import open
        >>> client = open("catalog")
        >>> item = next(client.search(collections=["eurosat"], max_items=1).items())
        >>> item.collection_id
        'eurosat'
    """
    place = catalog_file(href)
    folder, _, name = place.rpartition("/")
    if not is_url(place) and _ODD.search(folder):
        place = f"{plain_name(folder)}/{name}"
    index = Index(place, allow_outside=allow_outside, version=version)
    return _Client.open(index.href, stac_io=_StaticApi(index))


class _Catalogs(ResolvedObjectCache):
    """What pystac remembers of a catalog, without the Items.

    To remember an Item, pystac would read and parse its parents again for each Item; and a search
    may go through more Items than fit into memory.
    """

    def cache(self, obj: pystac.STACObject) -> None:
        """Remembers the object, unless it is an Item."""
        if not isinstance(obj, pystac.Item):
            super().cache(obj)


class _Client(Client):
    """A client that remembers no Items, whichever memory pystac gives it."""

    _catalogs: _Catalogs

    def search(self, *args: Any, **kwargs: Any) -> ItemSearch:
        """The search that pystac-client makes, whose Items are made in less time."""
        found = super().search(*args, **kwargs)
        found.__class__ = _Search  # it names no way to have another one made
        return found

    def bounds_of(self, owner: pystac.STACObject) -> Bounds:
        """Where the assets of a Collection or an Item of it may lead."""
        assert isinstance(self._stac_io, _StaticApi)
        name = owner.collection_id if isinstance(owner, pystac.Item) else owner.id
        return self._stac_io.bounds_of(name)

    @property
    def _resolved_objects(self) -> ResolvedObjectCache:
        return self._catalogs

    @_resolved_objects.setter
    def _resolved_objects(self, known: ResolvedObjectCache) -> None:
        self._catalogs = _Catalogs(
            known.id_keys_to_objects, known.hrefs_to_objects, known.ids_to_collections
        )


class _Search(ItemSearch):
    """A search that migrates no Item which is of the latest STAC already.

    To find that there is nothing to do, pystac copies each Item and asks all its extensions, which
    takes two thirds of the time that an Item takes.
    """

    def items(self) -> Iterator[pystac.Item]:
        """The Items, one after the other."""
        current: dict[Hashable, bool] = {}
        for item in self.items_as_dicts():
            kind = _kind(item)
            if kind not in current:
                current[kind] = migrate_to_latest(item, identify_stac_object(item)) == item
            yield pystac.Item.from_dict(
                item, root=self.client, migrate=not current[kind], preserve_dict=False
            )


def _kind(item: dict[str, Any]) -> Hashable:
    """What a migration goes by: versions, and which fields there are."""
    assets = item.get("assets") or {}
    return (
        item.get("stac_version"),
        tuple(item.get("stac_extensions") or ()),
        tuple(item),
        tuple(item.get("properties") or ()),
        tuple((key, *asset) for key, asset in assets.items()),
    )


class _StaticApi(StacApiIO):
    """Answers below the root's folder: search, collections, their items and queryables."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self._index = index
        self._folder = folder_at(index.href)
        self._api = Api(index, _PAGE)
        self._by_href = {c.href: c for c in index.collections.values()}
        self._catalogs: dict[str, pystac.STACObject] = {}

    def bounds_of(self, collection: str | None) -> Bounds:
        """Where the files of a collection may lead; of any other, where the catalog's may."""
        found = self._index.collections.get(collection or "")
        return self._index.bounds if found is None else found.bounds

    def read_stac_object(self, source: Any, *args: Any, **kwargs: Any) -> pystac.STACObject:
        """The object at that href; a catalog, the parent of many Items, is read once."""
        href = self._signed(str(getattr(source, "href", source)))
        found = self._catalogs.get(href) or super().read_stac_object(source, *args, **kwargs)
        if isinstance(found, pystac.Catalog):
            self._catalogs[href] = found
        return found

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What an API answers to a URL or a ``next`` link; else what lies at that href."""
        parameters: dict[str, Any] = kwargs.get("parameters") or {}
        method = kwargs.get("method") or "GET"
        if isinstance(source, pystac.Link):
            # A next link says all: the parameters passed along are those of the first page.
            method = source.extra_fields.get("method", "GET")
            parameters = source.extra_fields.get("body", {})
        href = self._signed(str(getattr(source, "href", source)))
        if href == self._index.href:
            return self._root()
        if href in self._by_href:
            return self._collection(self._by_href[href])
        path, _, query = href.removeprefix(f"{self._folder}/").partition("?")
        asked = parameters | dict(parse_qsl(query, keep_blank_values=True))
        match [unquote(part) for part in path.split("/")]:
            case ["search"]:
                return self._api.search(asked, method, self._folder)
            case ["queryables"]:
                return self._api.queryables(self._folder)
            case ["collections"]:
                collections = self._index.collections.values()
                return {"collections": [self._collection(c) for c in collections], "links": []}
            case ["collections", name]:
                return self._collection(self._api.known(name))
            case ["collections", name, "items"]:
                return self._api.items(name, asked, method, self._folder)
            case ["collections", name, "queryables"]:
                return self._api.queryables(self._folder, name)
        self._index.bounds.resolve(href, self._index.href)
        if is_url(href) and method == "GET" and not parameters:
            return documents.read(href)
        return super().read_json(source, *args, **kwargs)

    def stac_object_from_dict(
        self,
        d: dict[str, Any],
        href: Any = None,
        root: pystac.Catalog | None = None,
        preserve_dict: bool = True,
    ) -> Any:
        """A catalog below the root is a plain one: only the root is an API."""
        if d.get("type") == "Catalog" and self._signed(str(href)) != self._index.href:
            found: Any = pystac.Catalog.from_dict(
                d, href=str(href), root=root, migrate=True, preserve_dict=preserve_dict
            )
        else:
            found = super().stac_object_from_dict(d, href, root, preserve_dict)
        if isinstance(found, pystac.Catalog):
            found._stac_io = self  # else pystac reads what its links lead to by itself
        return found

    def _signed(self, href: str) -> str:
        """The href of a document with the query of the catalog's URL, which pystac leaves out."""
        beside = href.startswith(f"{self._folder}/") and href.endswith(".json")
        if not beside or not is_web(self._index.href):
            return href
        return join(href.removeprefix(f"{self._folder}/"), self._index.href)

    def _root(self) -> dict[str, Any]:
        links = [
            {"rel": "data", "href": f"{self._folder}/collections", "type": "application/json"},
            *(
                {"rel": "search", "href": f"{self._folder}/search", "type": GEOJSON, "method": m}
                for m in ("GET", "POST")
            ),
            {"rel": QUERYABLES_REL, "href": f"{self._folder}/queryables"},
        ]
        document = dict(self._index.document)
        return document | {
            "links": [*document.get("links", []), *links],
            "conformsTo": CONFORMS_TO,
        }

    def _collection(self, collection: IndexedCollection) -> dict[str, Any]:
        """The collection as an API has it: its Items come from a search, not from a tree.

        With the links to the tree, pystac would find each Item twice.
        """
        here = f"{self._folder}/collections/{quote(collection.id)}"
        links = [
            link | {"href": join(link["href"], collection.href)}
            for link in collection.document.json.get("links", [])
            if link["rel"] not in ("self", "items", "item", "child")
        ]
        links += [
            {"rel": "self", "href": collection.href, "type": "application/json"},
            {"rel": "items", "href": f"{here}/items", "type": GEOJSON},
            {"rel": QUERYABLES_REL, "href": f"{here}/queryables"},
        ]
        # A deep copy, because pystac takes dicts over and changes them.
        return dict(json.loads(json.dumps(dict(collection.document.json) | {"links": links})))
