"""Destinations: whether a catalog can be copied to a place, and how it is linked there in the end.

What satimnet publishes anew (the root, the copies of current Collections, the concepts) follows the
protocol of `satimnet.builder.publishing`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.datasets import installed
from satimnet.builder.errors import (
    ArgumentError,
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.layout import (
    COLLECTION_NAME,
    Location,
    location_of,
    stable_copy,
)
from satimnet.builder.publishing.protocol import ROOT_NAME, Vocabulary
from satimnet.builder.publishing.roots import ROOT_ID, VERSIONS, Root, versions_in
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import json_bytes, place, sync
from satimnet.builder.storage.hrefs import file_name, is_url
from satimnet.builder.storage.staging import lock, says
from satimnet.builder.storage.stores import ChangedError
from satimnet.builder.transfer.landing import another_file
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import Scheme
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, scheme_from_json

_OWN_CONCEPTS = re.compile(r"concepts-[0-9a-f]{12}\.json")


# --- what is refused ----------------------------------------------------------------------------


def refuse_occupied(destination: str, base: str) -> None:
    """Refuses a destination that is no catalog, or lies inside the one at ``base``.

    Raises:
        StorageError: something else is there.
        BadCatalogError: in a store, something else is there.
        ArgumentError: it lies inside the catalog.
    """
    if is_url(destination):
        publishing.read_root(destination)
        inside = f"{destination}/".startswith(f"{base}/")
    else:
        folder = Path(destination)
        if not is_new(destination) and not says(folder / ROOT_NAME, "id", ROOT_ID):
            raise StorageError(
                f"{destination}: is there already and is no catalog of satimnet; choose another"
            )
        inside = not is_url(base) and folder.resolve().is_relative_to(Path(base).resolve())
    if inside:
        raise ArgumentError(
            f"{destination}: lies inside the catalog; choose another destination", "destination"
        )


def is_new(destination: str) -> bool:
    """Whether nothing is there, or an empty folder; in a store, whether no catalog is there."""
    if is_url(destination):
        return not objects.exists(f"{destination}/{ROOT_NAME}")
    path = Path(destination)
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def version_at(path: str, root: Mapping[str, Any]) -> Location | None:
    """Where a catalog of satimnet keeps the Collection at a path; None if it is kept otherwise.

    Args:
        path: that of its file.
        root: the ``catalog.json``, which says what the versions are.
    """
    at = location_of(path)
    if at is None or at.version is None or at.version in versions_in(root).get(at.id, ()):
        return at
    return None


# --- what comes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coming:
    """The collections of a catalog that are to be linked from another one."""

    root: Json
    """The root of the catalog that they are of."""
    text: bytes
    """The file of it."""
    chosen: Mapping[str, Json]
    """The Collections, by the paths of their files."""
    texts: Mapping[str, bytes]
    """These files."""
    concepts: tuple[str, bytes] | None = None
    """Path and content of the concepts of the catalog that they are of."""

    @property
    def places(self) -> dict[str, Location | None]:
        """By path of the file, where a catalog of satimnet has the Collection."""
        return {path: version_at(path, self.root) for path in self.chosen}

    def require_addable(self, destination: str) -> set[str]:
        """Refuses what cannot be linked from the root of another catalog.

        Collections can be if they lie where a build puts them. One without versions that is there
        and is not linked is what a killed copy left, and is replaced.

        Returns:
            Paths of the Collections that are there already, as they are here.

        Raises:
            BadCatalogError: a Collection lies elsewhere or is none.
            StorageError: the destination has a collection of that id that would be lost.
        """
        root = publishing.read_root(destination)
        there = set()
        for path, at in self.places.items():
            document = self.chosen[path]
            wrong = documents.problem(document) or (
                "its folder has another name" if at is None or at.id != document["id"] else None
            )
            if wrong or at is None:
                raise BadCatalogError(
                    f"{path}: not as satimnet builds it ({wrong}); copy the catalog as a whole"
                )
            file_name(at.id)
            if self._is_there(path, at, root, destination):
                there.add(path)
            if not is_url(destination):
                publishing.require_room(Path(destination) / at.id)
        return there

    def _is_there(self, path: str, at: Location, root: Root, destination: str) -> bool:
        if at.version is not None:
            return at.version in root.versions.get(at.id, ())
        if (current := root.current(at.id)) is None:
            return False
        try:
            same = current == at and objects.read(f"{destination}/{path}") == self.texts[path]
        except NotFoundError:
            same = False
        if same:
            return True
        raise StorageError(
            f"{destination}: has a collection {at.id} already; choose another destination"
        )

    def added_to(self, root: Root) -> Root:
        """What the root of another catalog is to say then, but for the concepts."""
        for path, at in self.places.items():
            if at is not None:
                root = root.with_collection(at, documents.title_of(self.chosen[path]))
        return root

    def vocabulary(self, root: Root, destination: str) -> Vocabulary:
        """What the concepts of the other catalog gain; those that it has stay as they are."""
        own = Scheme({})
        if self.concepts is not None:
            path, data = self.concepts
            own = scheme_from_json(documents.parse(data, path), path)
        ids = {str(document["id"]) for document in self.chosen.values()}
        classes = tuple(class_ for class_ in own.classes if class_.collection in ids)
        there = publishing.scheme_of(root, destination)
        known = {} if there is None else there.concepts
        concepts = {id_: one for id_, one in own.concepts.items() if id_ not in known}
        without = ids - {class_.collection for class_ in classes}
        records = {id_: one.record for id_, one in installed().items() if id_ in without}
        return Vocabulary(records, Scheme(concepts, classes))

    def whole(self) -> dict[str, bytes]:
        """The files that are made for a copy of all of the catalog, the root last.

        The root is as it was, but for versions that are not copied.
        """
        current = [at for at in self.places.values() if at is not None and at.version is not None]
        made = {
            f"{at.id}/{COLLECTION_NAME}": json_bytes(stable_copy(self.chosen[path], at.version))
            for path, at in self.places.items()
            if at in current and at is not None and at.version is not None
            if self.chosen[path].get("id") == at.id
            if documents.problem(self.chosen[path]) is None
        }
        if self.concepts is not None and _OWN_CONCEPTS.fullmatch(self.concepts[0]):
            made[CONCEPTS_NAME] = self.concepts[1]
        kept = {at.id: [at.version] for at in sorted(current)}
        listed = self.root.get(VERSIONS)
        text = self.text
        if kept != ({} if listed is None else listed):
            text = json_bytes(self.root | {VERSIONS: kept})
        return made | {ROOT_NAME: text}


# --- how it is linked ---------------------------------------------------------------------------


def publish_on_disk(made: Path, destination: Path, coming: Coming, *, whole: bool) -> None:
    """Moves what was made in a folder of this machine to the destination, and links it there.

    Args:
        made: the folder.
        destination: a new folder, or a catalog of satimnet, which others may write meanwhile.
        coming: what is in the folder.
        whole: whether that is all of a catalog.

    Raises:
        StorageError: it cannot be moved.
        BadCatalogError: as `Coming.require_addable`.
    """
    out = str(destination)
    with lock(destination, wait=publishing.WAITING):
        try:
            new = is_new(out)
            if new and whole:
                for path, data in coming.whole().items():
                    made.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                    made.joinpath(path).write_bytes(data)
                sync(made)
            else:
                there = set() if new else coming.require_addable(out)
                sync(made)
                for path, at in coming.places.items():
                    if not new and at is not None and path not in there:
                        _move(made, destination, at)
                before = Root() if new else publishing.read_root(out)
                after, vocabulary = coming.added_to(before), coming.vocabulary(before, out)
                publishing.link(made if new else destination, before, after, vocabulary)
            if new:
                place(made, destination)
        except SatimnetError:
            raise
        except OSError as error:
            raise StorageError(f"{destination}: {error.strerror}; choose another") from error


def _move(made: Path, destination: Path, at: Location) -> None:
    """Puts the files of a collection where they belong; none that versions may have is replaced."""
    top = made / at.id
    if at.version is None:
        place(top, destination / at.id)
        return
    for file in sorted(path for path in top.rglob("*") if path.is_file()):
        path = file.relative_to(top)
        if path.parts[0] == at.version or str(path) == COLLECTION_NAME:
            continue
        target = destination / at.id / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            publishing.give(file, target)
        elif (there := target.stat().st_size) != (size := file.stat().st_size):
            raise another_file(str(target), there, size)
    (destination / at.id).mkdir(exist_ok=True)
    place(made / at.folder, destination / at.folder)


def publish_in_store(out: str, coming: Coming, *, whole: bool, single_writer: bool) -> None:
    """Links what is in an object store already; the arguments are those of `publish_on_disk`.

    Raises:
        StorageError: it cannot be written.
        BadCatalogError: as `Coming.require_addable`.
    """
    if whole:
        made = coming.whole()
        with suppress(ChangedError):  # somebody else was first: it is added to what they wrote
            if single_writer:
                objects.write(f"{out}/{ROOT_NAME}", made[ROOT_NAME])
            else:
                objects.replace(f"{out}/{ROOT_NAME}", made[ROOT_NAME], None)
            for path in made.keys() - {ROOT_NAME}:
                objects.write(f"{out}/{path}", made[path])
            return
    coming.require_addable(out)
    publishing.link_in_store(
        out,
        coming.added_to,
        lambda root: coming.vocabulary(root, out),
        [at.id for at in coming.places.values() if at is not None],
        single_writer=single_writer,
    )
