"""A pystac-client `Client` on a static catalog that can be searched, without a server.

pystac-client asks a STAC API by URL; here the questions under the catalog's own address are
answered by `satimnet.builder.search`, and every other URL is read as ever.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pystac
from pystac_client import Client
from pystac_client.mixins import QUERYABLES_REL
from pystac_client.stac_api_io import StacApiIO

from satimnet.builder.errors import SatimnetError
from satimnet.builder.filters import Node, parse_filter
from satimnet.builder.index import Index, IndexedCollection, absolute_href
from satimnet.builder.queries import Found, search

_STAC_API = "https://api.stacspec.org/v1.0.0"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf"
_STAC_CLASSES = (
    *("core", "collections", "item-search"),
    *("item-search#fields", "item-search#filter", "item-search#query", "item-search#sort"),
)
_CQL2_CLASSES = (
    *("cql2-text", "cql2-json", "basic-cql2", "advanced-comparison-operators"),
    *("case-insensitive-comparison", "accent-insensitive-comparison", "arithmetic"),
    *("array-functions", "spatial-functions", "temporal-functions", "property-property"),
)
_CONFORMS_TO = [
    *(f"{_STAC_API}/{name}" for name in _STAC_CLASSES),
    *(f"{_CQL2}/{name}" for name in _CQL2_CLASSES),
]

_PAGE = 500  # Items a page where the client names no limit
_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "geometry": {"$ref": "https://geojson.org/schema/Geometry.json"},
}


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
        self._index = index
        self._folder = index.href.rpartition("/")[0]
        self._by_href = {c.href: c for c in index.collections.values()}
        # The pages of one search share what the first one found.
        self._found = lru_cache(maxsize=8)(self._search)

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What an API answers to a URL or a ``next`` link; else what lies at that href."""
        parameters: dict[str, Any] = kwargs.get("parameters") or {}
        method = kwargs.get("method") or "GET"
        if isinstance(source, pystac.Link):
            # A next link says all: the parameters passed along are those of the first page.
            method = source.extra_fields.get("method", "GET")
            parameters = source.extra_fields.get("body", {})
        href = str(getattr(source, "href", source))
        if href == self._index.href:
            return self._root()
        if href in self._by_href:
            return self._collection(self._by_href[href])
        path, _, query = href.removeprefix(f"{self._folder}/").partition("?")
        asked = parameters | dict(parse_qsl(query, keep_blank_values=True))
        match path.split("/"):
            case ["search"]:
                return self._page(path, method, asked)
            case ["queryables"]:
                return self._queryables(path, list(self._index.collections))
            case ["collections"]:
                collections = self._index.collections.values()
                return {"collections": [self._collection(c) for c in collections], "links": []}
            case ["collections", name]:
                return self._collection(self._known(name))
            case ["collections", name, "items"]:
                return self._page(path, method, asked | {"collections": [name]})
            case ["collections", name, "queryables"]:
                return self._queryables(path, [self._known(name).id])
        return super().read_json(source, *args, **kwargs)

    def stac_object_from_dict(
        self,
        d: dict[str, Any],
        href: Any = None,
        root: pystac.Catalog | None = None,
        preserve_dict: bool = True,
    ) -> Any:
        """A catalog below the root is a plain one: only the root is an API."""
        if d.get("type") == "Catalog" and str(href) != self._index.href:
            return pystac.Catalog.from_dict(
                d, href=str(href), root=root, migrate=True, preserve_dict=preserve_dict
            )
        return super().stac_object_from_dict(d, href, root, preserve_dict)

    def _known(self, name: str) -> IndexedCollection:
        if name not in self._index.collections:
            known = ", ".join(self._index.collections)
            raise SatimnetError(f"{self._index.href}: no collection {name!r}; there are: {known}")
        return self._index.collections[name]

    def _root(self) -> dict[str, Any]:
        geojson = "application/geo+json"
        links = [
            {"rel": "data", "href": f"{self._folder}/collections", "type": "application/json"},
            *(
                {"rel": "search", "href": f"{self._folder}/search", "type": geojson, "method": m}
                for m in ("GET", "POST")
            ),
            {"rel": QUERYABLES_REL, "href": f"{self._folder}/queryables"},
        ]
        document = dict(self._index.document)
        return document | {
            "links": [*document.get("links", []), *links],
            "conformsTo": _CONFORMS_TO,
        }

    def _collection(self, collection: IndexedCollection) -> dict[str, Any]:
        """The collection as an API has it: its Items come from a search, not from a tree.

        With the links to the tree, pystac would find each Item twice.
        """
        here = f"{self._folder}/collections/{collection.id}"
        links = [
            link | {"href": absolute_href(link["href"], collection.href)}
            for link in collection.document.get("links", [])
            if link["rel"] not in ("self", "items", "item", "child")
        ]
        links += [
            {"rel": "self", "href": collection.href, "type": "application/json"},
            {"rel": "items", "href": f"{here}/items", "type": "application/geo+json"},
            {"rel": QUERYABLES_REL, "href": f"{here}/queryables"},
        ]
        # A deep copy, because pystac takes dicts over and changes them.
        return dict(json.loads(json.dumps(dict(collection.document) | {"links": links})))

    def _queryables(self, path: str, collections: list[str]) -> dict[str, Any]:
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{self._folder}/{path}",
            "type": "object",
            "title": "Properties that a filter may use",
            "properties": {
                name: _schema(kind) for name, kind in sorted(self._index.kinds(collections).items())
            },
            "additionalProperties": False,
        }

    def _page(self, path: str, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        asked = dict(parameters)
        start, limit = int(asked.pop("token", 0)), int(asked.pop("limit", None) or _PAGE)
        found = self._found(json.dumps(asked, sort_keys=True))
        features = found.items(start, start + limit)
        page: dict[str, Any] = {
            "type": "FeatureCollection",
            "features": features,
            "links": [],
            "numberMatched": len(found),
            "numberReturned": len(features),
        }
        if start + limit < len(found):
            following = {**parameters, "token": start + limit}
            href = f"{self._folder}/{path}"
            link = {"rel": "next", "type": "application/geo+json", "method": method}
            if method == "POST":
                page["links"].append(link | {"href": href, "body": following})
            else:
                page["links"].append(link | {"href": f"{href}?{urlencode(following)}"})
        return page

    def _search(self, parameters: str) -> Found:
        """The search that the parameters of a POST body or, as text, of a GET query ask for."""
        asked = json.loads(parameters)
        for name in ("ids", "collections", "bbox"):
            if isinstance(asked.get(name), str):
                asked[name] = asked[name].split(",")
        for name in ("intersects", "query"):
            if isinstance(asked.get(name), str):
                asked[name] = json.loads(asked[name])
        conditions = [] if asked.get("filter") is None else [parse_filter(asked["filter"])]
        conditions += _of_query(asked.get("query") or {})
        names = {"collections", "ids", "bbox", "intersects", "datetime", "sortby", "fields"}
        if unknown := asked.keys() - names - {"filter", "filter-lang", "query"}:
            raise SatimnetError(f"a search here has no parameter {', '.join(sorted(unknown))}")
        return search(
            self._index,
            filter={"op": "and", "args": conditions} if conditions else None,
            **{name: asked[name] for name in names & asked.keys()},
        )


def _schema(kind: str) -> dict[str, Any]:
    if kind.startswith("list of "):
        return {"type": "array", "items": _schema(kind.removeprefix("list of "))}
    return _SCHEMAS.get(kind, {})


_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "in"}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}


def _of_query(query: Mapping[str, Mapping[str, Any]]) -> list[Node]:
    """The STAC API's older query language as CQL2: https://github.com/stac-api-extensions/query"""
    conditions = []
    for name, wanted in query.items():
        for operator, value in wanted.items():
            if operator in _COMPARISONS:
                op, operand = _COMPARISONS[operator], value
            elif operator in _PATTERNS and isinstance(value, str):
                op = "like"
                operand = _PATTERNS[operator].format(re.sub(r"([%_\\])", r"\\\1", value))
            else:
                raise SatimnetError(f"query of {name!r} has {operator!r}: {value!r}; see filter")
            conditions.append({"op": op, "args": [{"property": name}, operand]})
    return conditions
