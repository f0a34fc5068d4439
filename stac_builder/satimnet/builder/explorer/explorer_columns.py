"""Explorer columns: what the explorer reads of a collection, 2 to 6 bytes an Item.

``explorer.json`` is the header, ``explorer.bin`` has the columns one after another; those that the
first screen needs come first, so that one request fetches them. They are made of the rows of
``items.parquet``, in its order, and the header has the digest of that file: columns of another one
are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from satimnet.builder.catalog.file_facts import band_counts
from satimnet.builder.catalog.item_pages import PAGE_SIZE, ItemFiles
from satimnet.builder.errors import BadCatalogError
from satimnet.builder.explorer.column_encoding import NONE, names, numbers, small_numbers
from satimnet.builder.storage.atomic_files import json_bytes
from satimnet.builder.types import Json

if TYPE_CHECKING:
    import pyarrow as pa

HEADER_NAME = "explorer.json"
DATA_NAME = "explorer.bin"
FORMAT = "satimnet-explorer-1"
ASSETS: dict[str, Json] = {
    "explorer": {
        "href": f"./{HEADER_NAME}",
        "type": "application/json",
        "title": "What the explorer reads: header",
        "roles": ["metadata"],
    },
    "explorer-columns": {
        "href": f"./{DATA_NAME}",
        "type": "application/octet-stream",
        "title": "What the explorer reads: columns",
        "roles": ["metadata"],
    },
}
"""Assets of the Collection."""

ROW_COLUMNS = (
    *("id", "bbox", "datetime", "links", "proj:shape"),
    *("satimnet:classes", "satimnet:concepts", "satimnet:split", "satimnet:country"),
    *("satimnet:rows", "satimnet:columns"),
)
"""Columns of the rows that are read, where they are there; of assets `ASSET_FIELDS`."""
ASSET_FIELDS = ("href", "archive", "bands", "roles")

SHOWN = ("image/jpeg", "image/png", "image/webp", "image/gif")
"""Media types that every browser shows."""
MOST_BYTES, MOST_SIDE = 2**16, 256
"""Of an image that stands on the wall as it is; a larger one needs a preview."""

_FIRST_SCREEN = (
    *("class_counts", "classes", "splits", "countries", "days", "kinds", "widths", "heights"),
    *("picture_files", "picture_firsts", "picture_sizes"),
    *("preview_files", "preview_sizes"),
)
_MOST_CODES = 2**16
_FARTHEST = 2**52  # bytes; the page counts in numbers of 53 bits
_UNIT = 64  # bytes at whose multiples members begin
_DEGREE = 1_000_000  # parts of a degree that places are told in, about 0.1 m
_ITEM_SIDE = 2**30
_FEW_ROWS = 4096


Kind = tuple[tuple[str, ...], tuple[int, ...]]
"""Keys of the assets of an Item, and the numbers of bands of its images."""


class Codes:
    """Numbers for values, in the order in which they are met."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known: dict[str, int] = {value: at for at, value in enumerate(known)}

    def of(self, values: pa.Array) -> NDArray[np.int64]:
        """The number of each value; -1 where there is none."""
        import pyarrow as pa

        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            if pa.types.is_null(values.type):
                return np.full(len(values), -1, np.int64)
            raise BadCatalogError(f"texts are wanted, not {values.type}")
        encoded = values.dictionary_encode()
        table = [self.known.setdefault(v, len(self.known)) for v in encoded.dictionary.to_pylist()]
        if len(self.known) > _MOST_CODES:
            raise BadCatalogError(f"more than {_MOST_CODES:,} different values of a property")
        indices = encoded.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
        found: NDArray[np.int64] = np.array([*table, -1], np.int64)[indices]
        return found


@dataclass
class Columns:
    """The columns of a collection as arrays, before they are packed."""

    header: Json
    ids: list[str]
    values: dict[str, NDArray[np.int64]] = field(default_factory=dict)


@dataclass
class Members:
    """Of an asset of some rows the first file in its archive, arrays of shape (row,)."""

    files: NDArray[np.int64]
    """Number of the shard; -1 where there is none, or no byte range that can be."""
    firsts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    shown: NDArray[np.bool_]
    """Whether every browser shows it, by its media type."""


