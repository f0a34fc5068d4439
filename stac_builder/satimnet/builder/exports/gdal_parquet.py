"""Items as stac-geoparquet whose assets GDAL opens by their ``href`` alone.

It has the rows and columns of ``items.parquet``. An asset that is a member of a shard is described
as this member: its ``href`` is GDAL's path of the bytes, and type, size and checksum are the
member's. Rows are read and written a few at a time, as columns.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from satimnet.builder.catalog.geoparquet import parquet_metadata
from satimnet.builder.errors import BadCatalogError, CatalogWarning, SatimnetError
from satimnet.builder.exports.item_batches import record_batches, row_count, schema_of
from satimnet.builder.exports.relocation import Relocation
from satimnet.builder.progress import Progress, silent
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.checked_offsets import FARTHEST, span_of
from satimnet.builder.storage.gdal_paths import gdal_place, member_path, store_scheme
from satimnet.builder.storage.hrefs import SEALED, has_scheme, is_href, is_url, join
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_ROWS, _SIZE = 2**16, 2**26  # rows and bytes of a row group, of which one is in memory
_UNKNOWN_TYPE = "application/octet-stream"
_TREE = {"root", "self", "parent", "collection", "child", "item", "items"}
_OF_SHARDS = ("archive", "satimnet:pixels")
"""Fields of an asset that count bytes from the beginning of a shard."""


def write_gdal_parquet(
    collection: IndexedCollection,
    relocation: Relocation,
    file: BinaryIO,
    progress: Progress = silent,
) -> None:
    """Writes the Items of a collection for programs that know nothing of shards.

    Of an asset with several members the first counts, as in `satimnet.builder.resolve`; then a
    warning says so.

    Args:
        collection: The collection, whose columns are checked (`Index.readable`).
        relocation: Where the catalog's files will lie.
        file: Where the parquet is written to.
        progress: Is told how many Items are written.

    Raises:
        BadCatalogError: the Items cannot be read, or lead to where they may not.
        BadFileError: the byte range of a member cannot be.
        ArgumentError: a file is not of the catalog, and the catalog is moved.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = schema_of(collection)
    columns = _Columns(collection, relocation)
    schema = columns.placed(pa.RecordBatch.from_pylist([], source)).schema
    schema = schema.with_metadata(_metadata(collection, source, relocation))
    done, total = 0, row_count(collection)
    progress(f"Writing {collection.id}", done, total, "items")
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows in _groups(map(columns.placed, record_batches(collection))):
            table = pa.Table.from_batches(rows).replace_schema_metadata(schema.metadata)
            writer.write_table(table, row_group_size=len(table))
            done += len(table)
            progress(f"Writing {collection.id}", done, total, "items")
    if columns.several:
        warnings.warn(
            CatalogWarning(
                f"{collection.id}: {columns.several} assets have several files; the export names "
                "the first of each"
            ),
            stacklevel=2,
        )


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches that make up a row group each: large, but small enough for memory."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if group and (rows + len(batch) > _ROWS or size + batch.nbytes > _SIZE):
            yield group
            group, rows, size = [], 0, 0
        group.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
    if group:
        yield group


# --- what the file says of itself ---------------------------------------------------------------


def _metadata(
    collection: IndexedCollection, source: pa.Schema, relocation: Relocation
) -> dict[str, str]:
    """What GeoParquet and stac-geoparquet have in the file's metadata."""
    return parquet_metadata([_document(collection, relocation)], _shapes(source))


