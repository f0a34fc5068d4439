"""The API described for programs: an OpenAPI 3.0 document."""

from __future__ import annotations

from importlib.metadata import version

from satimnet.builder.query.index import Index
from satimnet.builder.query.stac_api import GEOJSON, MOST
from satimnet.builder.types import Json

OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.0"


_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_BBOX: Json = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 4,
    "maxItems": 6,
    "example": [5, 45, 15, 55],
}
_LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": MOST}
_LANGUAGE: Json = {"type": "string", "enum": ["cql2-text", "cql2-json"]}
_GEOMETRY: Json = {"type": "object", "required": ["type"], "properties": {"type": _TEXT}}
_SORT: Json = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["field"],
        "properties": {"field": _TEXT, "direction": {"type": "string", "enum": ["asc", "desc"]}},
    },
}
_FIELDS: Json = {
    "type": "object",
    "properties": {"include": _TEXTS, "exclude": _TEXTS},
    "additionalProperties": False,
}
_BODY: Json = {
    "type": "object",
    "properties": {
        "collections": _TEXTS,
        "ids": _TEXTS,
        "bbox": _BBOX,
        "intersects": _GEOMETRY,
        "datetime": _TEXT,
        "filter": {"type": "object", "properties": {"op": _TEXT, "args": {"type": "array"}}},
        "filter-lang": _LANGUAGE,
        "query": {"type": "object", "additionalProperties": {"type": "object"}},
        "q": _TEXTS,
        "sortby": _SORT,
        "fields": _FIELDS,
        "limit": _LIMIT,
        "token": {"type": "string", "pattern": "^[0-9]{1,15}$"},
    },
    "additionalProperties": False,
}

# How each parameter of a GET query is described and what its schema is.
_CONDITIONS: dict[str, tuple[str, Json]] = {
    "ids": ("Ids of Items, separated by commas.", _TEXTS),
    "bbox": ("West, south, east, north in degrees; west > east crosses the antimeridian.", _BBOX),
    "datetime": ("An RFC 3339 time or an interval, as 2016-01-01T00:00:00Z/..", _TEXT),
    "filter": ("CQL2, as text or JSON.", _TEXT),
    "filter-lang": ("How the filter is written.", _LANGUAGE),
    "q": ("Free text: one of these terms stands in a title or description.", _TEXTS),
}
_PAGING: dict[str, tuple[str, Json]] = {
    "sortby": ("Fields, '-' before those to sort downwards.", _TEXTS),
    "fields": ("Fields to include, '-' before those to leave out.", _TEXTS),
    "limit": ("Items of a page.", _LIMIT),
    "token": ("Where a page begins, as the link next has it.", _TEXT),
}
_COLLECTIONS: dict[str, tuple[str, Json]] = {
    "collections": ("Ids of Collections, separated by commas.", _TEXTS),
    "intersects": ("A GeoJSON geometry.", _TEXT),
}


def openapi(root: str, index: Index) -> Json:
    """The document of the API at ``root``."""
    name = _parameter("name", "Id of a Collection.", _TEXT | {"enum": list(index.collections)})
    id_ = _parameter("id", "Id of an Item.", _TEXT)
    conditions = _query({**_COLLECTIONS, **_CONDITIONS})
    counted = _query({"aggregations": ("What to count, see /aggregations.", _TEXTS)})
    body = {"required": True, "content": {"application/json": {"schema": _BODY}}}
    item = [name, id_]
    search = _get("Items that fulfil conditions", [*conditions, *_query(_PAGING)], GEOJSON)
    posted = _get("Items that fulfil conditions", [], GEOJSON)["get"] | {"requestBody": body}
    own = [name, *_query({**_CONDITIONS, **_PAGING})]
    schema = "application/schema+json"
    return {
        "openapi": "3.0.3",
        "info": {
            "title": index.document.get("title", index.document["id"]),
            "description": index.document["description"],
            "version": version("satimnet"),
        },
        "servers": [{"url": root}],
        "paths": {
            "/": _get("The catalog, with links to all that can be asked", []),
            "/conformance": _get("The standards that hold here", []),
            "/api": _get("This document", [], OPENAPI_TYPE),
            "/collections": _get("All Collections", []),
            "/collections/{name}": _get("A Collection", [name]),
            "/collections/{name}/items": _get("Items of a Collection", own, GEOJSON),
            "/collections/{name}/items/{id}": _get("An Item", item, GEOJSON),
            "/collections/{name}/queryables": _get("What its filters may use", [name], schema),
            "/queryables": _get("What filters may use", [], schema),
            "/search": search | {"post": posted},
            "/aggregations": _get("What can be counted", []),
            "/aggregate": _get("How many Items there are of what", [*conditions, *counted]),
            "/thumbnails/{name}/{id}.png": _get("A picture of an Item", item, "image/png"),
        },
        "components": {
            "schemas": {
                "error": {
                    "type": "object",
                    "required": ["code", "description"],
                    "properties": {"code": _TEXT, "description": _TEXT},
                }
            }
        },
    }


def _get(summary: str, parameters: list[Json], media_type: str = "application/json") -> Json:
    schema: Json = {"type": "string", "format": "binary"} if "png" in media_type else {}
    schema = schema or {"type": "object"}
    error = {"schema": {"$ref": "#/components/schemas/error"}}
    refused = {"content": {"application/json": error}}
    return {
        "get": {
            "summary": summary,
            "parameters": parameters,
            "responses": {
                "200": {"description": "Found", "content": {media_type: {"schema": schema}}},
                "400": {"description": "The question cannot be understood", **refused},
                "404": {"description": "There is no such thing", **refused},
                "413": {"description": "The question is too long", **refused},
                "422": {"description": "The search takes too long", **refused},
            },
        }
    }


def _parameter(name: str, description: str, schema: Json) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _query(parameters: dict[str, tuple[str, Json]]) -> list[Json]:
    return [
        {
            "name": name,
            "in": "query",
            "description": description,
            "schema": schema,
            **({"style": "form", "explode": False} if schema["type"] == "array" else {}),
        }
        for name, (description, schema) in parameters.items()
    ]
