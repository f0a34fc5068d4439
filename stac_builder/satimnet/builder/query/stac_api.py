"""The answers of a STAC API about a catalog, as JSON, whoever asks and by whatever way.

Behind it stands `satimnet.builder.search`. `satimnet.builder.query.client` gives the answers to
pystac-client on a static catalog, `satimnet.builder.server` to everybody by HTTP.
https://github.com/radiantearth/stac-api-spec/tree/v1.0.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from satimnet.builder.errors import BadQueryError, NotFoundError, TooLargeError
from satimnet.builder.query.cql2_json import parse_filter
from satimnet.builder.query.cql2_text import Node
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.query.search import search
from satimnet.builder.query.search_results import Found
from satimnet.builder.types import Json

QUERYABLES_REL = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
GEOJSON = "application/geo+json"
MOST = 10_000
"""Items of a page at most."""

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
CONFORMS_TO = [
    *(f"{_STAC_API}/{name}" for name in _STAC_CLASSES),
    "https://api.stacspec.org/v1.0.0-rc.1/item-search#free-text",
    *(f"{_CQL2}/{name}" for name in _CQL2_CLASSES),
]
"""What holds of the answers here, whoever gives them."""

_SCHEMAS: dict[str, Json] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "geometry": {"type": "object", "format": "geometry-any"},  # a $ref would have to be fetched
}


class Api:
    """A STAC API about one catalog, without HTTP; safe to share among threads.

    In all methods ``root`` is the URL of the API without a slash at the end. They raise
    `BadQueryError` where a question cannot be understood.

    Args:
        index: the open catalog.
        page: how many Items a page has where a question does not say.
        finish: changes each Item of an answer, given the Item and the root.
    """

    def __init__(
        self,
        index: Index,
        page: int,
        finish: Callable[[Json, str], Json] = lambda item, _: item,
    ) -> None:
        self.index = index
        self._page = page
        self._finish = finish
        # The pages of one search share what the first one found.
        self._found = lru_cache(maxsize=8)(self._search)

    def known(self, name: str) -> IndexedCollection:
        """The Collection of this id; raises `NotFoundError` if there is none."""
        if name not in self.index.collections:
            known = ", ".join(self.index.collections)
            raise NotFoundError(f"{self.index.href}: no collection {name!r}; there are: {known}")
        return self.index.collections[name]

    def queryables(self, root: str, name: str | None = None) -> Json:
        """The properties that a filter may use, of one collection or of all: a JSON Schema."""
        names = self.index.readable() if name is None else [self.known(name).id]
        path = "queryables" if name is None else f"collections/{quote(name)}/queryables"
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{root}/{path}",
            "type": "object",
            "title": "Properties that a filter may use",
            "properties": {
                name: _schema(kind) for name, kind in sorted(self.index.kinds(names).items())
            },
            "additionalProperties": False,
        }

    def items(self, name: str, asked: Mapping[str, Any], method: str, root: str) -> Json:
        """A page of a collection's Items; ``asked`` as for `search`."""
        if asked.get("collections", name) not in (name, [name]):
            raise BadQueryError("collections: the path says already which; ask /search for others")
        path = f"collections/{quote(self.known(name).id)}/items"
        return self._answer(path, method, asked, {"collections": [name]}, root)

    def item(self, name: str, id_: str, root: str) -> Json:
        """One Item."""
        asked = {"collections": [self.known(name).id], "ids": [id_]}
        items = self._found(json.dumps(asked)).items(0, 1)
        if not items:
            raise NotFoundError(f"collection {name} has no Item {id_!r}")
        return self._finish(items[0], root)

    def search(self, asked: Mapping[str, Any], method: str, root: str) -> Json:
        """A page of Items, a link to the next one, and how many there are in all.

        ``asked`` are the parameters of a GET query, as text, or the body of a POST.
        """
        return self._answer("search", method, asked, {}, root)

    def found(self, asked: Mapping[str, Any]) -> Found:
        """All that the parameters of a search, without ``limit`` and ``token``, ask for."""
        try:
            return self._found(json.dumps(asked, sort_keys=True))
        except RecursionError:
            raise TooLargeError("the question is nested too deeply") from None

    def _answer(
        self,
        path: str,
        method: str,
        parameters: Mapping[str, Any],
        fixed: Json,
        root: str,
    ) -> Json:
        asked = dict(parameters)
        if method == "POST" and isinstance(asked.get("bbox"), str):
            raise BadQueryError("bbox of a POST is an array of 4 or 6 numbers, not text")
        start = _whole("token", asked.pop("token", None), 0, 0)
        limit = min(MOST, _whole("limit", asked.pop("limit", None), self._page, 1))
        found = self.found(asked | fixed)
        features = [self._finish(item, root) for item in found.items(start, start + limit)]
        page: Json = {
            "type": "FeatureCollection",
            "features": features,
            "links": [],
            "numberMatched": len(found),
            "numberReturned": len(features),
        }
        targets = {"prev": max(0, start - limit), "next": start + limit}
        for rel, at in targets.items():
            if at < len(found) and at != start:
                following = {**parameters, "token": str(at)}
                page["links"].append(_paging_link(rel, f"{root}/{path}", method, following))
        return page

    def _search(self, parameters: str) -> Found:
        asked = {name: _given(name, value) for name, value in json.loads(parameters).items()}
        if unknown := asked.keys() - _PARAMETERS:
            raise BadQueryError(f"a search here has no parameter {', '.join(sorted(unknown))}")
        if asked.get("bbox") is not None and asked.get("intersects") is not None:
            raise BadQueryError("bbox and intersects exclude each other; give one of them")
        filter_ = asked.get("filter")
        if query := asked.get("query"):
            conditions = _of_query(query, self.index.kinds(self.index.readable()))
            conditions += [] if filter_ is None else [parse_filter(filter_)]
            filter_ = {"op": "and", "args": conditions}
        return search(
            self.index,
            filter=filter_,
            **{name: asked[name] for name in asked.keys() & _SEARCHED},
        )


