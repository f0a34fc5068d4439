"""Subsets: what a search found, as a small catalog or a stac-geoparquet of its own.

`save_found` writes a catalog that points to the shards where they lie, `copy_found` one that has
its members in shards of its own. Both are searched, opened and trained on as any other.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from satimnet.builder.catalog.collections import narrowed
from satimnet.builder.catalog.geoparquet import (
    PARQUET_NAME,
    MappedRows,
    write_geoparquet,
)
from satimnet.builder.catalog.item_pages import files_for, write_features, write_pages
from satimnet.builder.catalog.items import TOP, Item, texts_of, write_items
from satimnet.builder.catalog.rows_to_items import items_of
from satimnet.builder.catalog.tree import with_links, write_nodes
from satimnet.builder.errors import (
    ArgumentError,
    CatalogWarning,
    NotFoundError,
    SatimnetError,
    StorageError,
)
from satimnet.builder.packing.shard_plans import DEFAULT_SHARD_SIZE
from satimnet.builder.progress import Progress, silent
from satimnet.builder.publishing import protocol as publishing
from satimnet.builder.publishing.layout import SHARDS_NAME, version_of
from satimnet.builder.publishing.protocol import BUILDING, ROOT_NAME, Made, Vocabulary
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import place, sync, writing
from satimnet.builder.storage.held_files import folder_of
from satimnet.builder.storage.hrefs import (
    SEALED,
    file_name,
    folder_at,
    is_url,
    is_web,
    join,
    public,
    relative,
    sealed,
    warn_of_secret,
    writable,
)
from satimnet.builder.storage.staging import announce, lock, placed, workspace
from satimnet.builder.storage.stores import address_of, shown
from satimnet.builder.transfer.landing import claim
from satimnet.builder.transfer.member_copying import copy_members
from satimnet.builder.vocabulary.concepts import Scheme

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.query.index import Index, IndexedCollection
    from satimnet.builder.query.search_results import Found

Level = tuple[str, ...]

_CHUNK = 2000  # rows read at once
_MOST_MEMBERS = 65_000  # of a shard, as in plans
_TREE = {"root", "self", "parent", "collection", "child", "item", "items"}
_TREE |= {"first", "prev", "next", "last"}
_TREE |= {"predecessor-version", "successor-version", "latest-version"}
_ANY_VERSION = "version"  # hrefs are the same from each


def save_found(
    found: Found,
    destination: str | os.PathLike[str],
    progress: Progress = silent,
    *,
    single_writer: bool = False,
) -> int:
    """Writes a catalog of the Items found, which points to the shards that there are.

    It does so by relative hrefs where they lie on this machine, or in the bucket that it is written
    to, else by their URLs. The Items keep the order of their own catalog.

    Args:
        found: What a search found.
        destination: A new folder, or a new place in an object store.
        progress: Called with the numbers of Items that are written and found.
        single_writer: As for `satimnet.builder.build`.

    Returns:
        How many Items there are.

    Raises:
        NotFoundError: the search found nothing.
        StorageError: the destination is there already, or cannot be written.
        BadCatalogError: the catalog that was searched is not as satimnet builds it.
        ArgumentError: a catalog at the destination could not point to the shards: one in a bucket
            only points into this and to the web.
    """
    return _write(found, destination, False, progress, single_writer)


def copy_found(
    found: Found,
    destination: str | os.PathLike[str],
    progress: Progress = silent,
    *,
    single_writer: bool = False,
) -> int:
    """As `save_found`, but with the Items' members copied into shards of the new catalog.

    Assets that are no members of a shard keep pointing to where they are.

    Raises:
        BadCatalogError: as `save_found`, or a member is not what its Item says.
        StorageError: as `save_found`, or a shard cannot be read.
        NotFoundError: as `save_found`.
        ArgumentError: as `save_found`, for the other assets.
    """
    return _write(found, destination, True, progress, single_writer)


def write_found(found: Found, path: str | os.PathLike[str]) -> int:
    """Writes the rows found, in order, as one stac-geoparquet.

    Hrefs are relative to the file where they lead to this machine, or into the bucket that it is
    written to.

    Args:
        found: What a search found.
        path: The file to write, or its URL in an object store; one that is there is replaced.

    Returns:
        How many rows there are.

    Raises:
        NotFoundError: the search found nothing.
        StorageError: the file cannot be written.
        ArgumentError: as `save_found`.
    """
    import pyarrow as pa

    file = writable(path)
    table = found.table()
    if not len(table):
        raise NotFoundError(f"{file}: not written, the search found nothing")
    here = folder_at(file if is_url(file) else os.path.abspath(file))
    hosts = table["parquet"].to_pylist()
    columns = {}
    for name in ("assets", "links"):
        values = table[name].to_pylist()
        for value, base in zip(values, hosts, strict=True):
            for one in value.values() if isinstance(value, dict) else value or ():
                if one is not None:
                    place = public(join(one["href"], base), found.index.href)
                    if name == "assets":
                        _require_followed(place, here, file)
                    one["href"] = relative(place, here) if _is_led_to(place, here) else place
        columns[name] = pa.array(values, table.schema.field(name).type)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    documents = [
        {k: v for k, v in c.document.json.items() if k != SEALED} for c in found.collections
    ]
    rows = [table.drop_columns(["parquet"])]
    if is_url(file):
        with _scratch() as folder:
            write_geoparquet(rows, documents, folder / PARQUET_NAME, limit=len(table))
            objects.write(file, folder / PARQUET_NAME)
        warn_of_secret(found.index.href)
        return len(table)
    target = Path(file)
    try:
        with lock(target), writing(target) as part:
            write_geoparquet(rows, documents, part, limit=len(table))
    except SatimnetError:
        raise
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror or error}; choose another file") from error
    warn_of_secret(found.index.href)
    return len(table)


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="satimnet-") as folder:
        yield Path(folder)


def _is_led_to(place: str, home: str) -> bool:
    """Whether an href in a file of the folder ``home`` can lead to a place: not from a store to
    this machine."""
    return is_url(place) or not is_url(home)


def _require_followed(place: str, home: str, destination: str) -> None:
    """Refuses a catalog in a bucket with members that whoever reads it may not be led to."""
    if not is_url(home) or is_web(place):
        return
    if not is_url(place) or address_of(place).root != address_of(home).root:
        raise ArgumentError(
            f"{destination}: what is found lies at {shown(folder_at(place))}, and what is in a "
            "bucket may only point into the same one and to the web; copy it instead of saving",
            "destination",
        )


def _write(
    found: Found,
    destination: str | os.PathLike[str],
    copied: bool,
    progress: Progress,
    single_writer: bool,
) -> int:
    out = writable(destination)
    if not len(found):
        raise NotFoundError(f"{out}: not written, the search found nothing")
    if is_url(out):
        _write_to_store(found, out, copied, progress, single_writer)
    else:
        _write_on_disk(found, Path(out), copied, progress)
    if not copied:
        warn_of_secret(found.index.href)
    return len(found)


def _write_on_disk(found: Found, out: Path, copied: bool, progress: Progress) -> None:
    made_of = _made_of(found, copied)
    with workspace(out, "saving") as staging:
        if placed(out, out, made_of):
            return
        _require_new(out)
        made, work = staging / "catalog", staging / "work"
        for left in (made, work):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        parts = _collections(found, work, str(out.absolute()), copied, progress)
        publishing.add(made, parts, Vocabulary({}, _scheme(found.index)))
        sync(made)
        announce(out, made_of, made)
        place(made, out)


def _write_to_store(
    found: Found, out: str, copied: bool, progress: Progress, single_writer: bool
) -> None:
    """Shards are sent as they are made, under the names of their content, and not sent again."""
    publishing.require_one_by_one(out, single_writer=single_writer)
    note = f"{out}/{BUILDING}/saving"
    known = claim(note, _made_of(found, copied), single_writer=single_writer)
    if not known and objects.exists(f"{out}/{ROOT_NAME}"):
        objects.delete(note)
        raise StorageError(f"{out}: is there already; choose another place")
    try:
        with _scratch() as work:
            parts = _collections(found, work, out, copied, progress)
            vocabulary = Vocabulary({}, _scheme(found.index))
            publishing.publish(
                out, parts, vocabulary, staging=work, single_writer=single_writer, progress=progress
            )
    except SatimnetError:
        objects.delete(note)
        raise
    objects.delete(note)


def _collections(
    found: Found, work: Path, whole: str, copied: bool, progress: Progress
) -> list[Made]:
    """Makes the collections of what was found in a folder; ``whole`` is where they will lie."""
    parts = []
    for collection in found.collections:
        name = file_name(collection.id)
        out = _Out(collection, work / name, f"{whole}/{name}", copied, found.index.href)
        parts.append(_write_collection(found, out, progress))
    return parts


def _made_of(found: Found, copied: bool) -> str:
    """A digest of what a subset is made of."""
    splits = found.index.splits
    digest = hashlib.sha256(repr((copied, found.index.href)).encode())
    digest.update(b"" if splits is None else splits.digest.encode())
    for collection in found.collections:
        digest.update(repr((collection.document.json, folder_of(collection.parquet))).encode())
        numbers = found.numbers()[collection.id]
        numbers.sort()
        digest.update(numbers.tobytes())
    return digest.hexdigest()


def _require_new(destination: Path) -> None:
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise StorageError(f"{destination}: is there already; choose another folder")


@dataclass(frozen=True, slots=True)
class _Out:
    """A collection on its way into a new catalog."""

    source: IndexedCollection
    work: Path
    """Where it is made."""
    home: str
    """The place of its folder in the new catalog."""
    copied: bool
    catalog: str
    """Where the catalog was opened: what may be secret in its URL is not written."""

    def href(self, place: str) -> str:
        """The href of a place in a file of the collection."""
        return relative(public(place, self.catalog), self.place)

    @property
    def place(self) -> str:
        """Where it will lie, but for the name of its version; relative hrefs count from there."""
        return f"{self.home}/{_ANY_VERSION}"

    @property
    def folder(self) -> Path:
        """Its files, but for its shards."""
        return self.work / "tree"

    @property
    def shards(self) -> Path:
        """Its shards."""
        return self.work / SHARDS_NAME


def _write_collection(found: Found, out: _Out, progress: Progress) -> Made:
    total = len(found.numbers()[out.source.id])
    files = files_for(total)
    nodes: dict[Level, list[str]] = {}
    features: dict[Level, list[Path]] = {}
    tables: list[Path] = []
    done = 0
    rows = out.work / "rows"
    for folder in (out.folder, out.shards, rows):
        folder.mkdir(parents=True)
    counts: Counter[str] = Counter()
    outside: set[str] = set()
    for level, items, table in _groups(found, out):
        stem = "-".join((*level, ""))  # two levels may have one
        if out.copied:
            copy_members(items, out.shards, f"{stem}{counts[stem]:05d}")
            _send(out)
        counts[stem] += 1
        if not is_url(out.home):
            outside.update(_folders_of(items, out.source.id))
        tables.append(_keep(items, table, rows / f"{len(tables)}.arrow"))
        nodes.setdefault(level, []).extend(item["id"] for item in items)
        out.folder.joinpath(*level).mkdir(parents=True, exist_ok=True)
        if files == "json":
            write_items(texts_of(items), out.folder)
        else:
            features.setdefault(level, []).append(rows / f"{len(tables)}.ndjson")
            write_features(texts_of(items), features[level][-1])
        done += len(items)
        progress(f"Writing {out.source.id}", done, total, "items")
    for level, paths in features.items():
        write_pages(paths, len(nodes[level]), out.folder.joinpath(*level))
    parts = MappedRows(tables)
    collection = narrowed(_document(out, total), parts)
    written = write_geoparquet(parts, [collection], out.folder / PARQUET_NAME)
    if not is_url(out.home):
        collection |= _points_to(outside, collection["id"], out.folder / PARQUET_NAME)
    write_nodes(collection, nodes, out.folder, files)
    collection = with_links(collection, nodes, files, len(written))
    version = version_of(collection, out.folder, tuple(file.name for file in written), files)
    here = out.copied and not is_url(out.home)
    return Made(collection, version, out.folder, out.shards if here else None)


def _send(out: _Out) -> None:
    """Sends shards to the object store that they are for, unless an earlier run did."""
    for file in sorted(out.shards.iterdir()) if is_url(out.home) else ():
        place = f"{out.home}/{SHARDS_NAME}/{file.name}"
        try:
            same = objects.size_of(place) == file.stat().st_size
        except NotFoundError:
            same = False
        if not same:
            objects.write(place, file)
        file.unlink()


def _document(out: _Out, total: int) -> dict[str, Any]:
    """The Collection, without what belongs to the whole of it."""
    document = dict(out.source.document.json)
    base, here = out.source.href, out.place
    links = [
        link | {"href": out.href(place)}
        for link in document.get("links", ())
        if link["rel"] not in _TREE and (place := _linked(link["href"], base, here))
    ]
    if _is_led_to(base, here) and (not out.copied or is_url(base)):
        whole = {"rel": "derived_from", "href": out.href(base), "type": "application/json"}
        links.append(whole | {"title": f"All of {document.get('title', out.source.id)}"})
    title = document.get("title", out.source.id)
    part = f"A part of it: {total:,} item{'' if total == 1 else 's'} that a search found."
    description = f"{document['description'].strip()} {part}"
    for key in (SEALED, "version"):
        document.pop(key, None)
    document.pop("assets", None)  # the index, the overview and the report are of the whole
    return document | {"title": title, "description": description, "links": links}


def _groups(found: Found, out: _Out) -> Iterator[tuple[Level, list[Item], pa.Table]]:
    """Items and rows of one level each, few enough for a shard, in the order of the collection.

    The hrefs of what will be packed are still absolute, the others as `write_items` takes them.
    """
    import pyarrow as pa

    size = members = 0
    level: Level = ()
    items: list[Item] = []
    parts: list[pa.Table] = []
    numbers = found.numbers()[out.source.id]
    numbers.sort()
    for start in range(0, len(numbers), _CHUNK):
        rows = found.index.rows(out.source.id, numbers[start : start + _CHUNK])
        begin = 0
        for at, item in enumerate(items_of(rows, out.source.parquet)):
            own = _level(item, out.source)
            entries = [e for a in item["assets"].values() for e in a.get("archive", ())]
            more = sum(e["range"][1] - e["range"][0] + 1 for e in entries if "range" in e)
            full = (
                len(items) == 10 * _CHUNK
                or (out.copied and size + more > DEFAULT_SHARD_SIZE)
                or members + len(entries) > _MOST_MEMBERS
            )
            if items and (own != level or full):
                parts.append(rows.slice(begin, at - begin))
                yield level, items, pa.concat_tables(parts)
                begin, size, members, items, parts = at, 0, 0, [], []
            level, size, members = own, size + more, members + len(entries)
            items.append(_placed(item, own, out))
        parts.append(rows.slice(begin))
    if items:
        yield level, items, pa.concat_tables(parts)


def _level(item: Item, source: IndexedCollection) -> Level:
    """The node that an Item lies in, by its link to it; none where that is the Collection."""
    home = f"{folder_at(source.href)}/"
    parent = next((link["href"] for link in item["links"] if link["rel"] == "parent"), "")
    if not parent.startswith(home):
        return ()
    path = parent.removeprefix(home)
    if is_web(home):
        path = unquote(path.partition("?")[0])
    names = path.split("/")[:-1]
    return tuple(map(file_name, names))


def _placed(item: Item, level: Level, out: _Out) -> Item:
    """The Item as it will stand in the new index, but for members that are still to be packed."""
    file_name(item["id"])
    here = out.place
    node = "/".join((".", *level, "catalog.json" if level else "collection.json"))
    links = [
        {"rel": rel, "href": href, "type": "application/json"}
        for rel, href in (
            ("root", TOP),
            ("parent", node),
            ("collection", "./collection.json"),
        )
    ]
    links += [
        link | {"href": out.href(place)}
        for link in item["links"]
        if link["rel"] not in _TREE and (place := _linked(link["href"], out.source.href, here))
    ]
    assets = item["assets"]
    for asset in assets.values():
        if not (out.copied and "archive" in asset):
            _require_followed(asset["href"], out.home, out.home.rpartition("/")[0])
            asset["href"] = out.href(asset["href"])
    return item | {"links": links}


def _linked(href: str, base: str, here: str) -> str | None:
    """The place of a link in the file at ``base``; None for one from elsewhere to this machine."""
    place = join(href, base)
    return place if _is_led_to(place, base) and _is_led_to(place, here) else None


def _folders_of(items: list[Item], collection: str) -> set[str]:
    """Folders outside of the new catalog that assets lie in, but for those on the web.

    Relative to the version's, or URLs of object stores.
    """
    hrefs = {asset["href"] for item in items for asset in item["assets"].values()}
    inside = posixpath.join(collection, _ANY_VERSION)
    return {
        posixpath.dirname(href)
        for href in hrefs
        if (is_url(href) and not is_web(href))
        or (not is_url(href) and posixpath.normpath(f"{inside}/{href}").startswith(".."))
    }


def _points_to(folders: set[str], collection: str, parquet: Path) -> dict[str, Any]:
    """The Collection's field that lets this user's programs follow it out of the catalog."""
    if not folders:
        return {}
    try:
        return {SEALED: sealed(collection, str(parquet), folders)}
    except OSError as error:
        warnings.warn(
            CatalogWarning(
                f"{error.filename}: cannot be written ({error.strerror}), so the saved catalog is "
                "only read where allow_outside is given"
            ),
            stacklevel=2,
        )
        return {}


def _keep(items: list[Item], table: pa.Table, path: Path) -> Path:
    """Writes the rows to a file of their own, with the assets and links of the Items."""
    import pyarrow as pa

    table = table.combine_chunks()  # each chunk would be a batch, and be described in the file
    for name in ("assets", "links"):
        column = pa.array([item[name] for item in items], table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def _scheme(index: Index) -> Scheme:
    """The concepts of the catalog that was searched, as far as they are of what was found."""
    try:
        return index.scheme
    except SatimnetError:  # a catalog may do without
        return Scheme({})
