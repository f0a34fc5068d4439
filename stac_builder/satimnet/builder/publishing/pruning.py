"""Pruning: what no kept version of a catalog needs is removed."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path

from satimnet.builder.arguments import checked
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.errors import ArgumentError, NotFoundError, SatimnetError, StorageError
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing import protocol
from satimnet.builder.publishing.index_files import files_of_index
from satimnet.builder.publishing.layout import COLLECTION_NAME, SHARDS_NAME, Location
from satimnet.builder.publishing.protocol import BUILDING, ROOT_NAME
from satimnet.builder.publishing.roots import Root
from satimnet.builder.publishing.split_tables import is_split_file, linked_files
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import sync
from satimnet.builder.storage.hrefs import is_url, writable
from satimnet.builder.storage.objects import Object
from satimnet.builder.storage.staging import lock
from satimnet.builder.storage.stores import shown
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME

DAY = 24 * 60 * 60.0
"""Seconds that a file is left alone by default: a build may be about to link it."""

_DOING = ("building", "copying")
_AT_ONCE = 1000  # files that are removed without another look at what is needed
_VERSION = re.compile(r"(?:.+-)?[0-9a-f]{12}")
_OF_POOL = re.compile(r".+-[0-9]{5,}-[0-9a-f]{16}\.zip")
_OLD_SHARD = re.compile(r".*[0-9]{5,}\.zip")
_CONCEPTS = re.compile(r"concepts-[0-9a-f]{12}\.json")
_PROBE = re.compile(r"\.probe-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be."""

    versions: tuple[str, ...]
    """As ``collection@version``."""
    files: tuple[str, ...]
    """Their places."""
    size: int
    """Bytes of the files."""


