"""Copies: a catalog, or some of its collections, from a folder or the web, each file once.

The copy follows the links: from the root to its collections, their nested catalogs and Items, and
at each of them to the assets and other files. An asset of thousands of Items, which a shard is, is
copied once; files are copied byte for byte, so links and byte ranges stay as they are.

A catalog from the web is not to be trusted: nothing is written outside the destination, and what
lies elsewhere (another host, an absolute path, a way out by ``..``) stays a link.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.catalog.tree import ROOT_ID, write_root
from satimnet.builder.datasets import installed
from satimnet.builder.errors import CatalogWarning, SatimnetError, printable
from satimnet.builder.progress import Progress, silent
from satimnet.builder.storage.atomic_files import place, settle, sync
from satimnet.builder.storage.held_files import folder_of
from satimnet.builder.storage.hrefs import Bounds, catalog_file, file_name, is_url, on_disk
from satimnet.builder.storage.staging import announce, placed, says, workspace
from satimnet.builder.vocabulary.skos import CONCEPTS_NAME, write_concepts

if TYPE_CHECKING:
    import requests

_THREADS = 8
_MAX_FILE = 2**34  # bytes of a file whose size no asset tells
_ATTEMPTS = 3
_SECONDS = (10, 60)  # to connect, and between two pieces of an answer
_CHUNK = 2**20
_FLUSHED = 2**20  # bytes of a file that is flushed as soon as it is there; small ones all at once
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


def copy(
    catalog: str | os.PathLike[str],
    destination: Path,
    *,
    collections: Sequence[str] | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Copied:
    """Copies the catalog at a path or URL, or the ``collections`` of it, to a new folder.

    If the destination is a catalog of satimnet, the collections are added to it. Everything is
    copied into a hidden folder beside the destination, and moved in place when it is whole. After
    a kill or an error the same call goes on from there, if the catalog is still the same.
    ``allow_outside`` also copies what symbolic links in a catalog's folder lead to elsewhere.

    Raises:
        SatimnetError: there is no such catalog or collection, it leaves its shards in the folders
            of others, a file cannot be had or has not the size that an asset says, or the
            destination has such a collection or is no catalog.
    """
    destination = on_disk(destination)
    base, name = _split(os.fspath(catalog))
    _refuse(destination, base)
    bounds = Bounds(base, everywhere=allow_outside)
    fetch = partial(_download, _sessions(), base) if is_url(base) else partial(_copy_file, bounds)
    with tempfile.TemporaryDirectory() as scratch:
        heads = _Copying(fetch, base, Path(scratch), silent).heads(name, collections)
    part = len(heads.chosen) < heads.children
    made_of = hashlib.sha256(repr((base, heads.texts, heads.folders)).encode()).hexdigest()
    with workspace(destination, "copying", kept_on_error=True) as staging:
        copying = _Copying(fetch, base, staging, progress)
        made = staging / "catalog"
        try:
            finished = placed(destination, destination, made_of)
            if (part or not _is_new(destination)) and not finished:
                _require_addable(heads.chosen, destination, made_of)
            copying.begin(heads)
        except (SatimnetError, OSError):
            if not any(made.iterdir()):  # nothing to go on from
                shutil.rmtree(staging, ignore_errors=True)
            raise
        copying.run(heads)
        copying.require_same(heads)
        if part:
            _rewrite(made, {})
        if not finished:
            _move_in_place(staging, destination, heads.chosen.values(), made_of)
    ids = tuple(_shown(str(document.get("id"))) for document in heads.chosen.values())
    left = tuple(copying.left)
    return Copied(ids, copying.files, copying.size, left, copying.left_count)


def _split(href: str) -> tuple[str, str]:
    """The folder of the catalog, absolute, and the name of its root in there."""
    base, _, name = catalog_file(href).rpartition("/")
    return base, name


def _refuse(destination: Path, base: str) -> None:
    if not _is_new(destination) and not says(destination / "catalog.json", "id", ROOT_ID):
        raise SatimnetError(
            f"{destination}: is there already and is no catalog of satimnet; choose another"
        )
    if not is_url(base) and destination.resolve().is_relative_to(Path(base).resolve()):
        raise SatimnetError(f"{destination}: lies inside the catalog; choose another destination")


def _is_new(destination: Path) -> bool:
    return not destination.exists() or (destination.is_dir() and not any(destination.iterdir()))


def _require_addable(
    chosen: Mapping[str, Mapping[str, Any]], destination: Path, made_of: str
) -> None:
    """Collections can be linked from another root if they lie where a build puts them.

    One that lies there and is not linked is what a killed copy left, and is replaced.
    """
    there = _linked(destination)
    for path, document in chosen.items():
        id_ = document.get("id")
        wrong = documents.problem(document) or (
            "its folder has another name" if path != f"{id_}/collection.json" else None
        )
        if wrong:
            raise SatimnetError(
                f"{path}: not as satimnet builds it ({wrong}); copy the catalog as a whole"
            )
        file_name(str(id_))
        folder = (destination / path).parent
        if id_ in there and not placed(folder, destination, made_of):
            raise SatimnetError(
                f"{destination}: has a collection {id_} already; choose another destination"
            )
        if folder.exists() and not (folder / "collection.json").exists():
            raise SatimnetError(f"{folder}: is there already and is no collection; move it")


def _linked(catalog: Path) -> list[str]:
    """The folders that the root of a catalog of satimnet leads to; none where there is no root."""
    if not (catalog / "catalog.json").exists():
        return []
    root = documents.read(str(catalog / "catalog.json"))
    hrefs = [str(link.get("href")) for link in _values(root.get("links"))]
    return [posixpath.dirname(posixpath.normpath(href)) for href in hrefs]


def _rewrite(catalog: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes root and concepts again, over the collections that lie in the folder now."""
    try:
        if (catalog / CONCEPTS_NAME).exists():
            write_concepts(catalog, records)
        write_root(catalog)
    except (LookupError, TypeError, ValueError) as error:
        raise SatimnetError(
            f"{catalog}: its collections are not as satimnet builds them ({error}); "
            "copy the catalog as a whole"
        ) from error


