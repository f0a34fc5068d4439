"""Mirrors: a catalog, or some of its collections, copied from a folder, the web or a store.

The copy follows the links: from the root to its collections, their nested catalogs and Items, and
at each of them to the assets and other files (`catalog_links`). Each file is copied once
(`file_copying`), also a shard, which is an asset of thousands of Items, and byte for byte: links
and byte ranges stay as they are.

A catalog from the web is not to be trusted: nothing is written outside the destination, and what
lies elsewhere (another host, an absolute path, a way out by ``..``) stays a link.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.errors import (
    BadCatalogError,
    CatalogWarning,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing.index_files import files_of_index
from satimnet.builder.storage.atomic_files import settle
from satimnet.builder.storage.held_files import folder_of
from satimnet.builder.storage.hrefs import Bounds, catalog_file, folder_at, is_url, is_web, on_disk
from satimnet.builder.storage.staging import placed, workspace
from satimnet.builder.transfer.catalog_links import (
    FOREIGN,
    CatalogFile,
    files_of,
    joined,
    shortened,
    top_folder,
)
from satimnet.builder.transfer.destinations import (
    is_new,
    move_in_place,
    refuse_occupied,
    require_addable,
    write_part,
)
from satimnet.builder.transfer.file_copying import (
    MissingFileError,
    copy_file,
    download_file,
    require_size,
)

_THREADS = 8
_MAX_FILE = 2**34  # bytes of a file whose size no asset tells
_FLUSHED = 2**20  # bytes of a file that is flushed as soon as it is there; small ones all at once
_COUNTING = threading.Lock()
_SHOWN = 1000  # links that are not copied beyond these are counted, not kept


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


def copy_catalog(
    catalog: str | os.PathLike[str],
    destination: Path,
    *,
    collections: Sequence[str] | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Copied:
    """Copies a catalog, or some of its collections, to a new folder.

    If the destination is a catalog of satimnet, the collections are added to it. Everything is
    copied into a hidden folder beside the destination, and moved in place when it is whole. After
    a kill or an error the same call goes on from there, if the catalog is still the same.

    Args:
        catalog: The path or URL of a catalog, or of its folder.
        destination: A new folder, or a catalog of satimnet.
        collections: Ids of those to copy; None is all.
        allow_outside: Whether what symbolic links in a catalog's folder lead to elsewhere is
            copied as well.
        progress: Called with the numbers of files that are copied and known.

    Raises:
        NotFoundError: there is no such catalog or collection, or one of its files is missing.
        BadCatalogError: it leaves its shards in the folders of others, or a file has not the size
            that its asset says.
        StorageError: a file cannot be read or written, or the destination has such a collection
            or is no catalog.
        ArgumentError: the destination lies inside the catalog.
    """
    destination = on_disk(destination)
    place = catalog_file(catalog)
    base = folder_at(place)
    name = (place.partition("?")[0] if is_web(place) else place).rpartition("/")[2]
    refuse_occupied(destination, base)
    bounds = Bounds(base, everywhere=allow_outside)
    fetch = partial(download_file, place) if is_url(base) else partial(copy_file, bounds)
    with tempfile.TemporaryDirectory() as scratch:
        heads = _Copying(fetch, base, Path(scratch), silent).heads(name, collections)
    part = len(heads.chosen) < heads.children
    made_of = hashlib.sha256(repr((base, heads.texts, heads.folders)).encode()).hexdigest()
    with workspace(destination, "copying", kept_on_error=True) as staging:
        copying = _Copying(fetch, base, staging, progress)
        made = staging / "catalog"
        try:
            finished = placed(destination, destination, made_of)
            if (part or not is_new(destination)) and not finished:
                require_addable(heads.chosen, destination, made_of)
            copying.begin(heads)
        except (SatimnetError, OSError):
            if not any(made.iterdir()):  # nothing to go on from
                shutil.rmtree(staging, ignore_errors=True)
            raise
        copying.run(heads)
        copying.require_same(heads)
        if part:
            write_part(made, heads.root, heads.chosen)
        if not finished:
            move_in_place(staging, destination, heads.chosen, made_of)
    ids = tuple(shortened(str(document.get("id"))) for document in heads.chosen.values())
    left = tuple(copying.left)
    return Copied(ids, copying.files, copying.size, left, copying.left_count)


# --- the walk -----------------------------------------------------------------------------------

_Fetch = Callable[[str, Path, int, "int | None"], None]
"""Fetches a file of the catalog: its path there, where to, the most bytes, and how many exactly."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """What a copy begins with."""

    root: Mapping[str, Any]
    children: int
    """How many collections the root has."""
    others: Sequence[str]
    """Paths of what the root has besides: catalogs, which are not copied."""
    chosen: Mapping[str, Mapping[str, Any]]
    """The Collections to copy, by the path of their file."""
    assets: Sequence[CatalogFile]
    """Their own assets."""
    texts: Mapping[str, bytes]
    """Root and Collections as they were read, by path."""
    folders: Mapping[str, tuple[int, int] | None]
    """The folders of Collections on this machine, as `folder_of` tells them apart."""


def _boot() -> str:
    """Another text after each start of the machine, on Linux."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else "unknown"


