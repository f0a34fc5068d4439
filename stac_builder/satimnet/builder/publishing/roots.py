"""Roots: what the ``catalog.json`` of a published catalog says, and how it is made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from satimnet.builder.catalog.checked_documents import STAC_VERSION
from satimnet.builder.errors import BadCatalogError
from satimnet.builder.publishing.layout import Location, location_of
from satimnet.builder.types import Json

ROOT_ID = "satimnet"
"""Id of the catalogs that satimnet writes; no other is written over."""
VERSIONS = "satimnet:versions"
"""Field of the root: the versions of each collection that are kept, the current one last."""

_JSON = "application/json"
_MOST_VERSIONS = 10_000
_GLOSSARY_TITLE = "Concepts that the classes of all collections are mapped to (SKOS)"


@dataclass(frozen=True, slots=True)
class Root:
    """What a catalog links."""

    titles: Mapping[Location, str] = field(default_factory=dict)
    """The current version of each collection."""
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By collection, those that are kept; the last one is the current."""
    others: tuple[Json, ...] = ()
    """Links to what is none of these, such as a catalog within the catalog."""
    glossary: str | None = None
    """The href of the concepts."""

    def current(self, id_: str) -> Location | None:
        """Where a collection lies now."""
        return next((one for one in self.titles if one.id == id_), None)

    def with_collection(self, at: Location, title: str) -> Root:
        """The root once this version is the current one."""
        titles = {one: text for one, text in self.titles.items() if one.id != at.id} | {at: title}
        versions = dict(self.versions)
        if at.version is not None:
            earlier = [name for name in versions.get(at.id, ()) if name != at.version]
            versions[at.id] = (*earlier, at.version)
        return replace(self, titles=titles, versions=versions)


def root_of(document: Mapping[str, Any] | None, where: str) -> Root:
    """What the root at a place says; None is one that is not there yet.

    Raises:
        BadCatalogError: it is no catalog of satimnet.
    """
    if document is None:
        return Root()
    links = document.get("links")
    if document.get("id") != ROOT_ID or not isinstance(links, list):
        raise BadCatalogError(
            f"{where}: is there already and is no catalog of satimnet; choose another place"
        )
    titles: dict[Location, str] = {}
    others: list[Json] = []
    glossary = None
    for link in links:
        if not isinstance(link, dict):
            continue
        at = location_of(link.get("href")) if link.get("rel") == "child" else None
        if at is not None:
            titles[at] = str(link.get("title", at.id))
        elif link.get("rel") == "glossary" and isinstance(link.get("href"), str):
            glossary = link["href"]
        elif link.get("rel") not in ("root", "self"):
            others.append(link)
    versions = versions_in(document)
    for at in titles:  # what is linked is the current one, whatever is listed
        if at.version is not None and versions.get(at.id, ())[-1:] != (at.version,):
            earlier = [name for name in versions.get(at.id, ()) if name != at.version]
            versions[at.id] = (*earlier, at.version)
    return Root(titles, versions, tuple(others), glossary)


def versions_in(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The versions that a root lists, by collection; what is no list of names counts as none."""
    listed = document.get(VERSIONS)
    if not isinstance(listed, dict):
        return {}
    return {
        id_: tuple(names)
        for id_, names in listed.items()
        if isinstance(names, list)
        and len(names) <= _MOST_VERSIONS
        and all(isinstance(name, str) and _is_location(Location(id_, name)) for name in names)
    }


def _is_location(at: Location) -> bool:
    """Whether it names a folder in a folder of the catalog; ``..`` may lead anywhere."""
    return location_of(at.href) == at


def root_json(root: Root) -> Json:
    """The ``catalog.json``."""
    titles = {at: root.titles[at] for at in sorted(root.titles)}
    glossary = {"rel": "glossary", "href": root.glossary, "type": "application/ld+json"}
    document: Json = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": ROOT_ID,
        "title": "SatImNet: harmonised training data for satellite-image classification",
        "description": "Open training sets under one attribute schema, packed into zip shards: "
        + ", ".join(titles.values())
        + ".",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": _JSON},
            *(
                {"rel": "child", "href": at.href, "type": _JSON, "title": title}
                for at, title in titles.items()
            ),
            *root.others,
            *([] if root.glossary is None else [glossary | {"title": _GLOSSARY_TITLE}]),
        ],
    }
    present = {at.id for at in titles}
    versions = {id_: list(names) for id_, names in sorted(root.versions.items()) if names}
    if kept := {id_: names for id_, names in versions.items() if id_ in present}:
        document[VERSIONS] = kept
    return document


def ids_of(root: Root) -> Iterable[str]:
    """The collections of a catalog."""
    return sorted(at.id for at in root.titles)
