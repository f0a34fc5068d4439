"""STAC Collections (1.0 and 1.1), those that satimnet writes among them.

The specification is https://github.com/radiantearth/stac-spec/blob/master/collection-spec.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.stated_classes import class_rows
from satimnet.builder.harvest.stated_values import (
    MOST,
    address,
    box,
    cleaned,
    doi,
    line,
    lines,
    listed,
    mapped,
    moment,
    number,
    prose,
    spdx,
)
from satimnet.builder.types import Json
from satimnet.extension import SCHEMA_URIS

_RELATIONS = ("via", "license", "about", "cite-as")
_ROLES = ("producer", "licensor", "processor", "host")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DATA_TYPE = re.compile(r"c?u?(?:int|float)[0-9]{1,3}")
_NOT_TAKEN = ("satimnet:attribute_sources", "satimnet:attribute_notes", "satimnet:recipe")
_CATALOGS = re.compile(r"(?:(.+)-)?[0-9a-f]{12}")  # versions as a catalog of ours names them
_PROPERTIES = ("gsd", "platform", "constellation", "instruments")
_BAND_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("name", "description", "unit", "eo:common_name", "data_type"), line),
    **dict.fromkeys(("eo:center_wavelength", "eo:full_width_half_max", "gsd"), number),
    **dict.fromkeys(("raster:scale", "raster:offset", "nodata"), number),
}
_ASSET_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("title", "description", "processing:lineage"), line),
    **dict.fromkeys(("platform", "constellation"), line),
    **dict.fromkeys(("gsd", "raster:scale", "raster:offset"), number),
    "instruments": lambda value: lines(value) or None,
}


def is_stac(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object says that it is a STAC Collection."""
    return document.get("type") == "Collection" and "stac_version" in document


def read_stac(document: Json, place: str) -> Description:
    """What a Collection says of its dataset."""
    found = Description("a STAC Collection", place)
    read_collection(document, found)
    return found


def read_collection(document: Json, found: Description) -> None:
    """Notes what a Collection says."""
    found.name = line(document.get("id"), 200)
    found.title = line(document.get("title"), 300)
    found.description = prose(document.get("description"))
    found.license = spdx(document.get("license"))
    found.keywords = lines(document.get("keywords"))
    for provider in map(mapped, listed(document.get("providers"))):
        name, url = line(provider.get("name"), 300), address(provider.get("url"))
        roles = [role for role in lines(provider.get("roles")) if role in _ROLES]
        for role in roles or ["producer"]:
            found.provide(name, role, url)
    for link in map(mapped, listed(document.get("links"))):
        if link.get("rel") in _RELATIONS and (href := address(link.get("href"))):
            extra = {key: line(link.get(key), 300) for key in ("type", "title")}
            entry = {"rel": link["rel"], "href": href}
            found.links.append(entry | {key: text for key, text in extra.items() if text})
    _extent(mapped(document.get("extent")), found)
    _fields(document, found)
    _summaries(mapped(document.get("summaries")), found)
    for key, asset in list(mapped(document.get("item_assets")).items())[:MOST]:
        if _KEY.fullmatch(key) and isinstance(asset, dict):
            found.assets[key] = _asset(key, asset)
        else:
            found.left_out.append(f"the item asset {line(key, 60)!r}: no name for an asset")


def _extent(extent: Json, found: Description) -> None:
    boxes = listed(mapped(extent.get("spatial")).get("bbox"))
    found.bbox = box(boxes[0]) if boxes else None
    intervals = listed(mapped(extent.get("temporal")).get("interval"))
    ends = intervals[0] if intervals and isinstance(intervals[0], list) else []
    if len(ends) == 2:
        found.start, found.end = map(moment, ends)


