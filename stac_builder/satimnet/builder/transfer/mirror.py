"""Mirrors: a catalog, or some of its collections, copied from one place to another.

Either place is a folder or an object store; a catalog is also copied from the web. The copy follows
the links: from the root to its collections, their nested catalogs and Items, and at each of them to
the assets and other files (`catalog_links`). Each file is copied once (`file_copying`), also a
shard, which is an asset of thousands of Items, and byte for byte: links and byte ranges stay as
they are. Files go where `landing` puts them, and are linked when all are there (`destinations`).

A catalog from the web is not to be trusted: nothing is written outside the destination, and what
lies elsewhere (another host, an absolute path, a way out by ``..``) stays a link.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.catalog.parquet_writing import is_part_of
from satimnet.builder.errors import (
    BadCatalogError,
    CatalogWarning,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.index_files import files_of_index
from satimnet.builder.publishing.layout import COLLECTION_NAME
from satimnet.builder.storage.held_files import folder_of
from satimnet.builder.storage.hrefs import Bounds, catalog_file, folder_at, is_url, is_web, writable
from satimnet.builder.storage.staging import workspace
from satimnet.builder.transfer.catalog_links import (
    FOREIGN,
    CatalogFile,
    files_of,
    joined,
    objects_in,
    shortened,
    top_folder,
)
from satimnet.builder.transfer.destinations import (
    Coming,
    is_new,
    publish_in_store,
    publish_on_disk,
    refuse_occupied,
)
from satimnet.builder.transfer.file_copying import (
    MissingFileError,
    copy_file,
    download_file,
    require_size,
)
from satimnet.builder.transfer.landing import Sent, Staged
from satimnet.builder.types import Json

_MAX_FILE = 2**34  # bytes of a file whose size no asset tells
_COUNTING = threading.Lock()
_SHOWN = 1000  # links that are not copied beyond these are counted, not kept
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy is made of."""

    collections: tuple[str, ...]
    """Ids, in the order of the root's links."""
    files: int
    size: int
    """Bytes of all files."""
    left: tuple[str, ...]
    """Links to files that were not copied, as they are none of the catalog's: ``file: href``."""
    left_count: int
    """How many there are of these; the tuple stops at a thousand."""
    there: tuple[str, ...] = ()
    """Ids of those that the destination had already, as they are; nothing was copied of these."""


def copy_catalog(
    catalog: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    collections: Sequence[str] | None = None,
    allow_outside: bool = False,
    single_writer: bool = False,
    progress: Progress = silent,
) -> Copied:
    """Copies a catalog, or some of its collections, to a new place.

    If the destination is a catalog of satimnet, the collections are added to it; of one that is
    there already in another version this adds the version, which becomes the current one, and
    earlier ones are kept. Of a collection with several versions the current one is copied.

    On disk everything is copied into a hidden folder beside the destination; in an object store to
    where it belongs. It is linked when it is whole. After a kill or an error the same call goes on
    from there, if the catalog is still the same.

    Args:
        catalog: The path or URL of a catalog, or of its folder.
        destination: A new folder, or a catalog of satimnet: a path or the URL of an object store.
        collections: Ids of those to copy; None is all.
        allow_outside: Whether what symbolic links in a catalog's folder lead to elsewhere is
            copied as well.
        single_writer: As for `satimnet.builder.build`.
        progress: Called with the numbers of files that are copied and known.

    Raises:
        NotFoundError: there is no such catalog or collection, or one of its files is missing.
        BadCatalogError: it leaves its shards in the folders of others, or a file has not the size
            that its asset says.
        StorageError: a file cannot be read or written, or the destination is no catalog, or has
            such a collection and one of the two has no versions, as satimnet 0.2 built it.
        ArgumentError: the destination lies inside the catalog.
    """
    out = writable(destination)
    place = catalog_file(catalog)
    base = folder_at(place)
    name = (place.partition("?")[0] if is_web(place) else place).rpartition("/")[2]
    refuse_occupied(out, base)
    publishing.require_one_by_one(out, single_writer=single_writer)
    bounds = Bounds(base, everywhere=allow_outside)
    fetch = partial(download_file, place) if is_url(base) else partial(copy_file, bounds)
    with tempfile.TemporaryDirectory() as scratch:
        heads = _Copying(fetch, base, Path(scratch), silent).heads(name, collections)
    key = hashlib.sha256(repr((base, sorted(collections or ()))).encode()).hexdigest()[:_DIGITS]
    with _workspace(out, key) as staging:
        copying = _Copying(fetch, base, staging, progress)
        landing = _landing(out, staging, heads, single_writer)
        try:
            there = set() if heads.whole and is_new(out) else heads.coming.require_addable(out)
            copying.begin(heads, there, landing)
            whole = heads.whole and is_new(out)
            if not whole:  # asked again: in a store it is this run's from now on
                there = heads.coming.require_addable(out)
        except (SatimnetError, OSError):
            if isinstance(landing, Staged) and landing.is_empty:  # nothing to go on from
                shutil.rmtree(staging, ignore_errors=True)
            raise
        copying.run(heads, there, landing, whole=whole)
        copying.require_same(heads)
        if isinstance(landing, Staged):
            publish_on_disk(landing.made, Path(out), heads.coming, whole=whole)
        else:
            publish_in_store(out, heads.coming, whole=whole, single_writer=single_writer)
            landing.end()
    ids = {path: shortened(str(one.get("id"))) for path, one in heads.chosen.items()}
    already = tuple(id_ for path, id_ in ids.items() if path in there)
    left = tuple(copying.left)
    return Copied(
        tuple(ids.values()), copying.files, copying.size, left, copying.left_count, already
    )