def columns_of(
    collection: Mapping[str, Any],
    tables: Iterable[pa.Table],
    where: str,
    *,
    files: ItemFiles = "json",
) -> Columns:
    """The columns of a collection.

    Args:
        collection: the Collection as JSON.
        tables: its rows in the order of ``items.parquet``, in parts.
        where: place of that file, which messages name.
        files: how the tree shows the Items.

    Raises:
        BadCatalogError: the rows are no Items.
    """
    import pyarrow as pa

    try:
        return _columns_of(collection, tables, where, files)
    except BadCatalogError as error:
        raise BadCatalogError(f"{where}: {error}; build the collection again") from error
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BadCatalogError(
            f"{where}: its rows are no Items ({reason:.200}); build the collection again"
        ) from error


def _columns_of(
    collection: Mapping[str, Any], tables: Iterable[pa.Table], where: str, files: ItemFiles
) -> Columns:
    table_of_classes = collection.get("summaries", {}).get("classification:classes", ())
    classes = Codes(row["name"] for row in table_of_classes)
    concepts, splits, countries, nodes, shards = Codes(), Codes(), Codes(), Codes(), Codes()
    kinds: dict[Kind, int] = {}
    assets: dict[str, Json] = {}
    ids: list[str] = []
    parts: dict[str, list[NDArray[np.int64]]] = {}

    def add(name: str, values: NDArray[np.int64]) -> None:
        parts.setdefault(name, []).append(values)

    for table in tables:
        if not len(table):
            continue
        ids += table["id"].to_pylist()
        for name, codes in (("class", classes), ("concept", concepts)):
            lengths, flat = _listed(table, f"satimnet:{name}{'e' * (name == 'class')}s", codes)
            add(f"{name}_counts", lengths)
            add("classes" if name == "class" else "concepts", flat)
        add("splits", splits.of(_texts(table, "satimnet:split")) + 1)
        add("countries", countries.of(_texts(table, "satimnet:country")) + 1)
        add("days", _days(table))
        add("nodes", nodes.of(_nodes(table)))
        for name, values in zip(("widths", "heights"), _sizes(table), strict=True):
            add(name, values)
        for name, values in zip(("wests", "souths", "spans_x", "spans_y"), _boxes(table)):
            add(name, values)
        found = _pictures(table, shards, kinds, assets, parts["widths"][-1], parts["heights"][-1])
        for name, values in found.items():
            add(name, values)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    if len(ids) != len(set(ids)):
        raise BadCatalogError("an id is there twice")
    header: Json = {
        "format": FORMAT,
        "collection": collection["id"],
        "items": len(ids),
        "items_as": files,
        "page_size": PAGE_SIZE,
        "classes": list(classes.known),
        "concepts": list(concepts.known),
        "splits": list(splits.known),
        "countries": list(countries.known),
        "nodes": list(nodes.known),
        "shards": list(shards.known),
        "kinds": [{"assets": list(there), "bands": list(bands)} for there, bands in kinds],
        "assets": assets,
        "without_place": int((whole["wests"] == NONE).sum()) if ids else 0,
    }
    return Columns(header, ids, whole)


def packed_columns(columns: Columns, where: str) -> tuple[Json, bytes]:
    """Header and data file of columns, but for what the header says of the index.

    Raises:
        BadCatalogError: a number is too large to be told; ``where`` names the file.
    """
    values = columns.values
    units: dict[str, int] = {}
    streams: dict[str, tuple[str, bytes, int]] = {}
    for name, array in values.items():
        if name.endswith("_firsts"):
            units[name] = _UNIT if not (array % _UNIT).any() else 1
            array = array // units[name]
        if len(array) and (array.max() >= 2**32 or array.min() < -(2**31)):
            raise BadCatalogError(f"{where}: {name} up to {array.max()}; build smaller shards")
        small = name in _CODED
        kind, stream = small_numbers(array) if small else numbers(array)
        streams[name] = (kind, stream, len(array))
    kind, stream = names(columns.ids, where)
    streams["ids"] = (kind, stream, len(columns.ids))
    order = [name for name in _FIRST_SCREEN if name in streams]
    order += sorted(streams.keys() - set(order))
    data, described = bytearray(), {}
    for name in order:
        kind, stream, count = streams[name]
        described[name] = {"kind": kind, "first": len(data), "size": len(stream), "count": count}
        if name in units:
            described[name]["unit"] = units[name]
        data += stream
        if name in _FIRST_SCREEN:
            first_screen = len(data)
    header = {
        **columns.header,
        "data": {"href": f"./{DATA_NAME}", "size": len(data), "first_screen": first_screen},
        "columns": described,
    }
    return header, bytes(data)