@checked()
def prune(
    catalog: str | os.PathLike[str],
    *,
    keep: int | None = None,
    older_than: float = DAY,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Pruned:
    """Removes what no kept version of a catalog needs: old versions, what killed runs left.

    Files that satimnet did not write stay. Those who opened an old version before, and still read
    it, lose its files.

    Args:
        catalog: place of the catalog's folder, a path or the URL of an object store.
        keep: how many versions of each collection stay, the current one among them; None is all.
        older_than: seconds; what was written later stays, as a build that still runs may need it.
        dry_run: remove nothing, only say what would be removed.
        progress: is told how many files are removed.

    Returns:
        What was removed.

    Raises:
        NotFoundError: there is no catalog.
        ArgumentError: ``keep`` is less than 1.
        StorageError: something cannot be read or removed.

    Example:
        >>> from satimnet.builder import prune
        >>> prune("catalog", keep=1, dry_run=True).versions
        ()
    """
    if keep is not None and keep < 1:
        raise ArgumentError(
            f"keep {keep}: the current version always stays; give 1 or more", "keep"
        )
    home = writable(catalog).rstrip("/")
    on_disk = not is_url(home)
    with lock(Path(home), wait=protocol.WAITING) if on_disk else nullcontext():
        before = protocol.read_root(home)
        if not before.titles:
            raise NotFoundError(f"{shown(home)}/{ROOT_NAME}: no catalog with collections is there")
        after = _shortened(before, keep)
        gone = tuple(
            f"{id_}@{name}"
            for id_, names in before.versions.items()
            for name in names
            if name not in after.versions.get(id_, ())
        )
        latest = (time.time() if on_disk or dry_run else _time_of_store(home)) - older_than
        # a lock keeps builds out; without one, one may be about to publish a version once more
        at_once = {*gone} if on_disk else set[str]()
        files = list(_unneeded(home, after, latest, at_once))
        if not dry_run:
            if gone:  # nobody finds them any more
                protocol.replace_root(home, lambda root: _shortened(root, keep))
            files = _removed(home, files, after, latest, progress)
            if on_disk:
                _remove_empty_folders(Path(home), files)
    if on_disk and not dry_run:
        _remove_workspaces(Path(home), older_than)
    return Pruned(gone, tuple(file.place for file in files), sum(file.size for file in files))


def _time_of_store(home: str) -> float:
    """What time it is by the clock of the store, which dates all files in it."""
    probe = f"{home}/.probe-{uuid.uuid4().hex}"
    objects.write(probe, b"1")
    try:
        written = objects.written_at(probe)
        return (time.time() if written is None else written.timestamp()) + 1  # in whole seconds
    finally:
        objects.delete(probe)


def _removed(
    home: str, files: Sequence[Object], after: Root, latest: float, progress: Progress
) -> list[Object]:
    """Removes the files, but for those that a build that began meanwhile may need.

    A version loses its ``collection.json`` first, so that one that has it is whole.
    """
    heads = [file for file in files if file.place.endswith(f"/{COLLECTION_NAME}")]
    others = [file for file in files if not file.place.endswith(f"/{COLLECTION_NAME}")]
    removed: list[Object] = []
    for group in (heads, others):
        for start in range(0, len(group), _AT_ONCE):
            batch = group[start : start + _AT_ONCE]
            if is_url(home):
                batch = _still_unneeded(home, batch, after, latest)
            objects.delete_all([file.place for file in batch])
            removed += batch
            progress("Removing", len(removed), len(files), "files")
        if heads and group is heads and not is_url(home):
            sync(Path(home))
    return removed


def _still_unneeded(home: str, files: Sequence[Object], after: Root, latest: float) -> list[Object]:
    """Those of collections that nobody has published, or builds, since the root was read."""
    root, busy = protocol.read_root(home), _built_now(home, latest)
    splits = linked_files(root.others)
    busy |= {id_ for id_, names in root.versions.items() if names != after.versions.get(id_, ())}
    glossary = posixpath.normpath(root.glossary or "")
    paths = {file: _path_in(home, file) for file in files}
    return [
        file
        for file, path in paths.items()
        if path != glossary and path not in splits and _collection_of(path) not in busy
    ]


def _collection_of(path: str) -> str:
    """The id of the collection that a file is of, also what a build of it left."""
    top, _, rest = path.partition("/")
    return rest.partition("/")[0].rpartition("-")[0] if top == BUILDING else top


def _built_now(home: str, latest: float) -> set[str]:
    """The ids of collections that are being built in a store: their builds write notes."""
    return {
        _collection_of(_path_in(home, note))
        for note in objects.files_below(f"{home}/{BUILDING}")
        if note.modified > latest
    }


def _path_in(home: str, file: Object) -> str:
    """The path of a file in the catalog.

    Raises:
        StorageError: it is not in it; what would be removed then?
    """
    path = file.place.removeprefix(f"{home}/")
    if path == file.place:
        raise StorageError(f"{shown(file.place)}: was listed, and is not in {shown(home)}")
    return path.replace(os.sep, "/")


def _shortened(root: Root, keep: int | None) -> Root:
    """The root with so many versions of each collection at most."""
    if keep is None:
        return root
    return replace(root, versions={id_: names[-keep:] for id_, names in root.versions.items()})


def _unneeded(home: str, root: Root, latest: float, gone: set[str]) -> Iterator[Object]:
    """The files that satimnet wrote, nobody needs, and are old enough; of ``gone`` versions all."""
    needed = _needed(home, root)
    busy, is_version = set[str](), cache(partial(_is_version, home))
    ids = {at.id for at in root.titles}
    if is_url(home):
        busy = _built_now(home, latest)
        left = objects.files_below(f"{home}/{BUILDING}")
        ids |= {_collection_of(_path_in(home, file)) for file in left}
    for file in objects.files_below(home):
        path = _path_in(home, file)
        if path in needed or _collection_of(path) in busy or not _is_ours(path, root):
            continue
        if is_split_file(path):
            if file.modified <= latest:
                yield file
            continue
        top, _, rest = path.partition("/")
        folder = rest.partition("/")[0]
        if rest and _is_kept(Location(top, folder), root):
            continue
        foreign = top not in {*ids, BUILDING} and folder != SHARDS_NAME
        if rest and foreign and not is_version(f"{top}/{folder}"):  # somebody's own folder
            continue
        if f"{top}@{folder}" in gone or file.modified <= latest:
            yield file


def _is_kept(at: Location, root: Root) -> bool:
    return at.version in root.versions.get(at.id, ())


def _needed(home: str, root: Root) -> set[str]:
    """Paths of what the root leads to, but for the folders of versions."""
    needed = {ROOT_NAME, CONCEPTS_NAME, *linked_files(root.others)}
    if root.glossary is not None:
        needed.add(posixpath.normpath(root.glossary))
    for at in root.titles:
        needed.add(f"{at.id}/{COLLECTION_NAME}")
        for name in root.versions.get(at.id, ()):  # earlier ones than of versions are left alone
            one = Location(at.id, name)
            index = f"{home}/{one.folder}/{PARQUET_NAME}"
            for asset in files_of_index(index, strict=True).get("assets", ()):
                needed.add(posixpath.normpath(f"{one.folder}/{asset['href']}"))
    return needed


def _is_version(home: str, folder: str) -> bool:
    """Whether the folder is that of a version."""
    return objects.exists(f"{home}/{folder}/{PARQUET_NAME}")


def _is_ours(path: str, root: Root) -> bool:
    """Whether satimnet wrote a file that it finds in a catalog, by its path."""
    top, _, rest = path.partition("/")
    if not rest:
        return bool(_CONCEPTS.fullmatch(top) or _PROBE.fullmatch(top))
    if top == BUILDING or is_split_file(path):
        return True
    at = root.current(top)
    if at is not None and at.version is None:  # it has one version, which is all of the folder
        return False
    folder, _, name = rest.partition("/")
    if folder == SHARDS_NAME:
        return bool(_OF_POOL.fullmatch(name) or (at is not None and _OLD_SHARD.fullmatch(name)))
    return bool(name and _VERSION.fullmatch(folder))


def _remove_empty_folders(home: Path, files: Iterable[Object]) -> None:
    for folder in sorted({Path(file.place).parent for file in files}, reverse=True):
        while folder != home:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent


def _remove_workspaces(home: Path, older_than: float) -> None:
    """Removes what runs that were killed left beside a catalog, and were not started again."""
    name, beside = glob.escape(home.absolute().name), home.absolute().parent
    for folder in chain.from_iterable(beside.glob(f".{name}.{doing}*") for doing in _DOING):
        if folder.is_dir() and folder.stat().st_mtime < time.time() - older_than:
            with suppress(SatimnetError), lock(folder):
                shutil.rmtree(folder, ignore_errors=True)