@contextmanager
def _workspace(out: str, key: str) -> Iterator[Path]:
    """A folder for this copy alone; on disk what a killed one left is found by the same one."""
    if is_url(out):
        with tempfile.TemporaryDirectory(prefix="satimnet-") as folder:
            yield Path(folder)
        return
    with workspace(Path(out), f"copying-{key}", kept_on_error=True, shared=True) as folder:
        yield folder


def _landing(out: str, staging: Path, heads: _Heads, single_writer: bool) -> Staged | Sent:
    if not is_url(out):
        return Staged(staging)
    sent = staging / "sent"
    sent.mkdir()
    folders = {top_folder(path): at for path, at in heads.coming.places.items()}
    return Sent(out, sent, folders, single_writer)


# --- the walk -----------------------------------------------------------------------------------

_Fetch = Callable[[str, Path, int, "int | None"], None]
"""Fetches a file of the catalog: its path there, where to, the most bytes, and how many exactly."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """What a copy begins with."""

    root: Json
    children: int
    """How many collections the root has."""
    others: Sequence[str]
    """Paths of what the root has besides: catalogs, which are not copied."""
    chosen: Mapping[str, Json]
    """The Collections to copy, by the path of their file."""
    assets: Mapping[str, Sequence[CatalogFile]]
    """Their own assets, by the same path."""
    texts: Mapping[str, bytes]
    """Root and Collections as they were read, by path."""
    folders: Mapping[str, tuple[int, int] | None]
    """The folders of Collections on this machine, as `folder_of` tells them apart."""
    concepts: tuple[str, bytes] | None
    """Path and content of the concepts, if the root leads to some."""

    @property
    def whole(self) -> bool:
        """Whether all collections are copied."""
        return len(self.chosen) == self.children

    @property
    def coming(self) -> Coming:
        """What is to be linked in the end."""
        root = self.texts["catalog.json"]
        return Coming(self.root, root, self.chosen, self.texts, self.concepts)


class _Copying:
    """A copy on its way: what is read, and counted."""

    def __init__(self, fetch: _Fetch, base: str, staging: Path, progress: Progress) -> None:
        self.files = self.size = self.left_count = 0
        self.left: list[str] = []
        self._fetch = fetch
        self._base = base
        self._progress = progress
        self._heads = staging / "heads"
        shutil.rmtree(self._heads, ignore_errors=True)
        self._heads.mkdir()

    def heads(self, name: str, wanted: Sequence[str] | None) -> _Heads:
        """Reads root and Collections, and chooses among these."""
        texts: dict[str, bytes] = {}
        root = self._read(CatalogFile("catalog.json", "", True), texts, name)
        children, others = {}, []
        for file in self._files_of(root, "catalog.json", ""):
            if file.follow:
                try:
                    document = self._read(file, texts)
                except SatimnetError as error:
                    if wanted is None or top_folder(file.path).rstrip("/") in wanted:
                        raise
                    warnings.warn(CatalogWarning(f"{error}; not copied"), stacklevel=3)
                    others.append(file.path)
                    continue
                if document.get("type") == "Collection":
                    children[file.path] = document
                else:
                    others.append(file.path)
        ids = [shortened(str(document.get("id"))) for document in children.values()]
        home = f"{self._base}/{name}"
        for id_ in wanted or ():
            if id_ not in ids:
                raise NotFoundError(f"{home}: no collection {id_!r}; there are {', '.join(ids)}")
        chosen = {p: d for p, d in children.items() if wanted is None or str(d.get("id")) in wanted}
        if not chosen:
            raise BadCatalogError(
                f"{home}: no relative link leads to a collection; nothing to copy"
            )
        assets = {
            path: [
                file
                for file in self._files_of(document, path, top_folder(path))
                if not (file.follow or file.optional)
            ]
            for path, document in chosen.items()
        }
        kept = {path: texts[path] for path in ("catalog.json", *chosen)}
        folders = {path: folder_of(f"{self._base}/{path}") for path in chosen}
        concepts = self._concepts(root)
        return _Heads(root, len(children), others, chosen, assets, kept, folders, concepts)

    def _concepts(self, root: Mapping[str, Any]) -> tuple[str, bytes] | None:
        for link in objects_in(root.get("links")):
            if link.get("rel") == "glossary":
                for file in self._files_of({"links": [link]}, "catalog.json", ""):
                    target = self._heads / file.path
                    with suppress(MissingFileError):
                        self._get(CatalogFile(file.path, "", follow=True), target)
                        return file.path, target.read_bytes()
        return None

    def require_same(self, heads: _Heads) -> None:
        """Raises `SatimnetError` if a collection was replaced since its head was read."""
        for path in heads.chosen:
            again = self._heads / path
            self._get(CatalogFile(path, "", True), again)
            same = again.read_bytes() == heads.texts[path]
            if not same or folder_of(f"{self._base}/{path}") != heads.folders[path]:
                raise StorageError(
                    f"{self._base}/{path}: was replaced while it was copied; copy it again"
                )

    def _read(
        self, file: CatalogFile, texts: dict[str, bytes], name: str | None = None
    ) -> dict[str, Any]:
        target = self._heads / file.path
        self._get(file, target, name)
        texts[file.path] = target.read_bytes()
        return documents.parse(texts[file.path], f"{self._base}/{name or file.path}")

    def begin(self, heads: _Heads, there: Container[str], landing: Staged | Sent) -> None:
        """Reads the Collections' own assets, which tell two catalogs apart.

        What an earlier run copied is kept if it was the same catalog, to the last byte of what
        these say: the index has the checksum of every member.
        """
        concepts = () if heads.concepts is None else (heads.concepts,)
        for name, text in (*heads.texts.items(), *concepts):
            target = self._heads / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
        for path, assets in heads.assets.items():
            for file in () if path in there else assets:
                self._get(file, self._heads / file.path)
        self._require_whole(heads)
        digest = hashlib.sha256()
        files = sorted(path for path in self._heads.rglob("*") if path.is_file())
        for head in files:
            digest.update(f"{head.relative_to(self._heads)}\n{head.stat().st_size}\n".encode())
            with head.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        landing.begin(digest.hexdigest())

    def _require_whole(self, heads: _Heads) -> None:
        """Members must lie in what is copied: from another place the way to the others is another.

        The index tells it of every Item. Links to what has a host or a root stay right.
        """
        folders = tuple(map(top_folder, heads.chosen))
        for file in chain.from_iterable(heads.assets.values()):
            if not is_part_of(file.path, PARQUET_NAME):
                continue
            for asset in files_of_index(self._heads / file.path, alone=True).get("assets", ()):
                href = asset["href"]
                if not isinstance(href, str) or href.startswith("/") or FOREIGN.match(href):
                    continue
                if not joined(file.path, href).startswith(folders):
                    raise BadCatalogError(
                        f"{self._base}/{file.path}: points to shards outside of its folder, as "
                        f"{shortened(href)}; search {self._base} and copy what is found instead"
                    )

    def run(
        self, heads: _Heads, there: Container[str], landing: Staged | Sent, *, whole: bool
    ) -> None:
        """Copies all that the heads lead to, but for Collections that are there already."""
        for path in heads.others:
            self._leave(f"catalog.json: {path}")
        first = [CatalogFile(p, top_folder(p), True) for p in heads.chosen if p not in there]
        others = [f for f in self._files_of(heads.root, "catalog.json", "") if not f.follow]
        self.files, self.size = 1, len(heads.texts["catalog.json"])
        seen = {"catalog.json"} | _made_anew(heads)
        todo: deque[CatalogFile] = deque()
        running: dict[Future[list[CatalogFile]], CatalogFile] = {}
        begun = 0

        def add(files: Sequence[CatalogFile]) -> None:
            for file in files:
                if file.path not in seen:
                    seen.add(file.path)
                    todo.append(file)

        add([*first, *(others if whole else ())])
        with ThreadPoolExecutor(landing.at_once) as pool:
            try:
                while todo or running:
                    while todo and len(running) < 4 * landing.at_once:
                        file = todo.popleft()
                        running[pool.submit(self._file, file, landing)] = file
                        begun += 1
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
                        add(future.result())
                    known = begun + len(todo) + 1
                    self._progress("Copying", begun - len(running) + 1, known, "files")
            finally:
                pool.shutdown(cancel_futures=True)

    def _file(self, file: CatalogFile, landing: Staged | Sent) -> list[CatalogFile]:
        """Copies one file, unless an earlier run did, and gives those that it leads to."""
        is_index = is_part_of(file.path, PARQUET_NAME)
        content: Mapping[str, Any] = {}
        try:
            with (
                _of_disk(file.path),
                landing.brought(file, partial(self._fetched, file), is_index or file.follow) as got,
            ):
                size = (file.size or 0) if got is None else got.stat().st_size
                require_size(file.path, size, file.size)
                if got is not None and is_index:
                    content = files_of_index(got, alone=True)
                elif got is not None and file.follow:
                    content = documents.parse(got.read_bytes(), file.path)
        except MissingFileError:
            if not file.optional:
                raise
            self._leave(file.path)
            return []
        with _COUNTING:
            self.files += 1
            self.size += size
        return list(self._files_of(content, file.path, file.scope))

    def _fetched(self, file: CatalogFile, target: Path) -> None:
        """Writes the content of a file, which may have been read already, to a path."""
        if os.path.isfile(read := self._heads / file.path):
            os.replace(read, target)
        else:
            self._fetch(file.path, target, _most(file), file.size)

    def _get(self, file: CatalogFile, target: Path, name: str | None = None) -> None:
        with _of_disk(file.path):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(name or file.path, target, _most(file), file.size)

    def _files_of(
        self, document: Mapping[str, Any], path: str, scope: str
    ) -> Iterator[CatalogFile]:
        return files_of(document, path, scope, self._leave)

    def _leave(self, link: str) -> None:
        with _COUNTING:
            self.left_count += 1
            if len(self.left) < _SHOWN:
                self.left.append(link)


def _most(file: CatalogFile) -> int:
    """How many bytes a file may have whose size is not known."""
    return documents.MAX_SIZE if file.follow else _MAX_FILE


@contextmanager
def _of_disk(path: str) -> Iterator[None]:
    """Names the file for which the disk does not do what it should."""
    try:
        yield
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be copied ({error.strerror or error}); "
            "mend it, and the same command goes on"
        ) from error


def _made_anew(heads: _Heads) -> set[str]:
    """Files that are not copied, as they are made of those that are."""
    places = heads.coming.places.values()
    return {f"{at.id}/{COLLECTION_NAME}" for at in places if at is not None and at.version}