_CODED = {"class_counts", "classes", "concept_counts", "concepts", "splits", "countries", "kinds"}
_CODED |= {"nodes", "picture_files", "preview_files"}


def write_columns(
    collection: Mapping[str, Any],
    tables: Iterable[pa.Table],
    folder: Path,
    parquet: Path,
    files: ItemFiles,
) -> None:
    """Writes ``explorer.json`` and ``explorer.bin`` of a version that is being built.

    Args:
        collection: the Collection as JSON.
        tables: its rows.
        folder: where they are written.
        parquet: its ``items.parquet``.
        files: how the tree shows the Items.

    Raises:
        BadCatalogError: the rows cannot be told in columns.
    """
    with parquet.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    header, data = packed_columns(
        columns_of(collection, _joined(tables), str(parquet), files=files), str(parquet)
    )
    (folder / DATA_NAME).write_bytes(data)
    (folder / HEADER_NAME).write_bytes(
        json_bytes(header | {"index": index_of(parquet.name, parquet.stat().st_size, digest)})
    )


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows that are read, those of small shards together: a look at each takes its time."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for table in tables:
        table = table.select([n for n in table.column_names if n == "assets" or n in ROW_COLUMNS])
        if waiting and sum(map(len, waiting)) + len(table) > _FEW_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def index_of(name: str, size: int, digest: str) -> Json:
    """What a header says of the index that its columns are of."""
    return {"href": f"./{name}", "size": size, "sha256": digest}


# --- columns of rows ----------------------------------------------------------------------------


def _column(table: pa.Table, name: str) -> pa.Array | None:
    return table[name].combine_chunks() if name in table.column_names else None


def _texts(table: pa.Table, name: str) -> pa.Array:
    import pyarrow as pa

    column = _column(table, name)
    return pa.nulls(len(table)) if column is None else column


