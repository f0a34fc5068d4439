"""What a split needs to know of all Items of a catalog, read from ``items.parquet`` as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import require_texts
from satimnet.builder.errors import ArgumentError, BadCatalogError, SatimnetError
from satimnet.builder.query.index import Index, IndexedCollection
from satimnet.builder.storage.hrefs import join
from satimnet.builder.storage.parquet_files import parquet_file

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_BOX = ("xmin", "ymin", "xmax", "ymax")
_CHILD_OF_NODE = ("catalog.json", "collection.json")  # where Items have no files of their own
_CHIP_OF = "chip:item"
"""The property of a chip that names the Item of ``satimnet:source`` that it was cut of."""
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """Columns of all Items, those of the first collection first; one number stands for an Item."""

    collections: tuple[str, ...]
    first: NDArray[np.int64]
    """Number of the first Item of each collection, and of all Items at the end."""
    ids: pa.ChunkedArray
    centres: NDArray[np.float64]
    """Longitude and latitude, NaN where there is no place; (item, lonlat)."""
    outlines: pa.ChunkedArray
    """Well-known binary, or null."""
    seconds: NDArray[np.float64]
    """When the image was taken, since 1970, or NaN."""
    values: pa.ChunkedArray
    """What the Items are grouped by, as text or null; all null where no property was asked for."""
    origins: NDArray[np.int64]
    """A number for each Item that others were derived from, -1 of those that were not; (item)."""
    class_items: NDArray[np.int64]
    """Items with a class, once for each of them."""
    class_codes: NDArray[np.int64]
    """Which class that is, an index into `class_names`."""
    class_names: tuple[tuple[str, str], ...]
    """Collection and class; classes of two collections are not the same."""

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def homes(self) -> NDArray[np.int64]:
        """The number of the collection of each Item."""
        return np.repeat(np.arange(len(self.collections)), np.diff(self.first))


def read_facts(index: Index, collections: Sequence[str] | None, property_: str | None) -> ItemFacts:
    """Reads the columns.

    Args:
        index: the open catalog.
        collections: ids of the collections to divide; None is all that can be read.
        property_: the property that Items are grouped by, if they are.

    Raises:
        NotFoundError: no such collection.
        ArgumentError: no collection has the property, or it is no plain value.
        BadCatalogError: a file cannot be understood.
        StorageError: a file cannot be read.
    """
    import pyarrow as pa

    names = index.readable(collections)
    kinds = index.kinds(names)
    if property_ is not None and kinds.get(property_) not in ("text", "number", "time", "boolean"):
        known = ", ".join(name for name, kind in sorted(kinds.items()) if kind == "text")
        raise ArgumentError(
            f"property {property_:.100}: no collection has it as a plain value; there are, among "
            f"others: {known}",
            "property",
        )
    tables = [_columns(index.collections[name], property_) for name in names]
    first = np.cumsum([0, *map(len, tables)])
    if not first[-1]:
        raise ArgumentError(f"{index.href}: has no Items to divide", "catalog")
    whole = pa.concat_tables(tables)
    class_names, class_items, class_codes = _classes(names, tables, first)
    return ItemFacts(
        tuple(names),
        first,
        whole["id"],
        np.column_stack([whole["lon"].to_numpy(), whole["lat"].to_numpy()]),
        whole["geometry"],
        whole["seconds"].to_numpy(),
        whole["value"],
        _origins(index, names, tables),
        class_items,
        class_codes,
        class_names,
    )


def _columns(collection: IndexedCollection, property_: str | None) -> pa.Table:
    """The columns of a collection, each of the same type in all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    derived = any(True for _ in collection.document.links("derived_from")) or (
        collection.document.recipe_digest is not None
    )
    wanted = ["id", "geometry", "bbox", "datetime", "satimnet:classes"]
    wanted += ["satimnet:source", _CHIP_OF, "links"] if derived else []
    wanted += [property_] if property_ is not None else []
    try:
        parts = []
        for place in collection.places:
            with parquet_file(place) as file:
                there = set(file.schema_arrow.names)
                parts.append(file.read([name for name in dict.fromkeys(wanted) if name in there]))
        table = pa.concat_tables(parts)
        require_texts(table, collection.parquet)
        count = len(table)

        def column(name: str, type_: pa.DataType) -> Any:
            if name not in table.column_names:
                return pa.chunked_array([pa.nulls(count, type_)])
            found = table[name]
            return found if found.type == type_ else found.cast(type_)

        lon, lat = _centres(table)
        times = column("datetime", pa.timestamp("us", "UTC")).cast(pa.int64())
        seconds = pc.divide(pc.fill_null(times.cast(pa.float64()), np.nan), float(_MICROSECONDS))
        return pa.table(
            {
                "id": column("id", pa.string()),
                "geometry": column("geometry", pa.binary()),
                "lon": pa.array(lon),
                "lat": pa.array(lat),
                "seconds": seconds,
                "classes": column("satimnet:classes", pa.list_(pa.string())),
                "value": column(property_ or "", pa.string()),
                "source": column("satimnet:source", pa.string()),
                "chip": column(_CHIP_OF, pa.string()),
                "origin": _derived_from(table),
            }
        )
    except SatimnetError:
        raise
    except (OSError, LookupError, TypeError, ValueError, pa.ArrowException) as error:
        raise BadCatalogError(
            f"{collection.parquet}: cannot be understood ({error!s:.200}); validate the catalog"
        ) from error


