"""Croissant descriptions (MLCommons), those that ``satimnet export`` writes among them.

The terms are those of https://docs.mlcommons.org/croissant/docs/croissant-spec.html, schema.org's
and the RAI vocabulary's. An export has its Collection in a term of satimnet, which says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from satimnet.builder.exports.croissant import COLLECTION
from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.from_stac import read_collection
from satimnet.builder.harvest.stated_classes import class_rows
from satimnet.builder.harvest.stated_values import (
    address,
    day,
    doi,
    line,
    lines,
    listed,
    mapped,
    moment,
    prose,
    spdx,
    whole,
)
from satimnet.builder.types import Json

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(|k|K|M|G|T|P)(i?)B")
_UNITS = " kMGTP"
_VERIFICATION = ("visual", "statistical", "field", "cross-check")


def is_croissant(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object says that it is a Croissant description."""
    conforms = " ".join(lines(_term(document, "conformsTo", "dct:conformsTo")))
    kinds = lines(document.get("@type"))
    return "mlcommons.org/croissant" in conforms and any("Dataset" in kind for kind in kinds)


def read_croissant(document: Json, place: str) -> Description:
    """What a Croissant description says of its dataset."""
    found = Description("a Croissant description", place)
    if isinstance(own := document.get(COLLECTION), dict):
        read_collection(own, found)
        return found
    found.name = line(document.get("name"), 200)
    others = lines(document.get("alternateName"))
    found.title = (others[0] if others else found.name or "")[:300] or None
    found.description = prose(document.get("description"))
    found.keywords = [word for one in _texts(document.get("keywords")) for word in one.split(", ")]
    _licences(document, found)
    found.link("via", address(_of(document.get("url"))))
    for role, term in (("producer", "creator"), ("host", "publisher")):
        for who in listed(document.get(term)):
            name = line(who.get("name") if isinstance(who, dict) else who, 300)
            found.provide(name, role, address(mapped(who).get("url")))
    found.say("satimnet:release_date", day(document.get("datePublished")))
    found.say("version", line(document.get("version"), 60))
    same = [name for one in listed(document.get("sameAs")) if (name := doi(_of(one)))]
    found.say("sci:doi", same[0] if same else None)
    found.say("sci:citation", line(_term(document, "citeAs", "cr:citeAs")))
    _responsible(document, found)
    _files(document, found)
    _record_sets(document, found)
    return found


def _term(document: Mapping[str, Any], *names: str) -> Any:
    """The value of a term, by the first of its names that is there."""
    return next((document[name] for name in names if document.get(name) is not None), None)


def _of(value: Any) -> Any:
    """The identifier of a node, or the value itself."""
    node = mapped(value)
    return node.get("@id") or node.get("url") or node.get("@value") or value


def _texts(value: Any) -> list[str]:
    """Texts, or names of defined terms."""
    return lines([mapped(one).get("name", one) for one in listed(value)])


def _licences(document: Json, found: Description) -> None:
    for one in listed(document.get("license")):
        named = spdx(_of(one)) or spdx(mapped(one).get("name"))
        found.license = found.license or named
        title = line(mapped(one).get("name"), 300)
        if url := address(_of(one)):
            found.link("license", url, title or named)
        elif named is None and isinstance(one, str):
            found.notes.setdefault("license", line(one, 300) or "")
    found.notes = {key: note for key, note in found.notes.items() if note}


def _responsible(document: Json, found: Description) -> None:
    """The terms of the RAI vocabulary that say what an attribute of the paper does."""
    rai = {key.partition(":")[2]: value for key, value in document.items() if key[:4] == "rai:"}
    found.say("satimnet:annotation_description", _joined(rai.get("dataAnnotationProtocol")))
    found.say("satimnet:intended_application", _joined(rai.get("dataUseCases")))
    found.say("processing:lineage", _joined(rai.get("dataPreprocessingProtocol")))
    checks = [way for way in lines(rai.get("dataAnnotationAnalysis")) if way in _VERIFICATION]
    found.say("satimnet:verification_method", checks)
    frame = lines(rai.get("dataCollectionTimeframe"))
    if len(frame) == 2:
        found.start, found.end = map(moment, frame)
    found.say("satimnet:timestamp", " to ".join(frame))


def _joined(value: Any) -> str | None:
    return line("; ".join(lines(value)))


def _files(document: Json, found: Description) -> None:
    """The size of all files, if each of them says its own."""
    files = [
        node
        for node in map(mapped, listed(document.get("distribution")))
        if "FileObject" in str(node.get("@type")) and not node.get("containedIn")
    ]
    sizes = [_bytes(node.get("contentSize")) for node in files]
    known = [size for size in sizes if size is not None]
    if files and len(known) == len(files):
        found.say("satimnet:data_volume", whole(sum(known)))


def _bytes(value: Any) -> int | None:
    if (number := whole(value)) is not None:
        return number
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    base, power = 1024 if match[3] else 1000, _UNITS.index(match[2].replace("K", "k") or " ")
    return round(float(match[1]) * float(base**power))


def _record_sets(document: Json, found: Description) -> None:
    """The classes of the first enumeration of names that is not that of the splits."""
    for node in map(mapped, listed(document.get("recordSet"))):
        kinds = lines(node.get("dataType"))
        name = (line(node.get("@id")) or line(node.get("name")) or "").lower()
        if "sc:Enumeration" not in kinds or "cr:Split" in kinds or "split" in name:
            continue
        found.classes = class_rows(_rows(listed(node.get("data"))))
        if found.classes:
            return


def _rows(records: Iterable[Any]) -> Iterable[Json]:
    """Records with the names of their fields alone: ``classes/name`` is ``name``."""
    for record in map(mapped, records):
        row = {str(key).rpartition("/")[2]: value for key, value in record.items()}
        yield {"name": row.get("label")} | row
