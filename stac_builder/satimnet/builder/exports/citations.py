"""How a dataset asks to be cited, as text and as BibTeX.

Records word citations as ``Authors: Title. Where it appeared 1(2), 3-4, year.``, or as
``Authors: Title, year, URL``; any other
citation becomes the note of an entry with the dataset's title.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from satimnet.builder.catalog.collection_document import UNNAMED_LICENCES, CollectionDocument

_CITATION = re.compile(
    r"(?P<authors>[^:]+): (?P<title>.+?)"
    r"(?:\. (?P<venue>.+?)(?: (?P<volume>\d{1,3})(?:\((?P<number>[^()]+)\))?)?"
    r"(?:, (?P<pages>\d+(?:-\d+)?))?)?"
    r", (?P<year>(?:19|20)\d\d)(?:, (?P<url>https?://\S+?))?\.?"
)
_YEAR = re.compile(r"(?<![^\s(,;:])(?:19|20)\d\d(?=[\s),;:]|\.?$|\.\s)")  # of no DOI, no pages
_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def text(collection: CollectionDocument) -> str:
    """What to cite for a dataset: a line for each publication, with DOIs and the licence."""
    lines = [collection.title]
    if doi := _own_doi(collection):
        lines.append(f"  The data: https://doi.org/{doi}")
    for citation, doi in _publications(collection):
        lines.append(f"  {citation}" + (f" https://doi.org/{doi}" if doi else ""))
    lines.append(f"  Licence: {licence(collection.json)}")
    return "\n".join(lines) + "\n"


def bibtex(collection: CollectionDocument) -> str:
    """BibTeX entries of the dataset's publications, and of the dataset if it has a DOI of its own.

    Keys are ``<collection>``, ``<collection>-2`` and so on, and ``<collection>-data``.
    """
    entries = []
    for number, (citation, doi) in enumerate(_publications(collection), start=1):
        key = collection.id + ("" if number == 1 else f"-{number}")
        entries.append(_entry(key, collection.title, citation, doi))
    if doi := _own_doi(collection):
        fields = {
            "title": collection.title,
            "howpublished": f"https://doi.org/{doi}",
            "year": str(collection.json.get("satimnet:release_date", ""))[:4],
        }
        entries.append(_written("misc", f"{collection.id}-data", fields, doi))
    return "\n".join(entries)


def year(collection: CollectionDocument) -> str | None:
    """The year of the publication that the dataset asks to cite; None where it names none."""
    for citation, _ in _publications(collection)[:1]:
        if found := _YEAR.findall(citation):
            return str(found[-1])
    return None


def _publications(collection: CollectionDocument) -> list[tuple[str, str | None]]:
    """Citations with their DOIs, each once; first the one that the dataset asks for."""
    found: dict[str, str | None] = {}
    if own := collection.json.get("sci:citation"):
        found[own] = None
    for publication in collection.json.get("sci:publications", ()):
        doi = publication.get("doi")
        if citation := publication.get("citation") or (doi and f"https://doi.org/{doi}"):
            found[citation] = doi
    if list(found.values()) == [None]:  # the only citation must be what the DOI names
        return [(citation, collection.json.get("sci:doi")) for citation in found]
    return list(found.items())


def _own_doi(collection: CollectionDocument) -> str | None:
    """The DOI of the data, unless it is that of a publication."""
    doi: str | None = collection.json.get("sci:doi")
    return None if doi in (other for _, other in _publications(collection)) else doi


def licence(collection: Mapping[str, Any]) -> str:
    """The SPDX identifier, or the names and links of the terms.

    ``collection`` is the JSON of a Collection or the record of a dataset.
    """
    named = collection["license"] not in UNNAMED_LICENCES
    parts = [str(collection["license"])] if named else []
    terms = [link for link in collection.get("links", ()) if link["rel"] == "license"]
    parts += [" ".join(filter(None, (link.get("title"), link["href"]))) for link in terms]
    return "; ".join(parts) or "not stated by the publisher"


def _entry(key: str, title: str, citation: str, doi: str | None) -> str:
    """The entry of a publication; ``title`` is used if the citation has none."""
    match = _CITATION.fullmatch(citation)
    if match is None:
        years = _YEAR.findall(citation)
        fields = {"title": title, "note": citation, "year": years[-1] if years else ""}
        return _written("misc", key, fields, doi)
    found = match.groupdict(default="")
    fields = {
        "author": " and ".join(re.split(r", (?!Jr)", found["authors"])),
        "title": found["title"],
    }
    if not found["venue"]:
        kind = "misc"
        fields |= {"howpublished": found["url"]} if found["url"] else {"note": citation}
    elif _is_meeting(found["venue"]):
        kind = "inproceedings"
        fields["booktitle"] = found["venue"]
    else:
        kind = "article"
        fields["journal"] = found["venue"]
    fields |= {
        "volume": found["volume"],
        "number": found["number"],
        "pages": found["pages"].replace("-", "--"),
        "year": found["year"],
    }
    return _written(kind, key, fields, doi)


def _written(kind: str, key: str, fields: Mapping[str, str], doi: str | None) -> str:
    lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
    if doi:
        lines.append(f"  doi = {{{doi}}},")
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])


def _is_meeting(venue: str) -> bool:
    return re.search(r"Conference|Symposium|Workshop|Proceedings", venue) is not None


def _escaped(value: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in value)
