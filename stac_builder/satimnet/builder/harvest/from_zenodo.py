"""Records of Zenodo, as ``https://zenodo.org/api/records/<number>`` answers them.

The fields are those of https://developers.zenodo.org/#representation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from satimnet.builder.harvest.description import Description
from satimnet.builder.harvest.stated_values import (
    address,
    day,
    doi,
    line,
    lines,
    listed,
    mapped,
    prose_of_html,
    spdx,
    whole,
)
from satimnet.builder.types import Json

_CHECKSUM = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")
_ABOUT = (
    "isDescribedBy",
    "isDocumentedBy",
    "isSupplementTo",
    "isCitedBy",
    "cites",
    "isPublishedIn",
)


def is_zenodo(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a record of Zenodo."""
    marks = ("conceptrecid", "conceptdoi", "recid", "doi")
    return isinstance(document.get("metadata"), dict) and any(mark in document for mark in marks)


def read_zenodo(document: Json, place: str) -> Description:
    """What a record of Zenodo says of its dataset."""
    found = Description("a record of Zenodo", place)
    said = mapped(document.get("metadata"))
    found.title = line(said.get("title") or document.get("title"), 300)
    found.description = prose_of_html(said.get("description"))
    found.keywords = [word for one in lines(said.get("keywords")) for word in one.split("; ")]
    _licence(said, found)
    links = mapped(document.get("links"))
    page = address(links.get("self_html")) or address(links.get("html"))
    found.link("via", page, "The dataset at Zenodo")
    people = [line(mapped(one).get("name"), 200) for one in listed(said.get("creators"))]
    found.provide(line("; ".join(filter(None, people))), "producer")
    found.provide("Zenodo", "host", page)
    found.say("sci:doi", doi(document.get("doi")) or doi(said.get("doi")))
    found.say("satimnet:release_date", day(said.get("publication_date")))
    found.say("version", line(said.get("version"), 60))
    _times_and_places(said, found)
    for other in map(mapped, listed(said.get("related_identifiers"))):
        if other.get("relation") in _ABOUT:
            named = doi(other.get("identifier"))
            href = f"https://doi.org/{named}" if named else address(other.get("identifier"))
            found.link("about", href)
    _files(document, found)
    return found


def _licence(said: Json, found: Description) -> None:
    for one in [*listed(said.get("license")), *listed(said.get("rights"))]:
        name = mapped(one).get("id") if isinstance(one, dict) else one
        found.license = found.license or spdx(name)
        found.link("license", address(mapped(mapped(one).get("props")).get("url")))
        if found.license is None and (words := line(name, 200)):
            found.notes.setdefault("license", words)
    if found.license:
        found.notes.pop("license", None)


def _times_and_places(said: Json, found: Description) -> None:
    for one in map(mapped, listed(said.get("dates"))):
        if str(one.get("type")).lower() == "collected":
            ends = list(dict.fromkeys(filter(None, (day(one.get("start")), day(one.get("end"))))))
            found.say("satimnet:timestamp", " to ".join(ends))
            if len(ends) == 2:
                found.start, found.end = f"{ends[0]}T00:00:00Z", f"{ends[1]}T23:59:59Z"
    places = [line(mapped(one).get("place"), 200) for one in listed(said.get("locations"))]
    found.say("satimnet:geographic_coverage", line(", ".join(filter(None, places))))


def _files(document: Json, found: Description) -> None:
    """Where the files are, and their size if each of them says its own."""
    files = [mapped(one) for one in listed(document.get("files"))]
    for one in files:
        url = address(mapped(one.get("links")).get("self"))
        if url is None:
            continue
        row: Json = {"url": url}
        if (size := whole(one.get("size"))) is not None:
            row["size"] = size
        checksum = one.get("checksum")
        if isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum):
            row["checksum"] = checksum
        found.downloads.append(row)
    sizes = [size for one in files if (size := whole(one.get("size"))) is not None]
    if files and len(sizes) == len(files):
        found.say("satimnet:data_volume", whole(sum(sizes)))
