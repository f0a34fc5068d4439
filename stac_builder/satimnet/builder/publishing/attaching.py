"""Attaching: files that are made of a published collection become assets of it.

What is published never changes, so the collection gets a new version. Its other files are those of
the version before, on disk the same files by another name, and its shards stay where they are.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError, printable
from satimnet.builder.publishing.layout import COLLECTION_NAME, Location
from satimnet.builder.publishing.protocol import (
    WAITING,
    Made,
    Vocabulary,
    add,
    publish,
    read_root,
    require_one_by_one,
)
from satimnet.builder.publishing.roots import Root, root_json, root_of
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.storage.hrefs import catalog_file, folder_at, is_url, is_web
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

FOLDER = "attached"
"""The folder of attached files in that of a version."""
_COMING = ".attaching"
"""The folder of the version while it is made: as deep as that of a version, so that links between
its files stay true."""
_DIGITS = 12
_OWN_NAME = re.compile(r"(?:(.*)-)?[0-9a-f]{12}")  # of a version, before the digest of its content


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that is attached."""

    key: str
    """Of the asset; an earlier one of this key is replaced."""
    path: str
    """Where the file lies in the folder that was given, with ``/`` between names."""
    type: str
    title: str
    roles: tuple[str, ...] = ("metadata",)


Make = Callable[[Json, Path], Sequence[Attachment]]
"""Makes the files, given a ``catalog.json`` that links the coming version of the collection alone,
and the folder for them. In a store nothing of the coming version is there yet: the current one is
linked, and the folder is on this machine (see `place_in_store`)."""


def place_in_store(place: str, document: Json) -> str:
    """Where the folder that `Make` is given will lie, if the catalog is in a store; else nothing.

    The coming version lies beside the current one, so links that lead from there are true.

    Args:
        place: the address of ``catalog.json``.
        document: as `Make` is given it.
    """
    if not is_url(place):
        return ""
    (at,) = root_of(document, place).titles
    return f"{folder_at(place)}/{at.folder}/{FOLDER}"


def attach(
    catalog: str | os.PathLike[str], id_: str, make: Make, *, single_writer: bool = False
) -> str:
    """Publishes a version of a collection that links further files.

    Args:
        catalog: path of ``catalog.json`` or of its folder, or its URL in an object store. From
            there the files of the version are fetched, but for its shards.
        id_: id of the collection.
        make: makes the files.
        single_writer: whether nobody else writes to the store meanwhile, as
            `satimnet.builder.publishing.protocol.require_one_by_one`.

    Returns:
        The name of the version; the current one, if the same files are attached to it already.

    Raises:
        NotFoundError: there is no such catalog or collection.
        StorageError: the catalog lies on the web, or cannot be written.
        BadCatalogError: it is no catalog of satimnet, or one of satimnet 0.1 or 0.2.
    """
    place = catalog_file(catalog)
    if is_web(place):
        raise StorageError(
            f"{shown(place)}: is not on this machine and cannot be written; attach files to the "
            "catalog in its store, or here, and publish it with satimnet copy"
        )
    if is_url(place):
        return _attach_in_store(place, id_, make, single_writer)
    home = Path(place).parent
    at, title = _current(read_root(str(home)), id_, place)
    coming = Location(id_, _COMING)
    folder = home / coming.folder
    with lock(folder, named=home / id_):
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        try:
            document = root_json(Root().with_collection(coming, title))
            made = _made(home / at.folder, folder, at, document, make)
            if made is None:
                return str(at.version)
            with lock(home, wait=WAITING):
                if read_root(str(home)).current(id_) != at:
                    raise StorageError(
                        f"{home / id_}: got another version meanwhile; attach to that one"
                    )
                add(home, [made], Vocabulary({}))
            return made.version
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _attach_in_store(place: str, id_: str, make: Make, single_writer: bool) -> str:
    """As `attach`, by way of a folder on this machine."""
    home = folder_at(place)
    at, title = _current(read_root(home), id_, place)
    require_one_by_one(home, single_writer=single_writer)
    with tempfile.TemporaryDirectory(prefix="satimnet-") as scratch:
        version, folder = Path(scratch, "version"), Path(scratch, "coming")
        _download(f"{home}/{at.folder}", version)
        document = root_json(Root().with_collection(at, title))
        made = _made(version, folder, at, document, make)
        if made is None:
            return str(at.version)
        publish(
            home,
            [replace(made, over=at)],
            Vocabulary({}),
            staging=Path(scratch),
            single_writer=single_writer,
        )
        return made.version


