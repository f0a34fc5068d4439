"""Items as origins of others: where a row of ``items.parquet`` lies, and what it says of place.

Collections that are derived from others, by a recipe or by chipping, are made of such rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from satimnet.builder.errors import SatimnetError
from satimnet.builder.imagery.grids import Grid
from satimnet.builder.query.index import IndexedCollection
from satimnet.builder.storage.hrefs import is_web, join
from satimnet.builder.storage.objects import exists


def grid_of(row: Mapping[str, Any], asset: str, label: str) -> Grid:
    """The grid of an asset: its own, or else that of its Item."""
    found = row["assets"][asset]
    home = found if found.get("proj:transform") or found.get("proj:shape") else row
    transform = home.get("proj:transform")
    shape = home.get("proj:shape")
    if shape is None:
        raise SatimnetError(f"{label}: its Item has no proj:shape; build the catalog again")
    crs = home.get("proj:code") or home.get("proj:wkt2")
    rows, columns = shape
    if crs is None or transform is None:
        return Grid((rows, columns), None, None)
    return Grid((rows, columns), crs, tuple(transform[:6]))


def origin_of(row: Mapping[str, Any], parquet: str, *, own_files: bool) -> tuple[str, str]:
    """Absolute href and media type of an Item, or of its node where Items have no files."""
    links = row["links"] or ()
    parent = next((link["href"] for link in links if link["rel"] == "parent"), "./collection.json")
    node = join(parent, parquet)
    if own_files:
        return join(f"./{_in_url(row['id'], node)}.json", node), "application/geo+json"
    return node, "application/json"


def _in_url(name: str, base: str) -> str:
    """The name as an href in the file at ``base`` has it."""
    return quote(name) if is_web(base) else name


def have_files(rows: Sequence[Mapping[str, Any]], parquet: str) -> bool:
    """Whether the Items of a collection have files of their own: all of them, or none."""
    if not rows:
        return False
    href, _ = origin_of(rows[0], parquet, own_files=True)
    return exists(href)


def time_text(time: datetime | None) -> str | None:
    """The time of a row as RFC 3339 writes it; None where there is none."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def file_of(home: IndexedCollection, asset: Mapping[str, Any]) -> dict[str, Any]:
    """What `satimnet.builder.storage.assets.read_bytes` needs of an asset of a row.

    Raises:
        SatimnetError: the catalog may not point there.
    """
    where: dict[str, Any] = {"href": home.resolve(asset["href"])}
    if asset.get("archive"):
        entry = asset["archive"][0]
        where["archive"] = [{"href": entry["href"], "range": entry["range"]}]
    return where