def _move_in_place(
    staging: Path, destination: Path, chosen: Iterable[Mapping[str, Any]], made_of: str
) -> None:
    made = staging / "catalog"
    if whole := _is_new(destination):
        moves = {made: destination}
    else:
        moves = {made / one["id"]: destination / one["id"] for one in chosen}
    try:
        sync(made)
        announce(destination, made_of, *moves)
        for folder, target in moves.items():
            place(folder, target)
    except OSError as error:
        raise SatimnetError(f"{destination}: {error.strerror}; choose another") from error
    if not whole:
        _rewrite(destination, {name: dataset.record for name, dataset in installed().items()})


# --- the walk -----------------------------------------------------------------------------------

_Fetch = Callable[[str, Path, int, "int | None"], None]
"""Fetches a file of the catalog: its path there, where to, the most bytes, and how many exactly."""


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    """In the catalog's folder, with ``/`` between names."""
    scope: str
    """The folder that whatever it leads to must lie in: of a collection ``id/``."""
    follow: bool = False
    """Whether it is a STAC object whose links are followed."""
    size: int | None = None
    optional: bool = False


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
    assets: Sequence[_File]
    """Their own assets."""
    texts: Mapping[str, bytes]
    """Root and Collections as they were read, by path."""
    folders: Mapping[str, tuple[int, int] | None]
    """The folders of Collections on this machine, as `folder_of` tells them apart."""


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
        root = self._read(_File("catalog.json", "", True), texts, name)
        children, others = {}, []
        for file in self._of(root, "catalog.json", ""):
            if file.follow:
                try:
                    document = self._read(file, texts)
                except SatimnetError as error:
                    if wanted is None or _folder(file.path).rstrip("/") in wanted:
                        raise
                    warnings.warn(CatalogWarning(f"{error}; not copied"), stacklevel=3)
                    others.append(file.path)
                    continue
                if document.get("type") == "Collection":
                    children[file.path] = document
                else:
                    others.append(file.path)
        ids = [_shown(str(document.get("id"))) for document in children.values()]
        home = f"{self._base}/{name}"
        for id_ in wanted or ():
            if id_ not in ids:
                raise SatimnetError(f"{home}: no collection {id_!r}; there are {', '.join(ids)}")
        chosen = {p: d for p, d in children.items() if wanted is None or str(d.get("id")) in wanted}
        if not chosen:
            raise SatimnetError(f"{home}: no relative link leads to a collection; nothing to copy")
        assets = [
            file
            for path, document in chosen.items()
            for file in self._of(document, path, _folder(path))
            if not (file.follow or file.optional)
        ]
        kept = {path: texts[path] for path in ("catalog.json", *chosen)}
        folders = {path: folder_of(f"{self._base}/{path}") for path in chosen}
        return _Heads(root, len(children), others, chosen, assets, kept, folders)

    def require_same(self, heads: _Heads) -> None:
        """Raises `SatimnetError` if a collection was replaced since its head was read."""
        for path in heads.chosen:
            again = self._heads / path
            self._get(_File(path, "", True), again)
            same = again.read_bytes() == heads.texts[path]
            if not same or folder_of(f"{self._base}/{path}") != heads.folders[path]:
                raise SatimnetError(
                    f"{self._base}/{path}: was replaced while it was copied; "
                    "give the same command again"
                )

    def _read(
        self, file: _File, texts: dict[str, bytes], name: str | None = None
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
        folders = tuple(map(_folder, heads.chosen))
        for file in heads.assets:
            if posixpath.basename(file.path) != PARQUET_NAME:
                continue
            for asset in _shards(self._heads / file.path).get("assets", ()):
                href = asset["href"]
                if not isinstance(href, str) or href.startswith("/") or _FOREIGN.match(href):
                    continue
                if not _joined(file.path, href).startswith(folders):
                    raise SatimnetError(
                        f"{self._base}/{file.path}: points to shards outside of its folder, as "
                        f"{_shown(href)}; use stac satimnet search {self._base} --copy FOLDER "
                        "instead"
                    )

    def run(self, heads: _Heads) -> None:
        """Copies all that the heads lead to."""
        for path in heads.others:
            self._leave(f"catalog.json: {path}")
        first = [_File(path, _folder(path), True) for path in heads.chosen]
        first += [file for file in self._of(heads.root, "catalog.json", "") if not file.follow]
        self.files, self.size = 1, (self._made / "catalog.json").stat().st_size
        seen = {"catalog.json"}
        todo: deque[_File] = deque()
        running: dict[Future[list[_File]], _File] = {}

        def add(files: Sequence[_File]) -> None:
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

    def _file(self, file: _File) -> list[_File]:
        """Copies one file, unless an earlier run did, and gives those that it leads to."""
        target = self._made / file.path
        if not os.path.isfile(target):
            try:
                self._get(file, target)
            except _MissingError:
                if not file.optional:
                    raise
                self._leave(file.path)
                return []
        size = target.stat().st_size
        _require_size(file.path, size, file.size)
        with _COUNTING:
            self.files += 1
            self.size += size
        if posixpath.basename(file.path) == PARQUET_NAME:
            return list(self._of(_shards(target), file.path, file.scope))
        if not file.follow:
            return []
        document = documents.parse(target.read_bytes(), file.path)
        return list(self._of(document, file.path, file.scope))

    def _get(self, file: _File, target: Path, name: str | None = None) -> None:
        part = self._parts / str(next(self._numbers))
        most = documents.MAX_SIZE if file.follow else _MAX_FILE
        try:
            self._fetch(name or file.path, part, most, file.size)
            target.parent.mkdir(parents=True, exist_ok=True)
            if part.stat().st_size < _FLUSHED:
                os.replace(part, target)
            else:
                settle(part, target)
        except OSError as error:
            raise SatimnetError(
                f"{file.path}: cannot be copied ({error.strerror or error}); "
                "mend it, and the same command goes on"
            ) from error

    def _of(self, document: Mapping[str, Any], path: str, scope: str) -> Iterator[_File]:
        """The files that a STAC object leads to: first its assets, then its links."""
        for asset in _values(document.get("assets")):
            size = asset.get("file:size")
            target = self._inside(asset.get("href"), path, scope)
            if target is not None:
                yield _File(target, scope, size=size if type(size) is int else None)
        for link in _values(document.get("links")):
            rel = link.get("rel")
            if rel in ("root", "parent", "collection", "self"):
                continue
            target = self._inside(link.get("href"), path, scope)
            if target is None:
                continue
            if rel in _FOLLOWED:
                yield _File(target, scope or _folder(target), True)
            else:
                yield _File(target, scope, optional=True)

        for feature in _values(document.get("features")):  # of a page of Items
            yield from self._of({**feature, "features": None}, path, scope)

    def _inside(self, href: object, path: str, scope: str) -> str | None:
        """The path of a file that the one at ``path`` leads to, None if it is not to be copied."""
        if not isinstance(href, str) or _FOREIGN.match(href):
            return None
        if _PLAIN.fullmatch(href) and not href.startswith("/"):
            target = _joined(path, href)
            if target.startswith(scope) and target.split("/")[0] not in ("..", "."):
                return target
        self._leave(f"{path}: {_shown(href)}")
        return None

    def _leave(self, link: str) -> None:
        with _COUNTING:
            self.left_count += 1
            if len(self.left) < _SHOWN:
                self.left.append(link)


_COUNTING = threading.Lock()
_FOLLOWED = ("child", "item", "items", "first", "prev", "next", "last")
_FOREIGN = re.compile(r"//|[A-Za-z][A-Za-z0-9+.-]*:")  # has a host or a scheme
_PLAIN = re.compile(r'[^\x00-\x1f\x7f-\x9f\\?#%:*"<>|]{1,1000}')


def _shards(parquet: Path) -> dict[str, Any]:
    """The files that rows lead to, as assets: without Items in the tree nothing else names them.

    A file that is no such index leads to nothing; copying it is not judging it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: set[tuple[str | None, int | None]] = set()  # few, of rows that may be millions
    keys = ("href", "file:size")
    try:
        with pq.ParquetFile(parquet) as opened:
            names = [field.name for field in opened.schema_arrow.field("assets").type]
            for name in names:
                columns = [f"assets.{name}.{key}" for key in keys]
                for batch in opened.iter_batches(columns=columns):
                    asset = batch.column("assets")
                    both = pa.table([pc.struct_field(asset, [name, key]) for key in keys], keys)
                    each = both.group_by(list(keys)).aggregate([])
                    found.update(zip(*(each[key].to_pylist() for key in keys), strict=True))
    except (OSError, LookupError, TypeError, pa.ArrowException):
        return {}
    return {"assets": [{"href": href, "file:size": size} for href, size in found if href]}


def _joined(path: str, href: str) -> str:
    """Where in the catalog an href of the file at ``path`` leads; outside it begins with ``..``."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), href))


def _folder(path: str) -> str:
    """The folder of a file with ``/`` behind; of a file at the top one that nothing lies in."""
    return f"{posixpath.dirname(path) or path}/"


def _values(content: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a list or a map; nothing of what is neither."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        yield from (value for value in content if isinstance(value, dict))


def _shown(text: str) -> str:
    """What a catalog says, in short, without what a terminal would take for orders."""
    return printable(text[:200])


# --- one file -----------------------------------------------------------------------------------


class _MissingError(SatimnetError):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: nothing is there; name a catalog that is whole")


def _require_size(path: str, found: int, expected: int | None) -> None:
    if expected is not None and found != expected:
        raise SatimnetError(
            f"{path}: {found} bytes where its asset says {expected}; get the whole file there first"
        )


def _require_at_most(path: str, found: int, most: int) -> None:
    if found > most:
        raise SatimnetError(f"{path}: more than {most} bytes; no file of a catalog is so large")


def _boot() -> str:
    """Another text after each start of the machine, on Linux."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else "unknown"


def _copy_file(bounds: Bounds, path: str, target: Path, most: int, size: int | None) -> None:
    source = Path(bounds.resolve(path, f"{bounds.home}/catalog.json"))
    if not source.is_file():  # a pipe would be read for ever
        raise _MissingError(str(source))
    found = source.stat().st_size
    _require_size(str(source), found, size)
    if size is None:
        _require_at_most(str(source), found, most)
    shutil.copyfile(source, target)


def _download(
    session: Callable[[], requests.Session],
    base: str,
    path: str,
    target: Path,
    most: int,
    size: int | None,
) -> None:
    import requests

    url = f"{base}/{quote(path)}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # Compressed on the way, an answer would not have the size that is told.
            with session().get(
                url, stream=True, timeout=_SECONDS, headers={"Accept-Encoding": "identity"}
            ) as answer:
                if answer.status_code in (403, 404, 410):
                    raise _MissingError(url)
                answer.raise_for_status()
                told = answer.headers.get("Content-Length", "")
                with target.open("wb") as file:
                    for piece in answer.iter_content(_CHUNK):
                        file.write(piece)
                        _require_at_most(url, file.tell(), most if size is None else size)
                _require_size(url, target.stat().st_size, size)
                if told.isdecimal() and "Content-Encoding" not in answer.headers:
                    _require_size(url, target.stat().st_size, int(told))
                return
        except requests.RequestException as error:
            if attempt < _ATTEMPTS:
                time.sleep(0.5 * attempt)
            else:
                reason = " ".join(str(error).split())
                raise SatimnetError(
                    f"{url}: cannot be fetched ({reason:.200}); the same command goes on from here"
                ) from error


def _sessions() -> Callable[[], requests.Session]:
    """A session for each thread: they share no state, and each keeps its connection."""
    import requests

    local = threading.local()

    def session() -> requests.Session:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        found: requests.Session = local.session
        return found

    return session
