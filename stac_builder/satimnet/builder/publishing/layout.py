"""The layout of a published catalog.

::

    catalog.json                        the only file that changes
    concepts-<digest>.json              written once, as is all below a version
    eurosat/shards/Forest-00000-….zip   shared by the versions that have the same samples
    eurosat/<version>/collection.json   items.parquet  Forest/…  overview.png  build-report.json
    eurosat/collection.json             a copy of the current one: the address that people cite
    concepts.json                       a copy as well

A version is named by a digest of what is in it, so the same source gives the same names and bytes.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Any, NamedTuple

from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.storage.hrefs import has_scheme
from satimnet.builder.types import Json

COLLECTION_NAME = "collection.json"
SHARDS_NAME = "shards"
_DIGITS = 12
_LONGEST = 60
_NO_NAME = re.compile(r"[^A-Za-z0-9._]+")  # what others call a version need not be a folder's name
_HREF = re.compile(r"([^/]+)/(?:([^/]+)/)?collection\.json")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")  # no name that satimnet gives has any of these


class Location(NamedTuple):
    """Where in a catalog a Collection lies."""

    id: str
    version: str | None
    """None in catalogs of satimnet 0.1 and 0.2, which kept one version."""

    @property
    def href(self) -> str:
        """Its href in ``catalog.json``."""
        return f"./{self.folder}/{COLLECTION_NAME}"

    @property
    def folder(self) -> str:
        """Its folder in the catalog."""
        return self.id if self.version is None else f"{self.id}/{self.version}"


def location_of(href: object) -> Location | None:
    """The location that an href of ``catalog.json`` tells; None of another catalog's."""
    if not isinstance(href, str) or has_scheme(href) or href.startswith("/"):
        return None
    found = _HREF.fullmatch(posixpath.normpath(href))
    if found is None or found[1] == ".." or _UNSAFE.search(href):
        return None
    return Location(found[1], found[2])


def version_of(collection: Json, folder: Path, files: tuple[str, ...], shown_as: str) -> str:
    """The name of a version: that of the record, if it has one, and a digest of the content.

    Args:
        collection: the Collection, without what a version adds to it.
        folder: where its files lie.
        files: names of those that tell all the others: the index, the report.
        shown_as: how the tree shows the Items.
    """
    digest = hashlib.sha256(json_bytes(collection))
    digest.update(shown_as.encode())
    for name in files:
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    name = digest.hexdigest()[:_DIGITS]
    own = collection.get("version")
    plain = _NO_NAME.sub("-", own).strip("-.")[:_LONGEST] if isinstance(own, str) else ""
    return f"{plain}-{name}" if plain else name


def stable_copy(collection: Json, version: str) -> Json:
    """A version's Collection as it stands one folder higher: hrefs lead to the same files."""

    def moved(entry: Json) -> Json:
        href = entry.get("href")
        if not isinstance(href, str) or has_scheme(href) or href.startswith("/"):
            return entry
        path = posixpath.normpath(posixpath.join(version, href))
        return entry | {"href": path if path.startswith("..") else f"./{path}"}

    copy: dict[str, Any] = dict(collection)
    copy["links"] = [moved(link) for link in collection.get("links", ())]
    if "assets" in collection:
        copy["assets"] = {key: moved(asset) for key, asset in collection["assets"].items()}
    return copy


def content_name(stem: str, data: bytes, ending: str) -> str:
    """The name of a file that tells what is in it."""
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:_DIGITS]}{ending}"
