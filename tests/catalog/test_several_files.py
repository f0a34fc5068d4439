"""A collection whose rows are in several files, as are those of very many Items."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import home_of

from satimnet.builder import build, diff, prune, search, split, validate
from satimnet.builder import open as open_catalog
from satimnet.builder.catalog import parquet_writing
from satimnet.builder.explorer.explorer_columns import HEADER_NAME
from satimnet.builder.explorer.preview_shards import draw_previews
from satimnet.builder.exports import export
from satimnet.builder.quality import assess
from satimnet.builder.query.index import Index
from satimnet.builder.transfer.mirror import copy_catalog
from stactools.eurosat.miniature import write_miniature

LIMIT = 4


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The catalog with one file."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "source").mkdir()
    build(write_miniature(folder / "source", 2, rgb=False), folder / "catalog")
    return folder / "catalog"


@pytest.fixture(scope="module")
def several(one, tmp_path_factory):
    """The same with so many files that none has more than four rows, without files of Items."""
    folder = tmp_path_factory.mktemp("several")
    sources = list((one.parent / "source").iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_writing, "ROWS_OF_FILE", LIMIT)
        build(sources, folder / "catalog", items="none")
    return folder / "catalog"


def parts(catalog):
    return sorted(home_of(catalog).glob("items*.parquet"), key=lambda path: (len(path.name), path))


def items(catalog, **question):
    return [
        {k: v for k, v in item.items() if k not in ("links", "assets")}
        for item in search(catalog, **question)
    ]


def test_files_are_named_by_the_collection(one, several):
    files = parts(several)
    rows = [pq.read_metadata(path).num_rows for path in files]
    assert len(files) > 2
    assert max(rows) == LIMIT
    assert sum(rows) == pq.read_metadata(parts(one)[0]).num_rows
    document = json.loads((home_of(several) / "collection.json").read_bytes())
    mirrors = [a["href"] for a in document["assets"].values() if "collection-mirror" in a["roles"]]
    assert [f"./{path.name}" for path in files] == mirrors


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"classes": ["River"]},
        {"classes": ["SeaLake"], "limit": 3},
        {"bbox": (-10, 35, 20, 60)},
        {"filter": '"satimnet:rows" = 64'},
        {"concept": "water", "sortby": "-id"},
    ],
)
def test_a_search_finds_the_same_in_the_same_order(one, several, question):
    assert items(several, **question) == items(one, **question)
    assert len(search(several, **question)) == len(search(one, **question))
    assert search(several, **question).facets() == search(one, **question).facets()


def test_items_may_have_a_property_that_duckdb_has_a_column_for(several, tmp_path):
    copied = tmp_path / "catalog"
    shutil.copytree(several, copied, symlinks=True)
    for path in parts(copied):
        table = pq.read_table(path)
        numbers = pa.array([7] * len(table), pa.int64())
        pq.write_table(table.append_column("file_index", numbers), path)
    assert items(copied, classes="River") == [
        {**item, "properties": {**item["properties"], "file_index": 7}}
        for item in items(several, classes="River")
    ]
    assert len(search(copied, filter="file_index = 7")) == len(search(several))


def test_assets_and_tables_are_the_same(one, several):
    for mine, other in zip(search(several), search(one), strict=True):
        for key, asset in mine["assets"].items():
            theirs = other["assets"][key]
            assert asset["archive"] == theirs["archive"]
    table = search(several).table(["id", "geometry"])
    assert table.drop_columns(["parquet"]).equals(
        search(one).table(["id", "geometry"]).drop_columns(["parquet"])
    )


def test_rows_in_any_order(several):
    index = Index(several)
    ids = [name for path in parts(several) for name in pq.read_table(path)["id"].to_pylist()]
    numbers = np.random.default_rng(0).permutation(len(ids)).astype(np.int64)
    found = index.rows("eurosat", numbers, ["id"])["id"].to_pylist()
    assert found == [ids[number] for number in numbers]


def test_the_client_lists_all(several, one):
    names = [[item.id for item in open_catalog(c).search().items()] for c in (several, one)]
    assert names[0] == names[1]


def test_it_is_valid_and_a_missing_file_is_not(several, tmp_path):
    assert validate(several).count == 0
    copy_catalog(several, tmp_path / "copy")
    parts(tmp_path / "copy")[1].unlink()
    assert validate(tmp_path / "copy").count > 0


def test_a_copy_has_all_files(several, tmp_path):
    copy_catalog(several, tmp_path / "copy")
    assert [path.read_bytes() for path in parts(tmp_path / "copy")] == [
        path.read_bytes() for path in parts(several)
    ]
    for path in (several / "eurosat/shards").iterdir():
        assert (tmp_path / "copy/eurosat/shards" / path.name).read_bytes() == path.read_bytes()


def test_pruning_keeps_what_any_file_needs(several, tmp_path):
    copy_catalog(several, tmp_path / "copy")
    before = {path for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    prune(tmp_path / "copy", older_than=0)
    assert {path for path in (tmp_path / "copy").rglob("*") if path.is_file()} == before


def test_nothing_differs(one, several):
    (found,) = diff(one, several).collections
    groups = (found.added, found.removed, found.relabelled, found.pixels, found.properties)
    assert [group.count for group in groups] == [0] * 5
    assert found.old_items == found.new_items > LIMIT


def test_exports_have_all_rows(several, tmp_path):
    (file,) = export(Index(several), "gdal-parquet", tmp_path / "out")
    assert pq.read_metadata(file).num_rows == len(search(several))


def test_quality_reads_all(one, several, tmp_path):
    reports = [assess(catalog, tmp_path / str(n)) for n, catalog in enumerate((one, several))]
    rows = [pq.read_table(tmp_path / str(n) / "items.parquet")["id"] for n in range(2)]
    assert rows[0].equals(rows[1])
    assert len(reports[0].findings) == len(reports[1].findings)


@pytest.mark.parametrize("by_id", [False, True])
def test_splits_are_of_all_rows(several, tmp_path, by_id):
    copy_catalog(several, tmp_path / "copy")
    split(tmp_path / "copy", name="mine", folds=3, images=False)
    if by_id:  # of a table of another version the Items are found by their ids
        path = home_of(tmp_path / "copy") / "collection.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "version": "another"}))
    found = list(search(tmp_path / "copy", splits="mine"))
    assert len(found) == len(search(several))
    assert {item["properties"]["satimnet:fold"] for item in found} == {0, 1, 2}
    by_fold = [
        search(tmp_path / "copy", splits="mine", filter=f'"satimnet:fold" = {n}') for n in range(3)
    ]
    assert sum(map(len, by_fold)) == len(found)


def test_the_explorer_has_previews_of_all_rows(several, tmp_path):
    copy_catalog(several, tmp_path / "copy")
    draw_previews(tmp_path / "copy")
    header = json.loads((home_of(tmp_path / "copy") / HEADER_NAME).read_bytes())
    assert header["items"] == len(search(several))
    assert header["previews"]["items"] == header["items"]