def _fields(document: Json, found: Description) -> None:
    """Top-level fields of the extensions that a record may have."""
    for key, value in document.items():
        if key in _NOT_TAKEN:
            continue
        if key.startswith("satimnet:"):
            value = cleaned(value)
            if _fits(key, value):
                found.attributes[key] = value
            else:
                found.left_out.append(f"{line(key, 80)}: is not as the extension has it")
    if named := doi(document.get("sci:doi")):
        found.attributes["sci:doi"] = named
    found.say("sci:citation", line(document.get("sci:citation")))
    publications = []
    for row in map(mapped, listed(document.get("sci:publications"))):
        entry = {"doi": doi(row.get("doi")), "citation": line(row.get("citation"))}
        if kept := {key: text for key, text in entry.items() if text}:
            publications.append(kept)
    found.say("sci:publications", publications)
    found.say("processing:lineage", line(document.get("processing:lineage")))
    found.say("version", _version(document))
    for name in ("sources", "notes"):
        given = mapped(document.get(f"satimnet:attribute_{name}"))
        getattr(found, name).update({k: v for k, v in cleaned(given).items() if isinstance(v, str)})


def _version(document: Json) -> str | None:
    """The version of the dataset; a catalog of ours adds a digest, which is of its files alone."""
    version = line(document.get("version"), 60)
    if version is None or not set(SCHEMA_URIS).intersection(lines(document.get("stac_extensions"))):
        return version
    named = _CATALOGS.fullmatch(version)
    return named[1] if named else version


def _summaries(summaries: Json, found: Description) -> None:
    rows = listed(summaries.get("classification:classes"))
    found.classes = class_rows(map(mapped, rows))
    for key in (*_PROPERTIES, "processing:level", "processing:software"):
        values = cleaned(summaries.get(key))
        if key == "instruments":
            found.properties |= {key: values} if lines(values) and values == lines(values) else {}
        elif isinstance(values, list) and len(values) == 1 and _is_property(key, values[0]):
            found.properties[key] = values[0]


def _is_property(key: str, value: Any) -> bool:
    if key == "processing:software":
        return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    return isinstance(value, float | int if key == "gsd" else str) and not isinstance(value, bool)


def _asset(key: str, given: Json) -> Json:
    asset: Json = {"title": key}
    asset |= {k: v for k, check in _ASSET_FIELDS.items() if (v := check(given.get(k))) is not None}
    asset["roles"] = [role for role in lines(given.get("roles")) if len(role) < 100] or ["data"]
    asset["type"] = (
        line(given.get("satimnet:member_type") or given.get("type"), 200) or "image/tiff"
    )
    bands = [_band(row) for row in map(mapped, listed(given.get("bands") or given.get("eo:bands")))]
    if bands and all("name" in band for band in bands):
        asset["bands"] = bands
    raster = mapped(next(iter(listed(given.get("raster:bands"))), {}))
    for source in (given, raster, *(bands[:1])):
        data_type, nodata = source.get("data_type"), source.get("nodata")
        if isinstance(data_type, str) and _DATA_TYPE.fullmatch(data_type):
            asset.setdefault("data_type", data_type)
        if number(nodata) is not None or nodata in ("nan", "inf", "-inf"):
            asset.setdefault("nodata", nodata)
    match given.get("proj:shape"):
        case [int(rows), int(columns)] if 0 < rows < 2**31 and 0 < columns < 2**31:
            asset["shape"] = [rows, columns]
    if own := class_rows(map(mapped, listed(given.get("classification:classes")))):
        asset["classes"] = own
    if "profile=cloud-optimized" in asset["type"] and "bands" in asset:
        asset["store"] = "cog"
    return asset


def _band(row: Json) -> Json:
    row = dict(row)
    for short in ("common_name", "center_wavelength", "full_width_half_max"):  # as STAC 1.0 has it
        row.setdefault(f"eo:{short}", row.get(short))
    return {k: v for k, check in _BAND_FIELDS.items() if (v := check(row.get(k))) is not None}


def _fits(key: str, value: Any) -> bool:
    """Whether a field of a Collection is as the schema of the extension has it."""
    return value is not None and bool(_validator().is_valid({key: value}))


@cache
def _validator() -> Any:
    import jsonschema_rs

    from satimnet.extension import schema

    whole_schema = schema()
    return jsonschema_rs.validator_for(
        {
            "$schema": whole_schema["$schema"],
            "definitions": whole_schema["definitions"],
            "$ref": "#/definitions/collection_fields",
        }
    )