def _centres(table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes of the middles of the boxes, NaN where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "bbox" not in table.column_names or not pa.types.is_struct(table["bbox"].type):
        nothing = np.full(len(table), np.nan)
        return nothing, nothing
    west, south, east, north = (
        pc.fill_null(pc.struct_field(table["bbox"], key).cast(pa.float64()), np.nan).to_numpy()
        for key in _BOX
    )
    east = np.where(east < west, east + 360, east)  # across the antimeridian
    lon, lat = (west + east) / 2, (south + north) / 2
    wrong = ~(np.isfinite(lon) & (np.abs(lat) <= 90))
    return np.where(wrong, np.nan, (lon + 180) % 360 - 180), np.where(wrong, np.nan, lat)


def _derived_from(table: pa.Table) -> pa.Array:
    """The href of the Item that each was derived from, null where that is none."""
    import pyarrow as pa

    if "links" not in table.column_names:
        return pa.nulls(len(table), pa.string())
    found = []
    for links in table["links"].to_pylist():
        hrefs = (one["href"] for one in links or () if one and one.get("rel") == "derived_from")
        href = next((href for href in hrefs if isinstance(href, str)), None)
        own = href is not None and not href.endswith(_CHILD_OF_NODE)
        found.append(href if own else None)
    return pa.array(found, pa.string())


def _classes(
    names: Sequence[str], tables: Sequence[pa.Table], first: NDArray[np.int64]
) -> tuple[tuple[tuple[str, str], ...], NDArray[np.int64], NDArray[np.int64]]:
    import pyarrow.compute as pc

    labels: list[tuple[str, str]] = []
    items, codes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for name, table, start in zip(names, tables, first.tolist()):
        tags = table["classes"].combine_chunks()
        tags = pc.fill_null(tags, []) if tags.null_count else tags
        coded = pc.list_flatten(tags).dictionary_encode()
        parents = np.asarray(pc.list_parent_indices(tags), np.int64)
        known = np.asarray(coded.indices.is_valid())
        items.append(parents[known] + start)
        codes.append(np.asarray(coded.indices.drop_null(), np.int64) + len(labels))
        labels += [(name, tag) for tag in coded.dictionary.to_pylist()]
    return tuple(labels), np.concatenate(items), np.concatenate(codes)


def _origins(index: Index, names: Sequence[str], tables: Sequence[pa.Table]) -> NDArray[np.int64]:
    """Numbers for what Items were derived from; the origin itself has the number, too.

    A fused Item has the id of its collection before the id of its origin, a chip names it, and
    others link it.
    """
    origins: list[NDArray[np.int64]] = []
    numbers: dict[tuple[str, str], int] = {}
    homes = {one.href.rpartition("/")[0] + "/": id_ for id_, one in index.collections.items()}
    for name, table in zip(names, tables):
        own = np.full(len(table), -1, np.int64)
        origins.append(own)
        if table["source"].null_count == len(table) == table["origin"].null_count:
            continue
        parquet = index.collections[name].parquet
        columns = (table[key].to_pylist() for key in ("id", "source", "chip", "origin"))
        for at, (id_, source, chip, href) in enumerate(zip(*columns, strict=True)):
            key = None
            if source is not None and chip is not None:
                key = (source, chip)
            elif source is not None and id_.startswith(f"{source}-"):
                key = (source, id_.removeprefix(f"{source}-"))
            elif href is not None:
                key = _linked(join(href, parquet), homes)
            if key is not None:
                own[at] = numbers.setdefault(key, len(numbers))
    if numbers:
        for name, table, own in zip(names, tables, origins):
            if any(collection == name for collection, _ in numbers):
                for at, id_ in enumerate(table["id"].to_pylist()):
                    if (name, id_) in numbers:
                        own[at] = numbers[name, id_]
    return np.concatenate(origins)


def _linked(place: str, homes: dict[str, str]) -> tuple[str, str]:
    """The collection and the id of the Item at a place; of another catalog's the place alone."""
    for folder, id_ in homes.items():
        if place.startswith(folder):
            return id_, place.rpartition("/")[2].removesuffix(".json")
    return "", place
