"""The versions of a catalog's collections: which there are, and how one is chosen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import NotFoundError, SatimnetError, printable
from satimnet.builder.publishing.layout import Location
from satimnet.builder.publishing.roots import Root, root_of, versions_in
from satimnet.builder.storage import objects
from satimnet.builder.storage.hrefs import catalog_file, join
from satimnet.builder.storage.stores import shown


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a collection."""

    collection: str
    """Id of the collection."""
    name: str
    current: bool
    """Whether the catalog links it."""
    href: str
    """The place of its ``collection.json``."""
    published: str | None
    """When that file was written, as RFC 3339 has it; None where the server does not tell."""


@checked()
def versions(catalog: str | os.PathLike[str], *, collection: str | None = None) -> list[Version]:
    """The versions of a catalog that are kept, by collection, the oldest first.

    Args:
        catalog: path or URL of ``catalog.json`` or of its folder.
        collection: the id of one, if not all are asked for.

    Returns:
        The versions. Collections that satimnet 0.1 or 0.2 built have none.

    Raises:
        NotFoundError: there is no such catalog or collection.
        BadCatalogError: it is no catalog of satimnet.
        StorageError: it cannot be read.

    Example:
        >>> from satimnet.builder import versions
        >>> [version.current for version in versions("catalog", collection="eurosat")]
        [True]
    """
    place = catalog_file(catalog)
    root = root_of(documents.read(place), shown(place))
    ids = sorted({at.id for at in root.titles})
    if collection is not None and collection not in ids:
        raise NotFoundError(
            f"{shown(place)}: no collection {printable(collection)}; there are: {', '.join(ids)}"
        )
    return [
        _version(Location(id_, name), root, place)
        for id_ in ids
        if collection in (None, id_)
        for name in root.versions.get(id_, ())
    ]


def _version(at: Location, root: Root, catalog: str) -> Version:
    href = join(at.href, catalog)
    try:
        written = objects.written_at(href)
    except SatimnetError:  # it may be gone, and is still listed
        written = None
    time = None if written is None else written.isoformat().replace("+00:00", "Z")
    return Version(at.id, str(at.version), at in root.titles, href, time)


def chosen(
    document: Mapping[str, Any], names: str | Sequence[str] | None, where: str
) -> dict[str, Location]:
    """Where the versions with these names lie, by collection.

    Args:
        document: the ``catalog.json``.
        names: of versions, as they are or as ``collection@version``.
        where: how messages name the catalog.

    Raises:
        NotFoundError: a name is that of no version, or of two collections' versions.
    """
    kept = versions_in(document)
    found: dict[str, Location] = {}
    for name in [names] if isinstance(names, str) else names or ():
        wanted, _, version = name.rpartition("@")
        matching = [
            Location(id_, version)
            for id_, there in kept.items()
            if version in there and wanted in ("", id_)
        ]
        if not matching:
            every = [f"{id_}@{one}" for id_, there in kept.items() for one in there]
            listing = ", ".join(map(printable, every[-20:])) or "none"
            raise NotFoundError(f"{where}: no version {printable(name)}; there are: {listing}")
        found |= {at.id: at for at in matching}
    return found
