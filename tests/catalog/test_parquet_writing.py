"""How ``items.parquet`` is laid out: its groups, columns and files."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from satimnet.builder.catalog import parquet_writing
from satimnet.builder.catalog.geoparquet import write_parquet
from satimnet.builder.catalog.item_columns import item_schema
from satimnet.builder.catalog.parquet_writing import layout_of
from stactools.bigearthnet import dataset as bigearthnet
from stactools.eurosat import dataset as eurosat

SCHEMA = item_schema(eurosat.record)


def rows(first, count, schema=SCHEMA, **columns):
    """Rows with ids and the size of an asset, and nothing else."""
    assets = [{"multispectral": {"href": "./a.zip", "file:size": n}} for n in range(count)]
    ids = [f"Item_{first + n}" for n in range(count)]
    given = {"id": ids, "assets": assets, **columns}
    return pa.table(
        {f.name: pa.array(given.get(f.name, [None] * count), f.type) for f in schema}, schema
    )


def written(path, *tables, **options):
    files = write_parquet(tables, {"id": "eurosat"}, path, **options)
    return [pq.ParquetFile(file) for file in files]


def groups_of(file):
    return [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]


def test_groups_do_not_follow_the_tables(tmp_path):
    tables = [rows(at, 700) for at in range(0, 21_000, 700)]
    (file,) = written(tmp_path / "items.parquet", *tables)
    assert groups_of(file) == [10_240, 10_240, 520]
    assert file.read(["id"]).equals(pa.concat_tables(tables).select(["id"]))


def test_a_table_may_be_larger_than_a_group(tmp_path):
    table = rows(0, 25_000)
    (file,) = written(tmp_path / "items.parquet", table)
    assert groups_of(file) == [10_240, 10_240, 4520]
    assert file.read(["id"]).equals(table.select(["id"]))


def test_groups_grow_with_columns_and_rows():
    wide = parquet_writing.Layout(item_schema(bigearthnet.record), 590_326)
    groups = -(-wide.rows // wide.rows_of_group)
    assert 10_000 <= wide.rows_of_group <= 100_000
    assert wide.rows_of_group % 2048 == 0
    assert groups * len(wide.leaves) * 110 <= 700_000
    narrow = parquet_writing.Layout(item_schema(eurosat.record), 590_326)
    assert 10_000 <= narrow.rows_of_group < wide.rows_of_group
    assert parquet_writing.Layout(wide.schema, 5_900_000).rows_of_group <= 100_000


def test_only_fields_with_values_are_kept(tmp_path):
    tables = [rows(0, 5), rows(5, 5, title=["", None, "x", None, None])]
    (file,) = written(tmp_path / "items.parquet", *tables)
    assert file.schema_arrow.names == ["id", "geometry", "bbox", "assets", "title", "datetime"]
    asset = file.schema_arrow.field("assets").type.field("multispectral").type
    assert asset.names == ["href", "file:size"]
    assert file.read()["assets"].to_pylist() == [
        row for table in tables for row in _short(table["assets"].to_pylist())
    ]


def _short(values):
    return [
        {"multispectral": {k: v["multispectral"][k] for k in ("href", "file:size")}, **_rest(v)}
        for v in values
    ]


def _rest(value):
    return {k: v for k, v in value.items() if k != "multispectral"}


def test_an_asset_that_no_item_has_keeps_its_href(tmp_path):
    """Questions ask whether it is null."""
    table = rows(0, 3)
    none = pa.nulls(3, SCHEMA.field("assets").type)
    table = table.set_column(SCHEMA.names.index("assets"), SCHEMA.field("assets"), none)
    schema = layout_of([table, rows(3, 1)]).schema
    other = [name for name in schema.field("assets").type.names if name != "multispectral"]
    for name in other:
        assert schema.field("assets").type.field(name).type.names == ["href"]
    (file,) = written(tmp_path / "items.parquet", table, rows(3, 1))
    assets = file.read()["assets"].to_pylist()
    assert assets[:3] == [None] * 3
    assert assets[3]["multispectral"]["href"] == "./a.zip"


@pytest.mark.parametrize(("limit", "expected"), [(10, [10, 10, 3]), (23, [23]), (22, [22, 1])])
def test_many_rows_are_in_several_files(tmp_path, limit, expected):
    tables = [rows(0, 7), rows(7, 11), rows(18, 5)]
    files = written(tmp_path / "items.parquet", *tables, limit=limit)
    names = ["items.parquet", "items-00001.parquet", "items-00002.parquet"][: len(expected)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert [file.metadata.num_rows for file in files] == expected
    ids = [name for file in files for name in file.read(["id"])["id"].to_pylist()]
    assert ids == [f"Item_{n}" for n in range(23)]
    assert len({file.schema_arrow.metadata[b"geo"] for file in files}) == 1
    assert (
        "eurosat" in json.loads(files[-1].schema_arrow.metadata[b"stac-geoparquet"])["collections"]
    )


def test_the_bytes_do_not_depend_on_where_rows_are_read_from(tmp_path):
    tables = [rows(at, 3000) for at in range(0, 12_000, 3000)]
    written(tmp_path / "a.parquet", *tables)
    written(tmp_path / "b.parquet", *map(_copied, tables))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def _copied(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def test_values_of_checksums_are_as_they_were(tmp_path):
    """Their encoding is one that few files have."""
    rng = np.random.default_rng(0)
    texts = ["1220" + rng.bytes(32).hex() for _ in range(5000)]
    assets = [
        {
            "multispectral": {
                "href": "./a.zip",
                "archive": [
                    {"href": f"{n}/Ж_{n}.tif", "range": [n * n, n * n + 7], "file:checksum": text}
                ],
                "satimnet:pixels": {"offset": n * n + 3},
            }
        }
        if n % 7
        else None
        for n, text in enumerate(texts)
    ]
    table = rows(0, 5000, assets=assets)
    (file,) = written(tmp_path / "items.parquet", table)
    for before, after in zip(assets, file.read()["assets"].to_pylist(), strict=True):
        if before is None:
            assert after is None
            continue
        asset = after["multispectral"]
        (member,) = asset["archive"]
        (given,) = before["multispectral"]["archive"]
        assert {key: value for key, value in member.items() if value is not None} == given
        assert (
            asset["satimnet:pixels"]["offset"]
            == before["multispectral"]["satimnet:pixels"]["offset"]
        )
