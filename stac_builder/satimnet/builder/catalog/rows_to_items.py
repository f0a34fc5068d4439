"""Items of the rows of an ``items.parquet``, which `catalog.geoparquet` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from satimnet.builder.catalog.checked_documents import is_version, require_texts
from satimnet.builder.catalog.items import Item
from satimnet.builder.errors import BadCatalogError, SatimnetError
from satimnet.builder.storage.hrefs import is_href, join

if TYPE_CHECKING:
    import pyarrow as pa

_TOP_LEVEL = {"type", "stac_version", "stac_extensions", "id", "collection"}
_TOP_LEVEL |= {"geometry", "bbox", "links", "assets"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}  # datetime has no nanoseconds


def items_of(table: pa.Table, base: str, resolve: Callable[[str, str], str] = join) -> list[Item]:
    """The Items of rows as read from ``items.parquet``, hrefs made absolute against ``base``.

    ``base`` is the path or URL of the parquet file. A null means that the Item lacks the field,
    but for ``geometry`` and ``datetime``, which must always be there. ``resolve`` makes the place
    of an asset's href; rows that `Index.rows` gave point to nowhere that they may not.

    Raises:
        BadCatalogError: the rows are no Items.
        SatimnetError: as ``resolve``.
    """
    import shapely

    properties = [n for n in table.column_names if n not in _TOP_LEVEL]
    try:
        require_texts(table, base)
        rows = _rows_of(table)
        wkb = np.array([row["geometry"] for row in rows], dtype=object)
        shapes = [
            shape and json.loads(shapely.to_geojson(shape)) for shape in shapely.from_wkb(wkb)
        ]
        return [
            _item(row, shape, properties, base, resolve)
            for row, shape in zip(rows, shapes, strict=True)
        ]
    except SatimnetError:  # some are ValueErrors, too
        raise
    except (KeyError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        # values that are no times, no text or no geometries, and columns that are not there
        reason = " ".join(str(error).split())
        raise BadCatalogError(
            f"{base}: its rows are no Items ({reason:.200}); build the collection again"
        ) from error


def _rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """The rows with instants as RFC 3339 text.

    Arrow would import pandas for the first instant, which takes longer than a search.
    """
    import pyarrow as pa

    units = {}
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz and field.type.unit in _PER_SECOND:
            units[field.name] = _PER_SECOND[field.type.unit]
            table = table.set_column(at, field.name, table[field.name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name, per_second in units.items():
            if row[name] is not None:
                row[name] = _instant(row[name], per_second)
    return rows


@lru_cache(1024)
def _instant(count: int, per_second: int) -> str:
    """The text of a time given as a number since 1970."""
    return _time_text(_EPOCH + timedelta(microseconds=count * (1_000_000 // per_second)))


def _time_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _item(
    row: Mapping[str, Any],
    shape: Any,
    properties: Sequence[str],
    base: str,
    resolve: Callable[[str, str], str],
) -> Item:
    item: Item = {
        "type": row["type"],
        "stac_version": row["stac_version"],
        "stac_extensions": _plain(row.get("stac_extensions") or []),
        "id": row["id"],
        "geometry": shape,
        "properties": {"datetime": None}
        | {n: _plain(row[n]) for n in properties if row[n] is not None},
        "links": _placed(row, _plain(row["links"] or []), base, join),
        "assets": {},
        "collection": row["collection"],
    }
    if any("rel" not in link for link in item["links"]):
        raise BadCatalogError(
            f"{base}: a link of {row['id']} has no rel; build the collection again"
        )
    assets = _plain(row["assets"] or {})
    item["assets"] = dict(zip(assets, _placed(row, assets.values(), base, resolve), strict=True))
    if row["bbox"] is not None:
        item["bbox"] = _plain(list(row["bbox"].values()))
        if None in item["bbox"]:
            raise BadCatalogError(
                f"{base}: the bbox of {row['id']} lacks a number; build the collection again"
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


def _placed(
    row: Mapping[str, Any],
    entries: Iterable[Any],
    base: str,
    resolve: Callable[[str, str], str],
) -> list[Any]:
    """Links or assets with absolute hrefs."""
    placed = []
    for entry in entries:
        if entry is None or "href" not in entry:
            raise BadCatalogError(
                f"{base}: a link or an asset of {row['id']} has no href; build the collection again"
            )
        if None in entry.get("bands", ()):
            raise BadCatalogError(
                f"{base}: an asset of {row['id']} has a band that is null; "
                "build the collection again"
            )
        for member in entry.get("archive", ()):
            if member is None or "href" not in member or not _is_range(member.get("range")):
                raise BadCatalogError(
                    f"{base}: an asset of {row['id']} has a member without a name, or with the "
                    "wrong byte range; build the collection again"
                )
        if not is_href(entry["href"]):
            raise BadCatalogError(
                f"{base}: a link or an asset of {row['id']} points to "
                f"{entry['href']:.200}, which is no path and no URL; build the collection again"
            )
        placed.append(entry | {"href": resolve(entry["href"], base)})
    return placed


def _is_range(value: Any) -> bool:
    """Whether it is a first and a last byte, or unknown."""
    match value:
        case None:
            return True
        case [int(first), int(last)]:
            return 0 <= first <= last + 1
    return False


def _plain(value: Any) -> Any:
    """The value as JSON has it: absent instead of null, times as RFC 3339 text."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
