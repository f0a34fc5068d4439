"""All Items of a catalog: as objects, by the client of pystac, and as dicts, by a search."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.building import catalog_of
from benchmarks.data import REAL, Data
from benchmarks.table import Row
from benchmarks.timing import Contender, race
from satimnet.builder import open as open_catalog
from satimnet.builder import search

_CONTRACT = 1 / 3
_WHOLE = 2_700
"""Files of each edition from which on the real catalog is taken, where it is there."""


def searching_rows(data: Data, rounds: int) -> Iterator[Row]:
    """One row. The catalog is that of all real EuroSAT samples, unless few files are wanted."""
    catalog = data.folder / "searched"
    whole = REAL.is_dir() and len(data.tiffs) >= _WHOLE
    catalog_of(REAL if whole else data.jpeg_source, catalog)
    client = open_catalog(catalog)
    _require_same(
        [item.to_dict() for item in client.search(max_items=500).items()],
        list(search(catalog, limit=500)),
    )
    contenders = {
        "client": Contender(lambda: sum(1 for _ in client.search().items())),
        "search": Contender(lambda: sum(1 for _ in search(catalog))),
    }
    laps = race(contenders, rounds)
    what = f"client.search of {laps['client'][0].count:,}: Items"
    yield Row(what, "builder.search", laps["client"], laps["search"], _CONTRACT)


def _require_same(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> None:
    """Both must give the same Items; pystac adds titles to links, and sorts in its own way."""
    for one, other in zip(ours, theirs, strict=True):
        for key in (one.keys() | other.keys()) - {"links"}:
            if one.get(key) != other.get(key):
                raise AssertionError(f"{other['id']}: the client gives another {key}")
