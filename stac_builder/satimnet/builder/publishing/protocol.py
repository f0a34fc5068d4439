"""The protocol of publishing: how a new version of a collection becomes the current one.

The files of a version, which nobody knows of yet, come first; then ``catalog.json`` is replaced in
one step. Whoever opened the catalog before has the old one as a whole, whoever opens it after that
has the new one. What a killed run leaves is linked by nothing.

On disk ``catalog.json`` is replaced under a lock; in an object store by a conditional put, which
fails if somebody else replaced it meanwhile, and is then done again over what they wrote.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import random
import re
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.errors import (
    BadCatalogError,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing.index_files import files_of_index
from satimnet.builder.publishing.layout import (
    COLLECTION_NAME,
    SHARDS_NAME,
    Location,
    content_name,
    stable_copy,
)
from satimnet.builder.publishing.roots import Root, ids_of, root_json, root_of
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import json_bytes, place, sync, write
from satimnet.builder.storage.hrefs import is_url
from satimnet.builder.storage.objects import remove_below
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import ChangedError, address_of, shown
from satimnet.builder.types import Json
from satimnet.builder.vocabulary.concepts import Scheme
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, merged, scheme_from_json, scheme_json

VERSION_URI = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
ROOT_NAME = "catalog.json"
BUILDING = ".building"
"""Folder in a catalog of an object store with what running builds need."""

_MOST = 64 * 2**20  # bytes of a document of ours
WAITING = 600.0  # seconds for another run that publishes into the same folder
_TRIES = 1000
_PROBES = 3  # another machine may take a probe for one that was left
_THREADS = 32
_NOTE_NAME = "begun"
_WITH_CONCEPTS = "concept"


@dataclass(frozen=True, slots=True)
class Made:
    """A version of a collection that is to be published."""

    collection: Json
    """The Collection, without what a version adds to it."""
    version: str
    folder: Path
    """Its other files, on this machine."""
    shards: Path | None = None
    """The folder of its shards on this machine; None if they lie where they belong."""
    over: Location | None = None
    """The version that it is made of: in a store, where another one may become the current
    meanwhile, it is published over none but this one."""

    @property
    def id(self) -> str:
        """Id of the collection."""
        return str(self.collection["id"])

    @property
    def at(self) -> Location:
        """Where it will lie."""
        return Location(self.id, self.version)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the concepts of a catalog are made of, besides those that it has."""

    records: Mapping[str, Mapping[str, Any]]
    """Records of the datasets, by the id of the collection."""
    added: Scheme = field(default_factory=lambda: Scheme({}))
    """Concepts and classes of collections that have no record."""


def publish(
    out: str,
    made: Sequence[Made],
    vocabulary: Vocabulary,
    *,
    staging: Path,
    single_writer: bool = False,
    progress: Progress = silent,
) -> None:
    """Makes these versions the current ones of a catalog, all at once.

    Args:
        out: place of the catalog's folder, a path or the URL of an object store.
        made: what is published; its files are moved or uploaded.
        vocabulary: what its concepts are made of.
        staging: a folder on the file system of ``out``, if that is a path.
        single_writer: whether nobody else writes to the store meanwhile, as `require_one_by_one`.
        progress: is told about uploads.

    Raises:
        BadCatalogError: what is there is no catalog of satimnet.
        StorageError: it cannot be written.
    """
    if is_url(out):
        _publish_in_store(out, made, vocabulary, single_writer, progress)
    else:
        _publish_on_disk(Path(out), made, vocabulary, staging)


# --- on disk ------------------------------------------------------------------------------------


def _publish_on_disk(
    out: Path, made: Sequence[Made], vocabulary: Vocabulary, staging: Path
) -> None:
    with lock(out, wait=WAITING):
        if (out / ROOT_NAME).exists():
            for one in made:
                require_room(out / one.id)
            add(out, made, vocabulary)
            return
        if out.is_dir() and any(out.iterdir()):  # it was empty when the run began
            raise StorageError(f"{out}: somebody else wrote into it meanwhile; move that")
        target = staging / "catalog"
        for one in made:
            left = target / one.at.folder
            if (left / COLLECTION_NAME).exists():  # a run that was killed had moved it there
                place(left, one.folder)
        shutil.rmtree(target, ignore_errors=True)
        add(target, made, vocabulary)
        place(target, out)


def add(catalog: Path, made: Sequence[Made], vocabulary: Vocabulary) -> None:
    """As `publish`, into a folder of this machine that nobody else writes meanwhile.

    Raises:
        BadCatalogError: what is there is no catalog of satimnet.
        OSError: it cannot be written.
    """
    catalog.mkdir(parents=True, exist_ok=True)
    root = read_root(str(catalog))
    for one in made:
        _move(one, catalog, root)
    link(catalog, root, _after(root, made), vocabulary)


