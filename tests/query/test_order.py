"""Items come in the order of their files, however many of them are asked for."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mini_catalog import COLLECTION, item_table

from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search

ROWS = 40_000
NUMBERS = {name: np.random.default_rng(seed).permutation(ROWS) for seed, name in enumerate("ab")}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalog")
    for name, numbers in NUMBERS.items():
        (folder / name).mkdir()
        assets = {"mirror": {"href": "./items.parquet", "roles": ["collection-mirror"]}}
        document = COLLECTION | {"type": "Collection", "id": name, "assets": assets}
        (folder / name / "collection.json").write_text(json.dumps(document))
        rows = [
            {"type": "Feature", "stac_version": "1.1.0", "id": f"{name}{at}", "collection": name}
            for at in range(ROWS)
        ]
        kinds = {"id": pa.string(), "collection": pa.string()}
        table = item_table([{k: row[k] for k in kinds} for row in rows], kinds)
        table = table.append_column("number", pa.array(numbers))
        pq.write_table(table, folder / name / "items.parquet", row_group_size=700)
    links = [{"rel": "child", "href": f"./{name}/collection.json"} for name in NUMBERS]
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    return Index(folder)


@pytest.mark.parametrize("most", [5, 800, 20_000, ROWS])
@pytest.mark.parametrize("limit", [None, 0, 1, 100, 7_000, 50_000])
def test_rows_come_in_the_order_of_their_files(index, most, limit):
    found = search(index, filter=f"number < {most}", limit=limit)
    wanted = [(name, at) for name, own in NUMBERS.items() for at in np.flatnonzero(own < most)]
    numbers = found.numbers()
    assert [(name, at) for name, own in numbers.items() for at in own] == wanted[:limit]
    facets = search(index, filter=f"number < {most}", limit=limit).facets(["collection"])
    counts = {name: len(own) for name, own in numbers.items() if len(own)}
    assert facets == {"collection": counts}


@pytest.mark.parametrize("values", [2, 7, 40, 9_000])
@pytest.mark.parametrize("limit", [None, 5, 3_000])
def test_rows_of_listed_values_come_in_that_order(index, values, limit):
    """DuckDB makes a join of a list, which keeps no order."""
    wanted = [f"{name}{at}" for name in NUMBERS for at in range(0, 4 * values, 4)]
    found = search(index, ids=wanted[::-1], limit=limit, fields="id")
    assert [item["id"] for item in found] == wanted[:limit]


def test_sorted_rows_come_in_that_order(index):
    found = search(index, filter="number < 3000", sortby="-number", limit=3)
    assert [item["id"] for item in found] == [
        f"{name}{np.flatnonzero(NUMBERS[name] == number)[0]}"
        for number, name in ((2999, "a"), (2999, "b"), (2998, "a"))
    ]