def _listed(
    table: pa.Table, name: str, codes: Codes
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many values each row has, and the codes of all of them one after another."""
    import pyarrow.compute as pc

    column = _column(table, name)
    if column is None:
        return np.zeros(len(table), np.int64), np.zeros(0, np.int64)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    flat = codes.of(pc.list_flatten(column))
    if (len(lengths) and lengths.max() >= 2**16) or (flat < 0).any():
        raise BadCatalogError(f"{name} has a null, or too many values in an Item")
    return lengths.astype(np.int64), flat


def _days(table: pa.Table) -> NDArray[np.int64]:
    """Days since 1970 of the Items that have a time."""
    import pyarrow as pa

    column = _column(table, "datetime")
    if column is None or not pa.types.is_timestamp(column.type):
        return np.full(len(table), NONE, np.int64)
    per_day = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit] * 86_400
    counts = column.cast(pa.int64())
    days = counts.fill_null(0).to_numpy(zero_copy_only=False) // per_day
    known = ~counts.is_null().to_numpy(zero_copy_only=False) & (np.abs(days) < 10**7)
    return np.where(known, days, NONE).astype(np.int64)


def _nodes(table: pa.Table) -> pa.Array:
    """Of each row the folder of its Item's file, relative to that of the collection."""
    import pyarrow as pa
    import pyarrow.compute as pc

    links = _column(table, "links")
    if links is None:
        return pa.array([""] * len(table))
    flat = links.flatten()
    parent = pc.equal(pc.struct_field(flat, "rel"), "parent").fill_null(False)
    rows = pc.list_parent_indices(links).filter(parent).to_numpy(zero_copy_only=False)
    encoded = pc.struct_field(flat, "href").filter(parent).dictionary_encode()
    nodes = ["", *map(_node, encoded.dictionary.to_pylist())]
    found = np.zeros(len(table), np.int64)
    found[rows] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
    return pa.array(nodes, pa.string()).take(pa.array(found))


def _node(href: str | None) -> str:
    folder = (href or "").removeprefix("./").rpartition("/")[0]
    return "" if ":" in folder or ".." in folder.split("/") else folder


def _sizes(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Width and height of each row's image in pixels; 0 where it is not known."""
    wide, high = _column(table, "satimnet:columns"), _column(table, "satimnet:rows")
    if wide is None or high is None:
        shapes = _column(table, "proj:shape")
        pairs = [None] * len(table) if shapes is None else shapes.to_pylist()
        both = np.array([p if p and len(p) == 2 and None not in p else (0, 0) for p in pairs])
        high_, wide_ = both.reshape(-1, 2).T.astype(np.int64)
    else:
        wide_, high_ = (
            x.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) for x in (wide, high)
        )
    fine = (wide_ > 0) & (high_ > 0) & (wide_ < _ITEM_SIDE) & (high_ < _ITEM_SIDE)
    return np.where(fine, wide_, 0), np.where(fine, high_, 0)


def _boxes(table: pa.Table) -> list[NDArray[np.int64]]:
    """West, south, width and height of each row in millionths of a degree."""
    import pyarrow.compute as pc

    column = _column(table, "bbox")
    if column is None:
        return [np.full(len(table), NONE, np.int64) for _ in range(4)]
    sides = [
        pc.struct_field(column, name).to_numpy(zero_copy_only=False).astype(float)
        for name in ("xmin", "ymin", "xmax", "ymax")
    ]
    west, south, east, north = sides
    with np.errstate(invalid="ignore"):
        fine = (np.abs(west) <= 180) & (np.abs(east) <= 180)
        fine &= (np.abs(south) <= 90) & (np.abs(north) <= 90) & (south <= north)
        across = np.where(east < west, east - west + 360, east - west)
    found = (west, south, across, north - south)
    return [
        np.where(fine, np.rint(np.where(fine, side, 0) * _DEGREE), NONE).astype(np.int64)
        for side in found
    ]


# --- pictures -----------------------------------------------------------------------------------


def image_keys(assets: pa.StructArray) -> list[str]:
    """Keys of the assets that are images to look at: those with bands that are no mask.

    Visual ones, which are pictures already, come first.
    """
    keyed = {}
    for field_ in assets.type:
        if not {"bands", "archive", "href"} <= {inner.name for inner in field_.type}:
            continue
        roles = _roles(assets, field_.name)
        if roles is not None and "mask" not in roles:
            keyed[field_.name] = "visual" not in roles
    return sorted(keyed, key=lambda key: keyed[key])


def _roles(assets: pa.StructArray, key: str) -> list[str] | None:
    """The roles of the first asset with this key that has bands; None if there is none."""
    import pyarrow.compute as pc

    bands = pc.struct_field(assets, [key, "bands"])
    at = np.flatnonzero(bands.is_valid().to_numpy(zero_copy_only=False))
    if not len(at):
        return None
    if "roles" not in {inner.name for inner in assets.type.field(key).type}:
        return []
    return pc.struct_field(assets, [key, "roles"])[int(at[0])].as_py() or []


def members_of(assets: pa.StructArray, key: str, shards: Codes) -> Members:
    """The first files of an asset's archives."""
    import pyarrow as pa
    import pyarrow.compute as pc

    archives = pc.struct_field(assets, [key, "archive"])
    count = len(archives)
    files = np.full(count, -1, np.int64)
    firsts, sizes = np.zeros(count, np.int64), np.zeros(count, np.int64)
    shown = np.zeros(count, bool)
    has = pc.list_value_length(archives).fill_null(0).to_numpy(zero_copy_only=False) > 0
    rows = np.flatnonzero(has)
    if not len(rows):
        return Members(files, firsts, sizes, shown)
    kept = archives.filter(has)
    entries = kept.flatten().take(_first_of_each(kept))
    hrefs = pc.struct_field(assets, [key, "href"]).filter(has)
    spans = pc.struct_field(entries, "range")
    pairs = pc.list_value_length(spans).fill_null(0).to_numpy(zero_copy_only=False) == 2
    flat = spans.filter(pairs).flatten()
    if flat.null_count:
        raise BadCatalogError(f"a byte range of {key} has a null")
    both = flat.to_numpy(zero_copy_only=False).reshape(-1, 2)
    first, last = np.zeros(len(rows), np.int64), np.full(len(rows), -1, np.int64)
    first[pairs], last[pairs] = both[:, 0], both[:, 1]
    codes = shards.of(hrefs)
    fine = (first >= 0) & (last >= first) & (last < _FARTHEST) & (codes >= 0)
    fine &= last - first < 2**31
    files[rows] = np.where(fine, codes, -1)
    firsts[rows] = np.where(fine, first, 0)
    sizes[rows] = np.where(fine, last - first + 1, 0)
    types = pc.is_in(pc.struct_field(entries, "type"), pa.array(SHOWN))
    shown[rows] = types.to_numpy(zero_copy_only=False)
    return Members(files, firsts, sizes, shown)


def _first_of_each(lists: pa.ListArray) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return pa.array(np.cumsum(lengths) - lengths, pa.int64())


def _pictures(
    table: pa.Table,
    shards: Codes,
    kinds: dict[Kind, int],
    known: dict[str, Json],
    widths: NDArray[np.int64],
    heights: NDArray[np.int64],
) -> dict[str, NDArray[np.int64]]:
    """Of each row the image that a browser shows, as a member, and which assets there are."""
    import pyarrow.compute as pc

    count = len(table)
    files, firsts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    sizes = np.zeros(count, np.int64)
    assets = table["assets"].combine_chunks()
    small = (widths <= MOST_SIDE) & (heights <= MOST_SIDE)
    for key in image_keys(assets):
        members = members_of(assets, key, shards)
        taken = (sizes == 0) & (members.files >= 0) & members.shown
        taken &= small & (members.sizes <= MOST_BYTES)
        files[taken], firsts[taken] = members.files[taken], members.firsts[taken]
        sizes[taken] = members.sizes[taken]
    present, numbers = [], []
    for field_ in assets.type:
        there = pc.struct_field(assets, [field_.name, "href"]).is_valid()
        present.append(there.to_numpy(zero_copy_only=False))
        if field_.name not in known and present[-1].any():
            known[field_.name] = _described(assets, field_.name)
        numbers.append(np.where(present[-1], _lengths(assets, field_, "bands"), 0))
    told = np.stack([*present, *numbers], axis=1).astype(np.int64)
    if (told == told[0]).all():  # as nearly always, and soon seen
        sets, codes = told[:1], np.zeros(count, np.int64)
    else:
        sets, codes = np.unique(told, axis=0, return_inverse=True)
    keys = [field_.name for field_ in assets.type]
    numbered = [kinds.setdefault(_kind(keys, row, known), len(kinds)) for row in sets.tolist()]
    return {
        "kinds": np.array(numbered, np.int64)[codes.reshape(-1)],
        "picture_files": files,
        "picture_firsts": firsts,
        "picture_sizes": sizes,
    }


def _lengths(assets: pa.StructArray, field_: pa.Field, name: str) -> NDArray[np.int64]:
    """How many values each row has in a list of an asset."""
    import pyarrow.compute as pc

    if name not in {inner.name for inner in field_.type}:
        return np.zeros(len(assets), np.int64)
    lengths = pc.list_value_length(pc.struct_field(assets, [field_.name, name])).fill_null(0)
    found: NDArray[np.int64] = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _kind(keys: Sequence[str], row: Sequence[int], known: Mapping[str, Json]) -> Kind:
    """The assets of an Item, and how many bands its images have, as searches count them."""
    there = tuple(key for key, is_there in zip(keys, row, strict=False) if is_there)
    lengths = dict(zip(keys, row[len(keys) :], strict=True))
    images = [key for key in there if "mask" not in (known[key]["roles"] or ())]
    return there, tuple(band_counts([lengths[key] for key in images if lengths[key]]))


def _described(assets: pa.StructArray, key: str) -> Json:
    """What the header says of assets with a key: their bands and roles."""
    import pyarrow.compute as pc

    there = pc.struct_field(assets, [key, "href"]).is_valid().to_numpy(zero_copy_only=False)
    row = int(np.flatnonzero(there)[0])
    asset = pc.struct_field(assets, [key])[row].as_py()
    bands: Sequence[Mapping[str, Any]] = asset.get("bands") or ()
    return {"bands": [str(band.get("name", "")) for band in bands], "roles": asset.get("roles")}
