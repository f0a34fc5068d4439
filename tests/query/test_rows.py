"""Rows by their numbers: of files with few and with many rows in a group, by either library."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trial_catalog import write_catalog

from satimnet.builder.catalog.geoparquet import write_parquet
from satimnet.builder.catalog.parquet_writing import PAGED
from satimnet.builder.query.index import Index
from satimnet.builder.query.parquet_rows import is_sparse
from satimnet.builder.query.search import search

COPIES = 40


@pytest.fixture(scope="module", params=["pages of the same rows", "others' pages"])
def large(tmp_path_factory, request):
    """A catalog whose collection eurosat has 40 times as many rows, in two groups."""
    folder = tmp_path_factory.mktemp("large")
    write_catalog(folder)
    path = folder / "eurosat/items.parquet"
    rows = pq.read_table(path)
    tables = []
    for copy in range(COPIES):
        ids = pa.array([f"{name}-{copy}" for name in rows["id"].to_pylist()])
        tables.append(rows.set_column(rows.column_names.index("id"), "id", ids))
    assert write_parquet(tables, {"id": "eurosat"}, path) == [path]
    if request.param == "others' pages":
        whole = pq.read_table(path)
        metadata = {k: v for k, v in whole.schema.metadata.items() if k != PAGED.encode()}
        with pq.ParquetWriter(path, whole.schema.with_metadata(metadata)) as writer:
            writer.write_table(whole.cast(writer.schema), row_group_size=10_240)
    return folder


def numbers(rows, count, span):
    rng = np.random.default_rng(0)
    first = rng.integers(rows - span + 1)
    return first + rng.choice(span, count, replace=False).astype(np.int64)


@pytest.mark.parametrize(("count", "span"), [(1, 1), (7, 900), (300, 15_000), (3000, 4000)])
@pytest.mark.parametrize("assets", [None, ["multispectral"]])
def test_rows_are_those_of_the_file(large, count, span, assets):
    path = large / "eurosat/items.parquet"
    whole = pq.read_table(path)
    wanted = numbers(len(whole), count, span)
    names = ["id", "bbox", "datetime", "assets", "satimnet:classes", "geometry"]
    found = Index(large).rows("eurosat", wanted, names, assets)
    expected = whole.select(names).take(pa.array(wanted))
    if assets is None:
        assert found.schema.equals(expected.schema)
    else:
        keys = expected.schema.field("assets").type.names
        assert found.schema.field("assets").type.names == [k for k in keys if k in assets]
    for name in names:
        if name != "assets" or assets is None:
            assert found[name].to_pylist() == expected[name].to_pylist()
    for key in assets or ():
        given = [row and row[key] for row in expected["assets"].to_pylist()]
        assert [row and row[key] for row in found["assets"].to_pylist()] == given


def test_rows_may_be_asked_for_twice_and_not_at_all(large):
    index = Index(large)
    twice = np.array([12_000, 3, 12_000, 3], np.int64)
    ids = index.rows("eurosat", twice, ["id"])["id"].to_pylist()
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    assert len(index.rows("eurosat", np.array([], np.int64))) == 0


def test_a_single_item_is_read_whole(large, tmp_path):
    """The Item of a large group is that of a small one but for its name."""
    write_catalog(tmp_path)
    (small,) = search(tmp_path, ids=["eurosat_7"]).items()
    (found,) = search(large, ids=["eurosat_7-39"]).items()
    assert found["id"] == "eurosat_7-39"
    moved = {**found, "id": "eurosat_7"}
    del moved["assets"], small["assets"], moved["links"], small["links"]  # absolute
    assert moved == small


def test_few_rows_of_a_large_group_are_sparse():
    one = np.array([5000])
    assert is_sparse([10_240], one)
    assert not is_sparse([2000] * 300, one)
    assert not is_sparse([10_240], np.arange(0, 10_240, 500))
    assert is_sparse([10_240] * 30, np.arange(0, 300_000, 10_240))
    assert not is_sparse([10_240], np.array([], np.int64))


def test_few_rows_are_read_without_opening_the_file_again(large, monkeypatch):
    index = Index(large)
    one = np.array([5000], np.int64)
    first = index.rows("eurosat", one, ["id"])
    monkeypatch.setattr(Index, "_parquet", None)
    assert index.rows("eurosat", one, ["id"]).equals(first)