def _paging_link(rel: str, href: str, method: str, parameters: Json) -> Json:
    link: Json = {"rel": rel, "type": GEOJSON, "method": method}
    if method == "POST":
        return link | {"href": href, "body": parameters}
    return link | {"href": f"{href}?{urlencode(parameters)}"}


def _schema(kind: str) -> Json:
    if kind.startswith("list of "):
        return {"type": "array", "items": _schema(kind.removeprefix("list of "))}
    return _SCHEMAS.get(kind, {})


# --- what was asked -----------------------------------------------------------------------------

_SEARCHED = {"collections", "ids", "bbox", "intersects", "datetime", "sortby", "fields", "q"}
_LISTS = {"collections", "ids", "bbox", "q"}
_OBJECTS = {"intersects", "query"}
# Before the hours of a time zone: the plus of a URL arrives as a space.
_OFFSET = re.compile(r"(?<=\d) (?=\d\d:\d\d(?:/|$))", re.ASCII)
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_CHOICES = {"filter-lang": ("cql2-text", "cql2-json"), "filter-crs": (_CRS84,)}
_PARAMETERS = _SEARCHED | _OBJECTS | {"filter", *_CHOICES}


def _whole(name: str, value: Any, default: int, least: int) -> int:
    """A number as JSON or a query has it."""
    if value is None or value == "":
        return default
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,15}", text, re.ASCII):
        raise BadQueryError(f"{name} {text:.40} is no whole number from {least} on")
    number = int(text)
    if number < least:
        raise BadQueryError(f"{name} {number} is less than {least}")
    return number


def _given(name: str, value: Any) -> Any:
    """The value of a parameter, which is text in a GET query, as the search takes it."""
    if value is None:
        if name == "fields":  # an empty object has a meaning; stac-api-validator wants this refused
            raise BadQueryError("fields is null; leave it out, or give an object")
        return None
    if name in _CHOICES and value not in _CHOICES[name]:
        raise BadQueryError(f"{name} {value!r:.80}: there is {' and '.join(_CHOICES[name])}")
    if name == "datetime" and isinstance(value, str):
        value = _OFFSET.sub("+", value)
    if name in _LISTS and isinstance(value, str):
        value = value.split(",")
    if name in _OBJECTS and isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadQueryError(f"{name} is not JSON: {error}") from None
    if not _FITS.get(name, lambda _: True)(value):
        raise BadQueryError(f"{name} {value!r:.80} is not as the STAC API has it")
    return value


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _times(value: Any) -> bool:
    # The search itself takes dates, too. pystac-client makes times of them before it asks.
    parts = value.split("/") if isinstance(value, str) else [None]
    return all(part in ("", "..") or (isinstance(part, str) and len(part) > 10) for part in parts)


def _sorts(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list) and all(
        isinstance(key, str)
        or (isinstance(key, dict) and all(isinstance(part, str) for part in key.values()))
        for key in value
    )


def _fields(value: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() <= {"include", "exclude"} and all(
            part is None or _texts(part) for part in value.values()
        )
    return isinstance(value, str) or _texts(value)


def _query(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())


_FITS: dict[str, Callable[[Any], bool]] = {
    "collections": _texts,
    "ids": _texts,
    "q": _texts,
    "datetime": _times,
    "bbox": lambda value: isinstance(value, list),
    "intersects": lambda value: isinstance(value, dict),
    "filter": lambda value: isinstance(value, str | dict),
    "query": _query,
    "sortby": _sorts,
    "fields": _fields,
}

_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "in"}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}


def _of_query(query: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str]) -> list[Node]:
    """The STAC API's older query language as CQL2: https://github.com/stac-api-extensions/query"""
    conditions = []
    for name, wanted in query.items():
        for operator, value in wanted.items():
            kind = kinds.get(name, "")
            if operator == "in" and kind.startswith("list of "):
                op, operand = "a_overlaps", value
            elif operator in _COMPARISONS:
                op, operand = _COMPARISONS[operator], _number(value) if kind == "number" else value
            elif operator in _PATTERNS and isinstance(value, str):
                op = "like"
                operand = _PATTERNS[operator].format(re.sub(r"([%_\\])", r"\\\1", value))
            else:
                raise BadQueryError(f"query of {name!r} has {operator!r}: {value!r}; see filter")
            conditions.append({"op": op, "args": [{"property": name}, operand]})
    return conditions


def _number(value: Any) -> Any:
    """Numbers that stand there as text: clients send them so, stac-api-validator among them."""
    if isinstance(value, list):
        return [_number(part) for part in value]
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value
