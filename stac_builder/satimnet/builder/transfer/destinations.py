"""Destinations: whether a catalog can be copied to a place, and how it gets there in the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.datasets import installed
from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.layout import location_of
from satimnet.builder.publishing.protocol import Vocabulary
from satimnet.builder.publishing.roots import ROOT_ID, Root, root_of
from satimnet.builder.storage.atomic_files import place, sync
from satimnet.builder.storage.hrefs import file_name, is_url
from satimnet.builder.storage.staging import announce, placed, says


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
        at = location_of(path)
        wrong = documents.problem(document) or (
            "its folder has another name" if at is None or at.id != id_ else None
        )
        if wrong:
            raise BadCatalogError(
                f"{path}: not as satimnet builds it ({wrong}); copy the catalog as a whole"
            )
        file_name(str(id_))
        folder = destination / str(id_)
        if id_ in there and not placed(folder, destination, made_of):
            raise StorageError(
                f"{destination}: has a collection {id_} already; choose another destination"
            )
        publishing.require_room(folder)


def _linked(catalog: Path) -> list[str]:
    """The collections that a catalog of satimnet links; none where there is no root."""
    return [at.id for at in publishing.read_root(str(catalog)).titles]


def write_part(catalog: Path, root: Mapping[str, Any], chosen: Iterable[str]) -> None:
    """Writes the root of a folder that has only some of a catalog's collections.

    Args:
        catalog: The folder.
        root: The whole root.
        chosen: Paths of the Collections that are there.
    """
    there = {location_of(path) for path in chosen}
    whole = root_of({**root, "id": ROOT_ID}, str(catalog))
    part = Root(
        {at: title for at, title in whole.titles.items() if at in there},
        {at.id: (at.version,) for at in there if at is not None and at.version is not None},
        (),
        whole.glossary,
    )
    publishing.link(catalog, part, part, Vocabulary({}))


def move_in_place(
    staging: Path, destination: Path, chosen: Mapping[str, Mapping[str, Any]], made_of: str
) -> None:
    """Moves what was made in a staging folder to the destination: all of it, or collections.

    Raises:
        StorageError: it cannot be moved.
    """
    made = staging / "catalog"
    if whole := is_new(destination):
        moves = {made: destination}
    else:
        moves = {made / one["id"]: destination / one["id"] for one in chosen.values()}
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
        before = after = publishing.read_root(str(destination))
        for path, document in chosen.items():
            if (at := location_of(path)) is not None:
                after = after.with_collection(at, documents.title_of(document))
        records = {name: dataset.record for name, dataset in installed().items()}
        publishing.link(destination, before, after, Vocabulary(records))
