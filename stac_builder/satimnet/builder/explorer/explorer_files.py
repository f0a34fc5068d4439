"""The explorer's files of published collections: looked for, written anew, and refused if stale."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satimnet.builder.arguments import checked
from satimnet.builder.catalog import checked_documents as documents
from satimnet.builder.catalog.geoparquet import PARQUET_NAME
from satimnet.builder.catalog.item_pages import ItemFiles, page_name
from satimnet.builder.errors import BadCatalogError, NotFoundError, StorageError
from satimnet.builder.explorer.explorer_columns import (
    ASSET_FIELDS,
    DATA_NAME,
    FORMAT,
    HEADER_NAME,
    ROW_COLUMNS,
    Columns,
    columns_of,
    index_of,
    packed_columns,
)
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.storage import objects
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.storage.hrefs import folder_at, is_url, is_web, join
from satimnet.builder.storage.parquet_files import parquet_file
from satimnet.builder.storage.stores import shown
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS = 20_000  # that are held at once
_BLOCK = 2**24


@dataclass(frozen=True)
class Indexed:
    """What the explorer now knows of a collection."""

    collection: str
    items: int
    size: int
    """Bytes of its columns."""
    previews: int = 0
    """How many Items have a preview."""


@checked()
def index_catalog(
    catalog: str | os.PathLike[str],
    *,
    collections: Sequence[str] | None = None,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> list[Indexed]:
    """Writes what the explorer reads beside the index of each collection of a catalog.

    `satimnet.builder.build` writes it as well; this is for catalogs that were built before. Columns
    that belong to the index are left as they are.

    Args:
        catalog: place of the catalog, a path or the URL of an object store.
        collections: ids of those that are indexed; None is all.
        allow_outside: the catalog in a folder may lead to any file of this machine.
        progress: is told how many collections are done.

    Raises:
        SatimnetError: the catalog cannot be read.
        StorageError: it cannot be written.

    Example:
        >>> from satimnet.builder.explorer.explorer_files import index_catalog
        >>> [one.collection for one in index_catalog("catalog", collections=["eurosat"])]
        ['eurosat']
    """
    index = Index(catalog, allow_outside=allow_outside)
    wanted = index.readable(collections)
    found = []
    for done, name in enumerate(wanted):
        progress("Indexing for the explorer", done, len(wanted), "collections")
        one = index.collections[name]
        header = header_of(one)
        if header is None:
            header = write_files(one, read_columns(one))
        previews = header.get("previews", {}).get("items", 0)
        found.append(Indexed(name, header["items"], header["data"]["size"], previews))
    progress("Indexing for the explorer", len(wanted), len(wanted), "collections")
    return found


def header_of(collection: IndexedCollection) -> Json | None:
    """The header of a collection's columns; None if there are none that belong to its index.

    Raises:
        StorageError: the index cannot be read.
    """
    try:
        place = join(f"./{HEADER_NAME}", collection.parquet)
        header = documents.parse(objects.read(place, most=2**26), place)
        if header["format"] != FORMAT or header["index"] != _index_of(collection):
            return None
        if objects.size_of(join(f"./{DATA_NAME}", place)) != header["data"]["size"]:
            return None
    except (NotFoundError, BadCatalogError, LookupError, TypeError):
        return None
    return header


def read_columns(collection: IndexedCollection) -> Columns:
    """The columns of a published collection, read from its index in parts.

    Raises:
        BadCatalogError: its rows are no Items.
        StorageError: they cannot be read.
    """
    import pyarrow as pa

    try:
        with ExitStack() as opened:
            files = [opened.enter_context(parquet_file(place)) for place in collection.places]
            tables = (table for file in files for table in _tables(file))
            found = columns_of(
                collection.document.json, tables, shown(collection.parquet), files="none"
            )
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise BadCatalogError(
            f"{shown(collection.parquet)}: cannot be read ({error}); build it again"
        ) from error
    for shard in found.header["shards"]:
        collection.resolve(shard)  # raises where the catalog may not lead
    found.header["items_as"] = _shown_as(collection, found)
    return found


def write_files(collection: IndexedCollection, columns: Columns) -> Json:
    """Writes the columns beside the index of a collection, the header last, and returns that.

    Raises:
        StorageError: they cannot be written.
    """
    folder = folder_at(collection.parquet)
    if is_web(folder):
        raise StorageError(
            f"{shown(folder)}: a web server cannot be written to; copy the catalog first, or give "
            "the path or the s3:// address of its folder"
        )
    header, data = packed_columns(columns, shown(collection.parquet))
    header["index"] = _index_of(collection)
    objects.write(f"{folder}/{DATA_NAME}", data)
    objects.write(f"{folder}/{HEADER_NAME}", json_bytes(header))
    return header


def _tables(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """The rows in parts, with the columns that are needed."""
    import pyarrow as pa

    schema = file.schema_arrow
    wanted = [name for name in ROW_COLUMNS if name in schema.names]
    if "assets" in schema.names and pa.types.is_struct(schema.field("assets").type):
        for asset in schema.field("assets").type:
            inner = {one.name for one in asset.type}
            wanted += [f"assets.{asset.name}.{name}" for name in ASSET_FIELDS if name in inner]
    for batch in file.iter_batches(_ROWS, columns=wanted):
        yield pa.Table.from_batches([batch])


def _index_of(collection: IndexedCollection) -> Json:
    """Name, size and digest of the index."""
    digest, size = hashlib.sha256(), 0
    if is_url(collection.parquet):
        total = objects.size_of(collection.parquet)
        while size < total:
            part = objects.read(collection.parquet, size, min(_BLOCK, total - size))
            digest.update(part)
            size += len(part)
    else:
        with Path(collection.place).open("rb") as file:
            while part := file.read(_BLOCK):
                digest.update(part)
                size += len(part)
    name = collection.parquet.rpartition("/")[2] or PARQUET_NAME
    return index_of(name, size, digest.hexdigest())


def _shown_as(collection: IndexedCollection, columns: Columns) -> ItemFiles:
    """How the tree of a published collection shows its Items, by its first one."""
    if not columns.ids:
        return "none"
    node: Any = columns.header["nodes"][int(columns.values["nodes"][0])]
    folder = f"{folder_at(collection.parquet)}/{node}".rstrip("/")
    try:
        if objects.exists(f"{folder}/{columns.ids[0]}.json"):
            return "json"
        if objects.exists(f"{folder}/{page_name(0)}"):
            return "pages"
    except StorageError:
        pass
    return "none"
