"""Destinations: whether a catalog can be copied to a place, and how it gets there in the end."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.tree import ROOT_ID, write_root
from satimnet.builder.datasets import installed
from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.storage.atomic_files import place, sync
from satimnet.builder.storage.hrefs import file_name, is_url
from satimnet.builder.storage.staging import announce, placed, says
from satimnet.builder.transfer.catalog_links import objects_in
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, write_concepts


def refuse_occupied(destination: Path, base: str) -> None:
    """Refuses a destination that is no catalog, or lies inside the one at ``base``.

    Raises:
        StorageError: something else is there.
        ArgumentError: it lies inside the catalog.
    """
    if not is_new(destination) and not says(destination / "catalog.json", "id", ROOT_ID):
        raise StorageError(
            f"{destination}: is there already and is no catalog of satimnet; choose another"
        )
    if not is_url(base) and destination.resolve().is_relative_to(Path(base).resolve()):
        raise ArgumentError(
            f"{destination}: lies inside the catalog; choose another destination", "destination"
        )


def is_new(destination: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return not destination.exists() or (destination.is_dir() and not any(destination.iterdir()))


def require_addable(
    chosen: Mapping[str, Mapping[str, Any]], destination: Path, made_of: str
) -> None:
    """Refuses Collections that cannot be linked from the root of the destination.

    They can be if they lie where a build puts them. One that is there and is not linked is what a
    killed copy left, and is replaced.

    Args:
        chosen: The Collections, by the path of their file.
        destination: A catalog of satimnet.
        made_of: What the copy is made of, as `satimnet.builder.storage.staging.announce` notes it.

    Raises:
        BadCatalogError: a Collection lies elsewhere or is none.
        StorageError: the destination has a collection of that id.
    """
    there = _linked(destination)
    for path, document in chosen.items():
        id_ = document.get("id")
        wrong = documents.problem(document) or (
            "its folder has another name" if path != f"{id_}/collection.json" else None
        )
        if wrong:
            raise BadCatalogError(
                f"{path}: not as satimnet builds it ({wrong}); copy the catalog as a whole"
            )
        file_name(str(id_))
        folder = (destination / path).parent
        if id_ in there and not placed(folder, destination, made_of):
            raise StorageError(
                f"{destination}: has a collection {id_} already; choose another destination"
            )
        if folder.exists() and not (folder / "collection.json").exists():
            raise StorageError(f"{folder}: is there already and is no collection; move it")


def _linked(catalog: Path) -> list[str]:
    """The folders that the root of a catalog of satimnet leads to; none where there is no root."""
    if not (catalog / "catalog.json").exists():
        return []
    root = documents.read(str(catalog / "catalog.json"))
    hrefs = [str(link.get("href")) for link in objects_in(root.get("links"))]
    return [posixpath.dirname(posixpath.normpath(href)) for href in hrefs]


def rewrite_root(catalog: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes root and concepts again, over the collections that lie in the folder now.

    Raises:
        BadCatalogError: a collection is not as satimnet builds it.
    """
    try:
        if (catalog / CONCEPTS_NAME).exists():
            write_concepts(catalog, records)
        write_root(catalog)
    except (LookupError, TypeError, ValueError) as error:
        raise BadCatalogError(
            f"{catalog}: its collections are not as satimnet builds them ({error}); "
            "copy the catalog as a whole"
        ) from error


def move_in_place(
    staging: Path, destination: Path, chosen: Iterable[Mapping[str, Any]], made_of: str
) -> None:
    """Moves what was made in a staging folder to the destination: all of it, or collections.

    Raises:
        StorageError: it cannot be moved.
    """
    made = staging / "catalog"
    if whole := is_new(destination):
        moves = {made: destination}
    else:
        moves = {made / one["id"]: destination / one["id"] for one in chosen}
    try:
        sync(made)
        announce(destination, made_of, *moves)
        for folder, target in moves.items():
            place(folder, target)
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{destination}: {error.strerror}; choose another") from error
    if not whole:
        rewrite_root(destination, {name: dataset.record for name, dataset in installed().items()})