def link(catalog: Path, before: Root, after: Root, vocabulary: Vocabulary) -> None:
    """Replaces the root of a folder, and the copies of what it links; raises as `add`.

    Args:
        catalog: the folder, in which everything is that the new root links.
        before: what the root says now.
        after: what it is to say, but for the concepts.
        vocabulary: what these are made of.
    """
    glossary = _glossary(before, after, vocabulary, str(catalog))
    if glossary is not None:
        name, data = glossary
        after = replace(after, glossary=f"./{name}")
        if not (catalog / name).exists():
            write(catalog / name, data)
    sync(catalog)  # what the root links is there before it, also after a power cut
    _write_changed(catalog / ROOT_NAME, json_bytes(root_json(after)))
    for at in after.titles:
        if at.version is None:
            continue
        path = str(catalog / at.folder / COLLECTION_NAME)
        try:
            data = _copy_of(documents.read(path), at.version)
        except (SatimnetError, TypeError, AttributeError):
            continue  # somebody broke it since: its copy stays as it is
        _write_changed(catalog / at.id / COLLECTION_NAME, data)
    if glossary is not None:
        _write_changed(catalog / CONCEPTS_NAME, glossary[1])


def require_room(folder: Path) -> None:
    """Refuses to publish into a folder that is none of a collection's.

    Raises:
        StorageError: it is something else's.
    """
    if not folder.exists() or (folder / COLLECTION_NAME).exists():
        return
    half = f"{COLLECTION_NAME}.part"  # of a run that was killed
    ours = folder.is_dir() and all(
        path.name in (SHARDS_NAME, half) or (path / COLLECTION_NAME).exists()
        for path in folder.iterdir()
    )
    if not ours:
        raise StorageError(f"{folder}: is there already and is no collection; move it")


def _move(one: Made, catalog: Path, root: Root) -> None:
    """Puts the files of a version where they belong; what is there already is the same."""
    if one.shards is not None:
        pool = catalog / one.id / SHARDS_NAME
        pool.mkdir(parents=True, exist_ok=True)
        for shard in sorted(one.shards.iterdir()):
            target = pool / shard.name
            if not target.exists() or target.stat().st_size != shard.stat().st_size:
                give(shard, target)
    folder = catalog / one.at.folder
    if (folder / COLLECTION_NAME).exists():
        if one.version not in root.versions.get(one.id, ()):  # a run that was killed left it
            _write_changed(folder / COLLECTION_NAME, json_bytes(_complete(one, root)))
        return
    (one.folder / COLLECTION_NAME).write_bytes(json_bytes(_complete(one, root)))
    folder.parent.mkdir(parents=True, exist_ok=True)
    sync(one.folder)  # a version that has a name is whole, also after a power cut
    place(one.folder, folder)


def give(file: Path, target: Path) -> None:
    """Gives a file a second name, so that a run that is killed now still has its first one."""
    try:
        os.link(file, target)
    except FileExistsError:
        os.replace(file, target)  # of another size: a part of it
    except OSError:  # a file system without links
        os.replace(file, target)