class _Copying:
    """A copy on its way into a staging folder."""

    def __init__(self, fetch: _Fetch, base: str, staging: Path, progress: Progress) -> None:
        self.files = self.size = self.left_count = 0
        self.left: list[str] = []
        self._fetch = fetch
        self._base = base
        self._progress = progress
        self._made = staging / "catalog"
        self._mark = staging / "mark"
        self._heads = staging / "heads"
        self._parts = staging / "parts"
        self._numbers = count()
        for scratch in (self._heads, self._parts):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
        self._made.mkdir(exist_ok=True)

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
        assets = [
            file
            for path, document in chosen.items()
            for file in self._files_of(document, path, top_folder(path))
            if not (file.follow or file.optional)
        ]
        kept = {path: texts[path] for path in ("catalog.json", *chosen)}
        folders = {path: folder_of(f"{self._base}/{path}") for path in chosen}
        return _Heads(root, len(children), others, chosen, assets, kept, folders)

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

    def begin(self, heads: _Heads) -> None:
        """Copies root and Collections with their own assets, which tell two catalogs apart.

        Keeps what an earlier run copied if it was the same catalog, to the last byte of what
        these say: the index has the checksum of every member.
        """
        for name, text in heads.texts.items():
            target = self._heads / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text)
        for file in heads.assets:
            self._get(file, self._heads / file.path)
        self._require_whole(heads)
        digest = hashlib.sha256()
        files = sorted(path for path in self._heads.rglob("*") if path.is_file())
        for path in files:
            digest.update(f"{path.relative_to(self._heads)}\n{path.stat().st_size}\n".encode())
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        known = self._mark.read_text().split() if self._mark.exists() else []
        now = [digest.hexdigest(), _boot()]
        if known[:1] != now[:1]:
            shutil.rmtree(self._made)
        elif known != now:  # the power may have been cut: what was not flushed may be empty
            for path in (path for path in self._made.rglob("*") if path.is_file()):
                if path.stat().st_size < _FLUSHED:
                    path.unlink()
        self._mark.write_text("\n".join(now))
        for path in files:
            target = self._made / path.relative_to(self._heads)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)

    def _require_whole(self, heads: _Heads) -> None:
        """Members must lie in what is copied: from another place the way to the others is another.

        The index tells it of every Item. Links to what has a host or a root stay right.
        """
        folders = tuple(map(top_folder, heads.chosen))
        for file in heads.assets:
            if posixpath.basename(file.path) != PARQUET_NAME:
                continue
            for asset in files_of_index(self._heads / file.path).get("assets", ()):
                href = asset["href"]
                if not isinstance(href, str) or href.startswith("/") or FOREIGN.match(href):
                    continue
                if not joined(file.path, href).startswith(folders):
                    raise BadCatalogError(
                        f"{self._base}/{file.path}: points to shards outside of its folder, as "
                        f"{shortened(href)}; search {self._base} and copy what is found instead"
                    )

    def run(self, heads: _Heads) -> None:
        """Copies all that the heads lead to."""
        for path in heads.others:
            self._leave(f"catalog.json: {path}")
        first = [CatalogFile(path, top_folder(path), True) for path in heads.chosen]
        first += [
            file for file in self._files_of(heads.root, "catalog.json", "") if not file.follow
        ]
        self.files, self.size = 1, (self._made / "catalog.json").stat().st_size
        seen = {"catalog.json"}
        todo: deque[CatalogFile] = deque()
        running: dict[Future[list[CatalogFile]], CatalogFile] = {}

        def add(files: Sequence[CatalogFile]) -> None:
            for file in files:
                if file.path not in seen:
                    seen.add(file.path)
                    todo.append(file)

        add(first)
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                while todo or running:
                    while todo and len(running) < 4 * _THREADS:
                        file = todo.popleft()
                        running[pool.submit(self._file, file)] = file
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
                        add(future.result())
                    copied = len(seen) - len(todo) - len(running)
                    self._progress("Copying", copied, len(seen), "files")
            finally:
                pool.shutdown(cancel_futures=True)

    def _file(self, file: CatalogFile) -> list[CatalogFile]:
        """Copies one file, unless an earlier run did, and gives those that it leads to."""
        target = self._made / file.path
        if not os.path.isfile(target):
            try:
                self._get(file, target)
            except MissingFileError:
                if not file.optional:
                    raise
                self._leave(file.path)
                return []
        size = target.stat().st_size
        require_size(file.path, size, file.size)
        with _COUNTING:
            self.files += 1
            self.size += size
        if posixpath.basename(file.path) == PARQUET_NAME:
            return list(self._files_of(files_of_index(target), file.path, file.scope))
        if not file.follow:
            return []
        document = documents.parse(target.read_bytes(), file.path)
        return list(self._files_of(document, file.path, file.scope))

    def _get(self, file: CatalogFile, target: Path, name: str | None = None) -> None:
        part = self._parts / str(next(self._numbers))
        most = documents.MAX_SIZE if file.follow else _MAX_FILE
        try:
            self._fetch(name or file.path, part, most, file.size)
            target.parent.mkdir(parents=True, exist_ok=True)
            if part.stat().st_size < _FLUSHED:
                os.replace(part, target)
            else:
                settle(part, target)
        except SatimnetError:
            raise
        except OSError as error:
            raise StorageError(
                f"{file.path}: cannot be copied ({error.strerror or error}); "
                "mend it, and the same command goes on"
            ) from error

    def _files_of(
        self, document: Mapping[str, Any], path: str, scope: str
    ) -> Iterator[CatalogFile]:
        return files_of(document, path, scope, self._leave)

    def _leave(self, link: str) -> None:
        with _COUNTING:
            self.left_count += 1
            if len(self.left) < _SHOWN:
                self.left.append(link)