def _download(version: str, folder: Path) -> None:
    """Fetches the files of a version."""
    names = [found.place.removeprefix(f"{version}/") for found in objects.files_below(version)]
    names = [name for name in names if ".." not in name.split("/")]  # it would lie elsewhere here
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for _ in objects.download_all(version, names, folder):
        pass


def _made(version: Path, folder: Path, at: Location, document: Json, make: Make) -> Made | None:
    """Makes the coming version in a folder; None if it would be what the current one is.

    Args:
        version: the files of the current version, on this machine.
        folder: where those of the coming one are put.
        at: where the current one lies.
        document: what ``make`` is given.
        make: makes what is attached.
    """
    _give_again(version, folder)
    before = documents.read(str(folder / COLLECTION_NAME))
    (folder / FOLDER).mkdir()
    attached = make(document, folder / FOLDER)
    after = _with_assets(before, attached)
    if after == before and _same_files(attached, version, folder):
        return None
    _keep_earlier(before, after, version, folder)
    name = _name(at, after, attached, folder)
    links = [one for one in after["links"] if one.get("rel") != "predecessor-version"]
    return Made(after | {"links": links}, name, folder)


def _current(root: Root, id_: str, place: str) -> tuple[Location, str]:
    """Where the collection lies now, and its title."""
    at = root.current(id_)
    if at is None:
        known = ", ".join(sorted(one.id for one in root.titles))
        raise NotFoundError(f"{place}: no collection {printable(id_)}; there are: {known}")
    if at.version is None:
        raise BadCatalogError(f"{place}: {id_} has no versions; build it again")
    return at, root.titles[at]


def _give_again(version: Path, folder: Path) -> None:
    """Gives the files of a version second names, but for those that are going to be others."""

    def given(source: str, target: str) -> str:
        if os.path.basename(source) == COLLECTION_NAME:
            return shutil.copyfile(source, target)
        try:
            os.link(source, target)
        except OSError:  # a file system without links
            shutil.copyfile(source, target)
        return target

    def without(path: str, names: list[str]) -> list[str]:
        """What is no part of the version: attached files, and links that may lead anywhere."""
        own = Path(path)
        return [
            name
            for name in names
            if (own / name).is_symlink() or (own == version and name == FOLDER)
        ]

    shutil.copytree(version, folder, copy_function=given, ignore=without)


def _with_assets(before: Json, made: Sequence[Attachment]) -> Json:
    """The Collection with the assets."""
    assets = {
        one.key: {
            "href": f"./{FOLDER}/{one.path}",
            "type": one.type,
            "title": one.title,
            "roles": list(one.roles),
        }
        for one in made
    }
    return before | {"assets": before.get("assets", {}) | assets}


def _same_files(made: Sequence[Attachment], version: Path, folder: Path) -> bool:
    """Whether a version has these files already."""
    pairs = [(version / FOLDER / one.path, folder / FOLDER / one.path) for one in made]
    return all(old.is_file() and old.read_bytes() == new.read_bytes() for old, new in pairs)


def _keep_earlier(before: Json, after: Json, version: Path, folder: Path) -> None:
    """Copies what was attached earlier and still is."""
    for key, asset in before.get("assets", {}).items():
        path = str(asset.get("href", ""))
        if after["assets"][key] != asset or not path.startswith(f"./{FOLDER}/"):
            continue
        source, target = version / path, folder / path
        inside = source.resolve().is_relative_to(version.resolve())  # whatever links there are
        if ".." not in Path(path).parts and inside and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _name(at: Location, after: Json, made: Sequence[Attachment], folder: Path) -> str:
    """The name of the version: that of the record, if it has one, and a digest of the content."""
    digest = hashlib.sha256(json_bytes({"before": at.version, "assets": after["assets"]}))
    for one in made:
        digest.update(hashlib.sha256((folder / FOLDER / one.path).read_bytes()).digest())
    own = _OWN_NAME.fullmatch(str(at.version))
    name = digest.hexdigest()[:_DIGITS]
    return f"{own[1]}-{name}" if own and own[1] else name
