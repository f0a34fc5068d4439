"""The checks of what the files of a catalog say, done once where they are read.

Catalogs come from anywhere: any value may be missing or of another type. A document that passed
these checks has the fields that the rest of the package reads, with these types; optional fields
that were null are gone. Errors name the file and the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from satimnet.builder.catalog.file_facts import FACTS
from satimnet.builder.catalog.json_shapes import Href, Shape, misfit, shown
from satimnet.builder.errors import BadCatalogError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import is_url, open_regular
from satimnet.builder.storage.stores import shown as shown_place
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa


STAC_VERSION = "1.1.0"
"""The version of what this package writes."""
_VERSION = re.compile(r"1\.[0-9]+\.[0-9]+(-rc\.[0-9]+)?")

MAX_SIZE = 2**26
"""The most bytes of a document; one with thousands of links has a few hundred KiB."""
_DEEPEST = 100  # levels of objects and lists within each other

_LINK: Shape = {"rel": str, "href": Href, "title?": str, "type?": str}
_CLASS: Shape = {
    **{"name": str, "value?": int},
    **{"title?": str, "description?": str, "color_hint?": str},
}
_BAND: Shape = {
    "name": str,
    **dict.fromkeys(("description?", "data_type?", "eo:common_name?"), str),
    **dict.fromkeys(("eo:center_wavelength?", "eo:full_width_half_max?"), float),
    **dict.fromkeys(("gsd?", "raster:scale?"), float),
    "nodata?": (float, str),
}
_ITEM_ASSET: Shape = {
    **dict.fromkeys(("title?", "type?", "data_type?"), str),
    **dict.fromkeys(("satimnet:member_type?", "processing:lineage?"), str),
    "roles?": [str],
    "bands?": [_BAND],
    "classification:classes?": [_CLASS],
    "gsd?": float,
    "nodata?": (float, str),
    "proj:shape?": [int],
}
_ASSET: Shape = {
    **{"href": Href, "title?": str, "type?": str, "roles?": [str], "file:size?": int},
    "archive?": [{"href": str, "range?": [int], "file:size?": int, "file:checksum?": str}],
}
_HEAD: Shape = {"stac_extensions?": [str], "conformsTo?": [str]}
_CATALOG: Shape = {
    **_HEAD,
    **dict.fromkeys(("stac_version?", "id?", "title?", "description?"), str),
    "links?": [object],
}
_COLLECTION: Shape = {
    **_HEAD,
    **dict.fromkeys(("stac_version", "id", "title?", "description", "license"), str),
    "links": [_LINK],
    "extent": {"spatial": {"bbox": [[float]]}, "temporal": {"interval": [[(str, None)]]}},
    "keywords?": [str],
    "providers?": [{"name": str, "roles?": [str], "url?": str}],
    "assets?": {...: _ASSET},
    "item_assets?": {...: _ITEM_ASSET},
    "summaries?": {
        "classification:classes?": [_CLASS],
        "proj:code?": [(str, None)],
        "satimnet:split?": [str],
        "processing:software?": [dict],
    },
    "themes?": [{"scheme": str, "concepts": [{"id": str}]}],
    "sci:doi?": str,
    "sci:citation?": str,
    "sci:publications?": [{"citation?": str, "doi?": str}],
    **dict.fromkeys(
        ("satimnet:release_date?", "satimnet:intended_application?", "processing:lineage?"), str
    ),
    "satimnet:classification_problem?": [str],
    "satimnet:tasks?": [str],
    "satimnet:annotation_method?": [str],
    "satimnet:recipe?": {"sha256?": str, "text?": str},
}
_ITEM: Shape = {
    **_HEAD,
    **{"stac_version?": str, "id": str, "collection?": str, "properties": dict, "links": [_LINK]},
    "assets": {...: _ASSET},
}


def parse(content: bytes, where: str) -> Json:
    """The JSON object in a file's content; ``where`` names the file.

    Raises:
        BadCatalogError: it is none, or has too many levels.
    """
    try:
        document = orjson.loads(content)
    except ValueError as error:
        raise BadCatalogError(f"{where}: this is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadCatalogError(f"{where}: this is not a STAC object")
    level: list[Any] = [document]
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return document
    raise BadCatalogError(f"{where}: more than {_DEEPEST} objects lie within each other")


def _inside(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value
    return [inner for inner in values if isinstance(inner, dict | list)]


def read(place: str, remedy: str = "name a catalog or its folder") -> Json:
    """The JSON object in the file at an absolute path or URL.

    Raises:
        NotFoundError: there is no such file; ``remedy`` says what to do.
        StorageError: it cannot be read, or is no regular file.
        BadCatalogError: it is larger than any document, or no JSON object.
    """
    try:
        content = objects.read(place, most=MAX_SIZE) if is_url(place) else _read_file(place)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{shown_place(place)}: nothing is there; {remedy}") from None
    except SatimnetError:
        raise
    except (OSError, ValueError) as error:  # a path with a null character is a ValueError
        raise StorageError(f"{place}: cannot be read: {error}") from None
    if len(content) > MAX_SIZE:
        raise BadCatalogError(f"{place}: more than {MAX_SIZE} bytes; no file of STAC is so large")
    return parse(content, place)


def _read_file(path: str) -> bytes:
    with open_regular(path) as file:
        return file.read(MAX_SIZE + 1)


# --- what they must say -------------------------------------------------------------------------


def catalog(document: Json, where: str) -> Json:
    """The Catalog, whose links are still to be checked one by one by `link`.

    STAC asks for an id and a description; they are empty where they are missing. Without a version,
    it has `STAC_VERSION`.

    Raises:
        BadCatalogError: it is none.
    """
    if document.get("type") != "Catalog":
        raise BadCatalogError(f"{where}: this is no STAC Catalog; name the catalog.json at the top")
    missing = {"stac_version": STAC_VERSION, "id": "", "description": "", "links": []}
    return _of_version(missing | _checked(document, _CATALOG, where), where)


def link(content: Any, where: str, number: int) -> Json:
    """A link of the document at ``where``.

    Raises:
        BadCatalogError: it is none.
    """
    problem = misfit(content, _LINK, f"links[{number}]")
    if problem:
        raise BadCatalogError(f"{where}: {problem}")
    found: Json = content
    return found


def collection(document: Json, where: str) -> Json:
    """The Collection, as it is.

    Raises:
        BadCatalogError: it is none, or one of its values is of the wrong type.
    """
    if document.get("type") != "Collection":
        raise BadCatalogError(f"{where}: this is no STAC Collection")
    found = _of_version(_checked(document, _COLLECTION, where), where)
    boxes = found["extent"]["spatial"]["bbox"]
    if not boxes or any(len(box) not in (4, 6) for box in boxes):
        raise BadCatalogError(f"{where}: extent.spatial.bbox must be a list of 4 or 6 numbers each")
    for key, asset in found.get("item_assets", {}).items():
        if len(asset.get("proj:shape", (1, 1))) != 2:
            raise BadCatalogError(f"{where}: item_assets.{key}.proj:shape must be two numbers")
    spans = found["extent"]["temporal"]["interval"]
    if not spans or any(len(span) != 2 for span in spans):
        raise BadCatalogError(f"{where}: extent.temporal.interval must be a list of two times each")
    for text in (text for span in spans for text in span if text is not None):
        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise BadCatalogError(
                f"{where}: extent.temporal.interval must be times, but has {text!r:.80}"
            ) from error
    return found


def item(document: Json, where: str) -> Json:
    """The Item, as it is.

    Raises:
        BadCatalogError: it is none, or one of its values is of the wrong type.
    """
    if document.get("type") != "Feature":
        raise BadCatalogError(f"{where}: this is no STAC Item")
    return _checked(document, _ITEM, where)


def is_version(text: str) -> bool:
    """Whether a STAC object may be of this version: from 1.0.0-rc.1 on, each says its type."""
    return _VERSION.fullmatch(text) is not None


def title_of(document: Mapping[str, Any]) -> str:
    """The title of a Catalog or Collection, or its id: STAC asks for that alone."""
    return str(document.get("title") or document["id"])


def box_of(collection: Mapping[str, Any]) -> list[float]:
    """West, south, east and north of a Collection that was checked; without heights."""
    box: list[float] = collection["extent"]["spatial"]["bbox"][0]
    return [*box[:2], *box[len(box) // 2 :][:2]]


def problem(content: Any) -> str | None:
    """Why a STAC object of any kind cannot be followed, in words; None if it can."""
    if not isinstance(content, dict):
        return f"an Item is {shown(content)}; it must be an object"
    shapes = {"Collection": _COLLECTION, "Feature": _ITEM}
    return misfit(content, shapes.get(str(content.get("type")), {"links?": [_LINK]}), "")


def _of_version(document: Json, where: str) -> Json:
    if is_version(document["stac_version"]):
        return document
    found = shown(document["stac_version"])
    raise BadCatalogError(f"{where}: stac_version is {found}; it must be a version of STAC 1")


def _checked(document: Json, shape: Shape, where: str) -> Json:
    if problem := misfit(document, shape, ""):
        raise BadCatalogError(f"{where}: {problem}")
    return document


# --- the columns of an items.parquet ------------------------------------------------------------

_PROJECTION: Shape = {
    **dict.fromkeys(("proj:code?", "proj:wkt2?"), str),
    **{"proj:shape?": [int], "proj:transform?": [float]},
}
_TEXTS = (
    *("stac_extensions", "satimnet:classes", "satimnet:concepts"),
    *(name for name, kind in FACTS.items() if kind == [str]),
)
_TIMES = ("datetime?", "start_datetime?", "end_datetime?")
_COLUMNS: Shape = {
    **dict.fromkeys(("type", "stac_version", "id", "collection"), str),
    **dict.fromkeys(("title?", "description?", "satimnet:split?", "satimnet:country?"), str),
    **{name + "?": [str] for name in _TEXTS},
    **dict.fromkeys(_TIMES, datetime),
    **_PROJECTION,
    "satimnet:fold?": int,
    **{f"{name}?": kind for name, kind in FACTS.items()},
    "satimnet:statistics?": [{"class": str, "count?": int, "pixels?": int}],
    "geometry": bytes,
    "bbox": dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), float),
    "links": [{"href": str, "rel": str}],
    "assets": {
        ...: {
            **{"href": str, "type?": str, "title?": str, "roles?": [str], "file:size?": int},
            "archive?": [
                {
                    **{"href": str, "type?": str, "range?": [int]},
                    **{"file:size?": int, "file:checksum?": str},
                }
            ],
            **_PROJECTION,
            "satimnet:pixels?": {"offset": int, "dtype": str, "shape": [int], "order?": [str]},
        }
    },
}
_TYPES: Mapping[str, type] = {
    "varchar": str,
    "boolean": bool,
    "blob": bytes,
    "geometry": bytes,
    "timestamp with time zone": datetime,
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint"), int),
    **dict.fromkeys(("float", "double"), float),
}


def columns(types: Mapping[str, Any], where: str) -> None:
    """Checks the columns of an ``items.parquet``; ``types`` has DuckDB's type of each.

    Raises:
        BadCatalogError: one is missing, or of a type that Items do not have.
    """
    schema = {name: _of_duckdb(type_) for name, type_ in types.items()}
    if problem := misfit(schema, _COLUMNS, ""):
        raise BadCatalogError(f"{where}: {problem}; build the collection again")


def require_texts(rows: pa.Table | pa.RecordBatch, where: str) -> None:
    """Raises `BadCatalogError` if a row lacks id or collection, or a list of texts has a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in {"id", "collection"}.intersection(rows.column_names):
        if rows[name].null_count:
            raise BadCatalogError(f"{where}: an Item has no {name}; build the collection again")
    for name in set(_TEXTS).intersection(rows.column_names):
        column = rows[name]
        if pa.types.is_list(column.type) and pc.list_flatten(column).null_count:
            raise BadCatalogError(
                f"{where}: {name} has a null in a list; build the collection again"
            )


def _of_duckdb(type_: Any) -> Any:
    """A document with Python's types for its values."""
    if type_.id == "struct":
        return {name: _of_duckdb(inner) for name, inner in type_.children}
    if type_.id in ("list", "array"):
        return [_of_duckdb(type_.children[0][1])]
    return _TYPES.get(type_.id, object)