def _write_changed(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        write(path, data)


# --- in object stores ---------------------------------------------------------------------------


def _publish_in_store(
    out: str,
    made: Sequence[Made],
    vocabulary: Vocabulary,
    single_writer: bool,
    progress: Progress,
) -> None:
    for one in made:
        note_build(out, f"{one.id}-{one.version}")
        if one.shards is not None:
            upload(one.shards, f"{out}/{one.id}/{SHARDS_NAME}", progress)
        upload(one.folder, f"{out}/{one.at.folder}", progress)
    written: dict[Location, bytes] = {}

    def after(root: Root) -> Root:
        for one in made:
            if one.over is not None and root.current(one.id) not in (one.over, one.at):
                raise StorageError(
                    f"{shown(out)}/{one.id}: got another version meanwhile; attach to that one"
                )
            path = f"{out}/{one.at.folder}/{COLLECTION_NAME}"
            if one.version in root.versions.get(one.id, ()) and objects.exists(path):
                continue
            data = json_bytes(_complete(one, root))
            if written.get(one.at) != data:
                objects.write(path, data)
                written[one.at] = data
        for one in made:
            _require_shards(one, out)
        return _after(root, made)

    ids = [one.id for one in made]
    link_in_store(out, after, lambda _: vocabulary, ids, single_writer=single_writer)
    for one in made:
        remove_below(f"{out}/{BUILDING}/{one.id}-{one.version}")


def link_in_store(
    out: str,
    after: Callable[[Root], Root],
    vocabulary: Callable[[Root], Vocabulary],
    ids: Sequence[str],
    *,
    single_writer: bool = False,
) -> None:
    """Replaces the root of a store's catalog, and the copies of what it links; raises as `publish`.

    Args:
        out: place of the catalog's folder.
        after: makes of what the root says now what it is to say, but for the concepts. It is called
            again if somebody else replaced the root meanwhile.
        vocabulary: what the concepts are made of, by what the root says now.
        ids: the collections of which another version becomes current.
        single_writer: as `publish`.
    """

    def change(root: Root) -> Root:
        new = after(root)
        glossary = _glossary(root, new, vocabulary(root), out)
        if glossary is None:
            return new
        name, data = glossary
        if root.glossary != f"./{name}":
            objects.write(f"{out}/{name}", data)
        return replace(new, glossary=f"./{name}")

    replace_root(out, change, single_writer=single_writer)
    _write_copies(out, ids)


def note_build(out: str, name: str) -> None:
    """Notes in a store that a collection is being built; `prune` leaves its files alone then.

    Args:
        out: URL of the catalog's folder.
        name: the folder of this build below `BUILDING`: the id of the collection, and what tells
            one build from another.
    """
    objects.write(f"{out}/{BUILDING}/{name}/{_NOTE_NAME}", b"a build began\n")


def _require_shards(one: Made, out: str) -> None:
    """Refuses to link a version whose shards are not all there.

    Those that an earlier run had left may have been removed since this one found them.
    """
    assets = files_of_index(one.folder / PARQUET_NAME).get("assets", ())
    paths = {posixpath.normpath(f"{one.at.folder}/{asset['href']}") for asset in assets}
    pool = f"{one.id}/{SHARDS_NAME}/"
    wanted = {path for path in paths if path.startswith(pool)}
    if not wanted:
        return
    there = {file.place.removeprefix(f"{out}/") for file in objects.files_below(f"{out}/{pool}")}
    if missing := sorted(wanted - there):
        raise StorageError(
            f"{shown(out)}/{missing[0]}: somebody removed it meanwhile; start again, "
            "what is finished is kept"
        )


def _write_copies(out: str, ids: Sequence[str]) -> None:
    """Writes the copies of what is the current now; the last one to write them looks again."""
    for _ in range(_TRIES):
        root = read_root(out)
        for id_ in ids:
            at = root.current(id_)
            if at is not None and at.version is not None:
                path = f"{out}/{at.folder}/{COLLECTION_NAME}"
                document = _json(objects.read(path, most=_MOST), shown(path))
                copy = _copy_of(document, at.version)
                objects.write(f"{out}/{id_}/{COLLECTION_NAME}", copy)
        if root.glossary is not None:
            data = objects.read(f"{out}/{root.glossary.removeprefix('./')}", most=_MOST)
            objects.write(f"{out}/{CONCEPTS_NAME}", data)
        if read_root(out) == root:
            return


def replace_root(out: str, change: Callable[[Root], Root], *, single_writer: bool = False) -> None:
    """Replaces the root of a catalog by what ``change`` makes of it, in one step.

    In a store it is called again if somebody else replaced the root meanwhile. On disk the caller
    holds the lock.

    Raises:
        BadCatalogError: what is there is no catalog of satimnet.
        StorageError: it cannot be written.
    """
    place_of_root = f"{out}/{ROOT_NAME}"
    if not is_url(out):
        data = json_bytes(root_json(change(read_root(out))))
        _write_changed(Path(place_of_root), data)
        return
    for _ in range(_TRIES):
        document, tag = _root_in_store(place_of_root)
        after = root_json(change(root_of(document, shown(place_of_root))))
        if after == document:
            return
        try:
            if single_writer:
                objects.write(place_of_root, json_bytes(after))
            else:
                objects.replace(place_of_root, json_bytes(after), tag)
            return
        except ChangedError:  # somebody else published meanwhile: do it over what they wrote
            time.sleep(random.uniform(0, 0.05))
        except StorageError:  # the answer may have been lost, and the root be replaced
            now, now_tag = _root_in_store(place_of_root)
            if now == after:
                return
            if now_tag == tag:
                raise
    raise StorageError(f"{shown(place_of_root)}: others replace it all the time; try later")


def _root_in_store(url: str) -> tuple[Json | None, objects.Tag | None]:
    """The root as it is now, with the tag by which it is replaced."""
    try:
        data, tag = objects.read_tagged(url)
    except NotFoundError:
        return None, None
    return _json(data, shown(url)), tag


def upload(folder: Path, place: str, progress: Progress = silent) -> None:
    """Uploads all files of a folder, many at a time, to below a place of an object store."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    what, done = "Uploading", 0
    progress(what, 0, len(files), "files")

    def send(file: Path) -> None:
        objects.write(f"{place}/{file.relative_to(folder).as_posix()}", file)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(send, files):
            done += 1
            progress(what, done, len(files), "files")


def require_one_by_one(out: str, *, single_writer: bool = False) -> None:
    """Refuses a store that would let one of two writers at the same time overwrite the other.

    It is asked to create a throw-away object twice, and to replace it by a tag that it has no
    more; both must fail. One S3 server was seen to take all and to ignore the conditions.

    Raises:
        StorageError: it is such a store, or cannot be written.
    """
    root = address_of(out).root if is_url(out) and not single_writer else None
    if root is not None and not _is_conditional(root, out):
        raise StorageError(
            f"{shown(out)}: this store overwrites what another run writes at the same time; if no "
            "other run writes there, say so with single_writer=True"
        )


@cache
def _is_conditional(root: str, out: str) -> bool:
    return any(_probed(out) for _ in range(_PROBES))


def _probed(out: str) -> bool:
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
    for left in objects.files_below(f"{out}/{BUILDING}"):
        found = re.search(rf"/probe-{host}-([0-9]+)-[0-9a-f]+$", left.place)
        if found and not _runs(int(found[1])):  # it was killed while it asked
            objects.delete(left.place)
    probe = f"{out}/{BUILDING}/probe-{host}-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        with suppress(ChangedError):  # of the second try, if the answer to the first was lost
            objects.replace(probe, b"1", None)
        _, old = objects.read_tagged(probe)
        objects.write(probe, b"2")
        return _refuses(probe, None) and bool(old) and _refuses(probe, old)
    finally:
        objects.delete(probe)


def _runs(pid: int) -> bool:
    """Whether there is such a process on this machine, or may be."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _refuses(probe: str, tag: objects.Tag | None) -> bool:
    try:
        objects.replace(probe, b"3", tag)
    except ChangedError:
        return True
    return False


# --- both ---------------------------------------------------------------------------------------


def read_root(out: str) -> Root:
    """What the catalog at a place links; nothing where there is none.

    Raises:
        BadCatalogError: something else is there.
        StorageError: it cannot be read.
    """
    where = f"{out}/{ROOT_NAME}"
    try:
        data = objects.read(where, most=_MOST)
    except NotFoundError:
        return Root()
    return root_of(_json(data, shown(where)), shown(where))


def _json(data: bytes, where: str) -> Json:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadCatalogError(f"{where}: is no JSON; mend or remove it") from error
    if not isinstance(document, dict):
        raise BadCatalogError(f"{where}: is no catalog of satimnet; choose another place")
    return document


def _after(root: Root, made: Sequence[Made]) -> Root:
    for one in made:
        root = root.with_collection(one.at, documents.title_of(one.collection))
    return root


def _complete(one: Made, root: Root) -> Json:
    """The Collection with its version and a link to the one before it."""
    links = list(one.collection["links"])
    before = root.current(one.id)
    if before is not None and before.version is not None:
        links.append(
            {
                "rel": "predecessor-version",
                "href": f"../{before.version}/{COLLECTION_NAME}",
                "type": "application/json",
                "title": f"Version {before.version}",
            }
        )
    extensions = [*one.collection.get("stac_extensions", ()), VERSION_URI]
    own = {"stac_extensions": list(dict.fromkeys(extensions)), "version": one.version}
    return {**one.collection, **own, "links": links}


def _copy_of(collection: Json, version: str) -> bytes:
    return json_bytes(stable_copy(collection, version))


def _glossary(
    before: Root, after: Root, vocabulary: Vocabulary, out: str
) -> tuple[str, bytes] | None:
    """Name and content of the catalog's concepts; None if it has none."""
    records = {
        id_: record
        for id_, record in vocabulary.records.items()
        if any(row.get(_WITH_CONCEPTS) for row in record["classes"])
    }
    earlier = scheme_of(before, out)
    if earlier is None and not records and not vocabulary.added.classes:
        return None
    scheme = merged(_joined(earlier or Scheme({}), vocabulary.added), ids_of(after), records)
    data = json_bytes(scheme_json(scheme))
    return content_name("concepts", data, ".json"), data


def scheme_of(root: Root, out: str) -> Scheme | None:
    """The concepts of the catalog at a place; None if it has none.

    Raises:
        BadCatalogError: they cannot be understood.
        StorageError: they cannot be read.
    """
    if root.glossary is None:
        return None
    where = f"{out}/{root.glossary.removeprefix('./')}"
    try:
        data = objects.read(where, most=_MOST)
    except NotFoundError:  # somebody removed it
        return None
    return scheme_from_json(_json(data, shown(where)), shown(where))


def _joined(earlier: Scheme, added: Scheme) -> Scheme:
    """Both; what both have is the latter's."""
    news = {class_.collection for class_ in added.classes}
    kept = [class_ for class_ in earlier.classes if class_.collection not in news]
    return Scheme({**earlier.concepts, **added.concepts}, (*kept, *added.classes))
