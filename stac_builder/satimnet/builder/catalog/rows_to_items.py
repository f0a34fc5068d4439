"""Items of the rows of an ``items.parquet``, which `catalog.geoparquet` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from satimnet.builder.catalog.checked_documents import is_version, require_texts
from satimnet.builder.catalog.json_values import json_objects, json_values
from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.storage.hrefs import is_href, join

if TYPE_CHECKING:
    import pyarrow as pa

    from satimnet.builder.catalog.items import Item

_TOP_LEVEL = {"type", "stac_version", "stac_extensions", "id", "collection"}
_TOP_LEVEL |= {"geometry", "bbox", "links", "assets"}


def items_of(table: pa.Table, base: str, resolve: Callable[[str, str], str] = join) -> list[Item]:
    """The Items of rows as read from ``items.parquet``, hrefs made absolute against ``base``.

    ``base`` is the path or URL of the parquet file. A null means that the Item lacks the field,
    but for ``geometry`` and ``datetime``, which must always be there. ``resolve`` makes the place
    of an asset's href, asked once for each; rows that `Index.rows` gave point to nowhere that they
    may not.

    Raises:
        BadCatalogError: the rows are no Items.
        SatimnetError: as ``resolve``.
    """
    import shapely

    try:
        require_texts(table, base)
        links, assets = _Places(base, join), _Places(base, resolve)
        return [
            _item(row, links, assets)
            for batch in table.combine_chunks().to_batches()
            for row in _rows(dict(zip(batch.schema.names, batch.columns, strict=True)))
        ]
    except SatimnetError:  # some are ValueErrors, too
        raise
    except (KeyError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        # values that are no times, no text or no geometries, and columns that are not there
        reason = " ".join(str(error).split())
        raise BadCatalogError(
            f"{base}: its rows are no Items ({reason:.200}); build the collection again"
        ) from error


def _rows(columns: Mapping[str, pa.Array]) -> Iterable[Item]:
    """The Items as their rows say them, not checked, with the box as a list that may have None."""
    names = ("type", "stac_version", "id", "geometry", "links", "assets", "collection", "bbox")
    head = {name: columns[name] for name in names}
    rows = len(head["id"])
    extensions = columns.get("stac_extensions")
    yield from (
        {
            "type": type_,
            "stac_version": version,
            "stac_extensions": said or [],
            "id": id_,
            "geometry": geometry,
            "properties": properties,
            "links": links or [],
            "assets": assets or {},
            "collection": collection,
            "bbox": box,
        }
        for type_, version, said, id_, geometry, properties, links, assets, collection, box in zip(
            json_values(head["type"]),
            json_values(head["stac_version"]),
            [None] * rows if extensions is None else json_values(extensions),
            json_values(head["id"]),
            _geometries(head["geometry"]),
            _properties(columns, rows),
            json_values(head["links"]),
            json_values(head["assets"]),
            json_values(head["collection"]),
            _boxes(head["bbox"]),
            strict=True,
        )
    )


def _properties(columns: Mapping[str, pa.Array], rows: int) -> list[dict[str, Any]]:
    own = {name: column for name, column in columns.items() if name not in _TOP_LEVEL}
    found = json_objects(own, own.values(), rows)
    return [{"datetime": None} | properties for properties in found]


def _geometries(column: pa.Array) -> list[Any]:
    import shapely

    wkb = np.array(column.to_pylist(), dtype=object)
    texts = shapely.to_geojson(shapely.from_wkb(wkb))
    return [None if text is None else orjson.loads(text) for text in texts.tolist()]


def _boxes(column: pa.Array) -> list[list[Any] | None]:
    """Of each row the numbers, None where one is missing; None without a box."""
    if column.null_count == len(column):
        return [None] * len(column)
    numbers = zip(*map(json_values, column.flatten()), strict=True)
    present = column.is_valid().to_pylist()
    return [list(box) if there else None for box, there in zip(numbers, present, strict=True)]


class _Places:
    """What hrefs in the file at ``base`` mean: the same few occur again and again."""

    def __init__(self, base: str, resolve: Callable[[str, str], str]) -> None:
        self.base = base
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def settle(self, entries: Iterable[Any], id_: str) -> None:
        """Makes the hrefs of an Item's links or assets absolute.

        Raises:
            BadCatalogError: one is no link or asset.
        """
        for entry in entries:
            if entry is None or "href" not in entry:
                raise self._error(f"a link or an asset of {id_} has no href")
            if "bands" in entry and None in entry["bands"]:
                raise self._error(f"an asset of {id_} has a band that is null")
            for member in entry.get("archive", ()):
                if member is None or "href" not in member or not _is_range(member.get("range")):
                    raise self._error(
                        f"an asset of {id_} has a member without a name, or with the wrong byte "
                        "range"
                    )
            href = entry["href"]
            place = self._known.get(href)
            if place is None:
                if not is_href(href):
                    raise self._error(
                        f"a link or an asset of {id_} points to {href:.200}, which is no path and "
                        "no URL"
                    )
                place = self._known[href] = self._resolve(href, self.base)
            entry["href"] = place

    def _error(self, what: str) -> BadCatalogError:
        return BadCatalogError(f"{self.base}: {what}; build the collection again")


def _item(item: Item, links: _Places, assets: _Places) -> Item:
    """The Item, checked, with absolute hrefs."""
    base, id_ = links.base, item["id"]
    links.settle(item["links"], id_)
    if any("rel" not in link for link in item["links"]):
        raise BadCatalogError(f"{base}: a link of {id_} has no rel; build the collection again")
    assets.settle(item["assets"].values(), id_)
    if item["bbox"] is None:
        del item["bbox"]
    elif None in item["bbox"]:
        raise BadCatalogError(
            f"{base}: the bbox of {id_} lacks a number; build the collection again"
        )
    for name in ("type", "stac_version", "id", "collection"):
        if not isinstance(item[name], str):
            raise BadCatalogError(f"{base}: an Item has no {name}; build the collection again")
    if item["type"] != "Feature" or not is_version(item["stac_version"]):
        raise BadCatalogError(
            f"{base}: {item['id']} is a {item['type']:.80} of STAC {item['stac_version']:.80}; "
            "an Item is a Feature of STAC 1; build the collection again"
        )
    return item


def _is_range(value: Any) -> bool:
    """Whether it is a first and a last byte, or unknown."""
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != 2:
        return False
    first, last = value
    return isinstance(first, int) and isinstance(last, int) and 0 <= first <= last + 1