def _shapes(schema: pa.Schema) -> list[str]:
    """The types of geometries that the source names; none, which allows any, if it does not."""
    try:
        found = json.loads((schema.metadata or {})[b"geo"])["columns"]["geometry"]["geometry_types"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    known = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return found if known else []


def _document(collection: IndexedCollection, relocation: Relocation) -> Json:
    """The Collection as it is of the Items in the file."""
    document = {
        key: value
        for key, value in collection.document.json.items()
        if key not in ("assets", SEALED)  # they are of the whole catalog
    }
    document["links"] = []
    for link in collection.document.json["links"]:
        if link["rel"] not in _TREE:
            try:
                href = _linked(link["href"], collection.href, relocation)
            except SatimnetError:  # it stays behind when the catalog is moved
                continue
            document["links"].append(link | {"href": href})
    if "item_assets" in document:
        document["item_assets"] = {
            key: _item_asset(asset) for key, asset in document["item_assets"].items()
        }
    return document


def _item_asset(asset: Json) -> Json:
    """What is common to assets, which are members now."""
    found = {key: value for key, value in asset.items() if key not in _OF_SHARDS}
    type_ = found.pop("satimnet:member_type", None)
    return found | ({"type": type_} if type_ else {})


def _linked(href: str, base: str, relocation: Relocation) -> str:
    """The absolute href of a link in the file at ``base``, where it will lie."""
    if has_scheme(href) and not is_url(href) and store_scheme(href) is None:
        return href  # mailto: and the like
    return relocation.to(join(href, base))


# --- columns ------------------------------------------------------------------------------------


class _Columns:
    """Columns of a collection's rows, as they stand in the export."""

    def __init__(self, collection: IndexedCollection, relocation: Relocation) -> None:
        self._collection = collection
        self._relocation = relocation
        self.several = 0
        """Number of assets so far that have several members."""

    def placed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows with absolute links, and with assets as GDAL opens them."""
        import pyarrow as pa

        label = self._collection.parquet
        try:
            ids = batch.column("id")
            made: dict[str, Callable[[], pa.Array]] = {
                "assets": lambda: self._assets(batch.column("assets"), ids),
                "links": lambda: self._links(batch.column("links")),
            }
            columns = {
                name: made[name]() if name in made else batch.column(at)
                for at, name in enumerate(batch.schema.names)
            }
            fields = [
                pa.field(name, column.type) if name in made else batch.schema.field(name)
                for name, column in columns.items()
            ]
            return pa.RecordBatch.from_arrays(list(columns.values()), schema=pa.schema(fields))
        except SatimnetError:  # some are ValueErrors, too
            raise
        except (pa.ArrowException, ValueError, LookupError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise BadCatalogError(
                f"{label}: its rows are no Items ({reason:.200}); build the collection again"
            ) from error

    def _assets(self, assets: pa.StructArray, ids: pa.Array) -> pa.StructArray:
        names = [field.name for field in assets.type]
        made = {
            name: self._asset(asset, name, ids)
            for name, asset in zip(names, assets.flatten(), strict=True)
        }
        return _struct(made, assets)

    def _asset(self, asset: pa.StructArray, key: str, ids: pa.Array) -> pa.StructArray:
        """The asset ``key`` of each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        fields = _fields(asset)
        self._require(fields["href"].is_valid(), asset.is_valid(), f"asset {key}", ids, "href")
        paths = _each(fields["href"], self._path)
        if "archive" in fields:
            member, entries = self._members(fields["archive"], key, ids)
            first, size = self._spans(entries["range"], key, ids)
            paths = [
                member_path(path, name, at, count) if inside and path else path
                for inside, path, name, at, count in zip(
                    member.to_pylist(), paths, entries["href"].to_pylist(), first, size, strict=True
                )
            ]
            described = {
                "type": pc.fill_null(entries["type"], _UNKNOWN_TYPE),
                "file:size": pc.coalesce(entries["file:size"], pa.array(size, pa.int64())),
                "file:checksum": entries["file:checksum"],
            }
            for name, value in described.items():
                fields[name] = pc.if_else(member, value, _typed(fields.get(name), value))
        fields["href"] = pa.array(paths, pa.string())
        return _struct({k: v for k, v in fields.items() if k not in _OF_SHARDS}, asset)

    def _path(self, href: str) -> str:
        """GDAL's path of an asset's file."""
        return gdal_place(self._relocation.to(self._collection.resolve(href)))

    def _members(
        self, archive: pa.Array, key: str, ids: pa.Array
    ) -> tuple[pa.Array, dict[str, pa.Array]]:
        """Whether each asset is a member of a shard, and the fields of the member."""
        import pyarrow as pa
        import pyarrow.compute as pc

        lengths = _lengths(archive)
        self.several += int((lengths > 1).sum())
        at = pa.array(np.cumsum(lengths) - lengths, pa.int64(), mask=lengths == 0)
        entry = pc.list_flatten(archive).take(at)
        member = pa.array(lengths > 0)
        entries = _fields(entry)
        self._require(entry.is_valid(), member, f"the member that is asset {key}", ids, "entry")
        types = {"href": pa.string(), "type": pa.string(), "range": pa.list_(pa.int64())}
        types |= {"file:size": pa.int64(), "file:checksum": pa.string()}
        for name, type_ in types.items():
            entries[name] = _typed(entries.get(name), pa.nulls(len(entry), type_))
        self._require(
            entries["href"].is_valid(), member, f"the member that is asset {key}", ids, "name"
        )
        return member, entries

    def _spans(
        self, ranges: pa.Array, key: str, ids: pa.Array
    ) -> tuple[list[int | None], list[int | None]]:
        """First byte and size of each member; None where they are not known, or it is empty.

        GDAL takes a size of 0 for all that follows.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        known = np.flatnonzero(ranges.is_valid().to_numpy(zero_copy_only=False))
        pairs = pa.nulls(2 * len(known), pa.int64())
        if (_lengths(ranges)[known] == 2).all():
            pairs = pc.list_flatten(ranges)
        first, last = pc.fill_null(pairs, -1).to_numpy(zero_copy_only=False).reshape(-1, 2).T
        for at in np.flatnonzero((first < 0) | (last < first - 1) | (last >= FARTHEST)).tolist():
            row = int(known[at])
            label = f"{self._collection.parquet}: asset {key} of {ids[row]}"
            span_of({"range": ranges[row].as_py()}, label)  # raises for the first that is wrong
        starts, sizes = np.full((2, len(ranges)), None, object)
        there = last >= first
        starts[known[there]] = first[there]
        sizes[known[there]] = (last - first + 1)[there]
        return starts.tolist(), sizes.tolist()

    def _links(self, links: pa.Array) -> pa.Array:
        """Lists of links, with absolute hrefs."""
        import pyarrow as pa
        import pyarrow.compute as pc

        inner = pc.list_flatten(links)
        fields = _fields(inner)
        if fields["href"].null_count or inner.null_count:
            raise BadCatalogError(
                f"{self._collection.parquet}: a link has no href; build the collection again"
            )
        fields["href"] = pa.array(_each(fields["href"], self._link), pa.string())
        ends = np.concatenate([[0], np.cumsum(_lengths(links))])
        offsets = pa.array(ends, pa.int32())
        return pa.ListArray.from_arrays(offsets, _struct(fields, inner), mask=links.is_null())

    def _link(self, href: str) -> str:
        """The absolute href of an Item's link."""
        if not is_href(href):
            raise BadCatalogError(
                f"{self._collection.parquet}: a link points to {href:.200}, which is no path and "
                "no URL; build the collection again"
            )
        return _linked(href, self._collection.parquet, self._relocation)

    def _require(
        self, there: pa.Array, wanted: pa.Array, what: str, ids: pa.Array, lacks: str
    ) -> None:
        """Raises for the first row that lacks what it must have."""
        import pyarrow.compute as pc

        missing = pc.indices_nonzero(pc.and_not(wanted, there))
        if len(missing):
            raise BadCatalogError(
                f"{self._collection.parquet}: {what} of {ids[missing[0].as_py()]} has no {lacks}; "
                "build the collection again"
            )


def _fields(array: pa.StructArray) -> dict[str, pa.Array]:
    """The fields of a struct by their names, null where the struct is null."""
    return dict(zip([field.name for field in array.type], array.flatten(), strict=True))


def _struct(fields: dict[str, pa.Array], like: pa.Array) -> pa.StructArray:
    """A struct of these fields, null where ``like`` is."""
    import pyarrow as pa

    named = [pa.field(name, array.type) for name, array in fields.items()]
    return pa.StructArray.from_arrays(list(fields.values()), fields=named, mask=like.is_null())


def _typed(column: pa.Array | None, like: pa.Array) -> pa.Array:
    """The column with the type of ``like``; nulls if there is no column."""
    import pyarrow as pa

    return pa.nulls(len(like), like.type) if column is None else column.cast(like.type)


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    """The lengths of lists; 0 of null."""
    import pyarrow.compute as pc

    found: Any = pc.fill_null(pc.list_value_length(lists), 0)
    lengths: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _each(texts: pa.Array, make: Callable[[str], str]) -> list[str | None]:
    """What ``make`` makes of each text, which is asked once for every text; None of null."""
    import pyarrow as pa

    coded = texts.cast(pa.string()).dictionary_encode()
    made = [make(text) for text in coded.dictionary.to_pylist()]
    return [None if code is None else made[code] for code in coded.indices.to_pylist()]
