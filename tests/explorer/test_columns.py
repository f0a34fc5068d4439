"""The explorer's columns say what the Items say, are small, and belong to one index."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from explorer_reading import DECODERS, read_columns
from published import home_of

from satimnet.builder import build, validate
from satimnet.builder.errors import BadCatalogError, StorageError
from satimnet.builder.explorer.column_encoding import NONE, names, numbers, small_numbers
from satimnet.builder.explorer.explorer_columns import columns_of, packed_columns
from satimnet.builder.explorer.explorer_files import header_of, index_catalog
from satimnet.builder.query.index import Index
from stactools.eurosat.miniature import write_miniature

KINDS = (".jpg", ".png")


@pytest.fixture(scope="module")
def indexed(demo, tmp_path_factory):
    """A copy of the demo's catalog, as an older satimnet would have left it, and then indexed."""
    copy = tmp_path_factory.mktemp("indexed") / "catalog"
    shutil.copytree(demo / "catalog", copy)
    for path in copy.rglob("explorer.*"):
        path.unlink()
    index_catalog(copy)
    return copy


def items_in_order(home: Path):
    ids = pq.read_table(home / "items.parquet", columns=["id"])["id"].to_pylist()
    found = {
        item["id"]: item
        for path in home.rglob("*.json")
        if (item := json.loads(path.read_bytes())).get("type") == "Feature"
    }
    assert sorted(found) == sorted(ids)
    return [found[id_] for id_ in ids]


def collections_of(catalog: Path):
    root = json.loads((catalog / "catalog.json").read_bytes())
    return [link["href"].split("/")[1] for link in root["links"] if link["rel"] == "child"]


def listed(values, counts, codes):
    ends = np.cumsum(counts)
    return [
        [values[code] for code in codes[end - count : end]]
        for end, count in zip(ends, counts, strict=True)
    ]


def test_columns_say_what_the_items_say(indexed):
    for name in collections_of(indexed):
        home = home_of(indexed, name)
        header, columns = read_columns(home)
        items = items_in_order(home)
        said = [item["properties"] for item in items]
        assert columns["ids"] == [item["id"] for item in items]
        classes = listed(header["classes"], columns["class_counts"], columns["classes"])
        assert classes == [one.get("satimnet:classes", []) for one in said]
        concepts = listed(header["concepts"], columns["concept_counts"], columns["concepts"])
        assert concepts == [one.get("satimnet:concepts", []) for one in said]
        for column, field in (("splits", "satimnet:split"), ("countries", "satimnet:country")):
            values = [None, *header[column]]
            assert [values[code] for code in columns[column]] == [one.get(field) for one in said]
        days = [
            (np.datetime64(one["datetime"][:10]) - np.datetime64("1970-01-01")).astype(int)
            if one["datetime"]
            else NONE
            for one in said
        ]
        assert columns["days"].tolist() == days
        assert columns["widths"].tolist() == [one["satimnet:columns"] for one in said]
        assert columns["heights"].tolist() == [one["satimnet:rows"] for one in said]
        kinds = [header["kinds"][code] for code in columns["kinds"]]
        assert [set(kind["assets"]) for kind in kinds] == [set(item["assets"]) for item in items]
        assert [kind["bands"] for kind in kinds] == [one["satimnet:band_counts"] for one in said]


def test_places_are_those_of_the_items(indexed):
    placed = 0
    for name in collections_of(indexed):
        header, columns = read_columns(home_of(indexed, name))
        sides = [columns[side] for side in ("wests", "souths", "spans_x", "spans_y")]
        signed = np.stack(sides, axis=1).astype(np.uint32).view(np.int32) / 1e6
        for item, (west, south, wide, high) in zip(
            items_in_order(home_of(indexed, name)), signed, strict=True
        ):
            if "bbox" not in item:
                assert west == NONE / 1e6
                continue
            placed += 1
            corners = [west, south, west + wide, south + high]
            assert corners == pytest.approx(item["bbox"], abs=1.6e-6)
        assert header["without_place"] == sum(sides[0] == NONE)
    assert placed


def test_pictures_are_members_that_a_browser_shows(indexed):
    shown = 0
    for name in collections_of(indexed):
        home = home_of(indexed, name)
        header, columns = read_columns(home)
        items = items_in_order(home)
        for row, item in enumerate(items):
            size = columns["picture_sizes"][row]
            span = (columns["picture_firsts"][row], columns["picture_firsts"][row] + size - 1)
            members = {
                tuple(asset["archive"][0]["range"]): asset
                for asset in item["assets"].values()
                if asset["archive"][0]["href"].endswith(KINDS)
                and {"mask", "annotation"}.isdisjoint(asset["roles"])
            }
            if not size:
                large = max(columns["widths"][row], columns["heights"][row]) > 256
                assert large or all(last - first >= 2**16 for first, last in members)
                continue
            shown += 1
            assert span in members
            shard = (home / header["shards"][columns["picture_files"][row]]).resolve()
            assert shard.is_file()
            data = shard.read_bytes()[span[0] : span[1] + 1]
            assert data[:3] == b"\xff\xd8\xff" or data[1:4] == b"PNG"
    assert shown


def test_a_build_writes_them_whatever_the_workers(miniature, catalog, tmp_path):
    home = home_of(catalog)
    header, columns = read_columns(home)
    digest = hashlib.sha256((home / "items.parquet").read_bytes()).hexdigest()
    assert header["index"]["sha256"] == digest
    assert len(columns["ids"]) == header["items"]
    build([miniature], tmp_path / "other", scheduler="processes")
    for name in ("explorer.json", "explorer.bin"):
        assert (home_of(tmp_path / "other") / name).read_bytes() == (home / name).read_bytes()


def test_an_index_of_old_writes_the_same_bytes(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    home = home_of(copy)
    wanted = {name: (home / name).read_bytes() for name in ("explorer.json", "explorer.bin")}
    for name in wanted:
        (home / name).unlink()
    (found,) = index_catalog(copy)
    assert found.items == len(read_columns(home)[1]["ids"])
    assert {name: (home / name).read_bytes() for name in wanted} == wanted
    assert not validate(copy).problems


def test_a_catalog_of_satimnet_0_1_gets_them(tmp_path, catalog):
    """It has one version, in the folder of the collection, and no facts of files."""
    home, old = home_of(catalog), tmp_path / "eurosat"
    shutil.copytree(home, old)
    shutil.copytree(catalog / "eurosat" / "shards", old / "shards")
    (old / "explorer.json").unlink()
    (old / "explorer.bin").unlink()
    table = pq.read_table(old / "items.parquet")
    kept = [
        name for name in table.column_names if name not in ("satimnet:rows", "satimnet:columns")
    ]
    pq.write_table(table.select(kept), old / "items.parquet")
    root = json.loads((catalog / "catalog.json").read_bytes())
    root.pop("satimnet:versions")
    for link in root["links"]:
        if link["rel"] == "child":
            link["href"] = "./eurosat/collection.json"
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    index_catalog(tmp_path)
    header, columns = read_columns(old)
    assert set(columns["widths"]) == {64}
    assert header["items_as"] == "json"


def test_pages_are_told_from_files(miniature, tmp_path):
    for files in ("pages", "none"):
        build([miniature], tmp_path / files, items=files, overview=False)
        home = home_of(tmp_path / files)
        told = read_columns(home)[0]
        assert told["items_as"] == files
        (home / "explorer.json").unlink()
        index_catalog(tmp_path / files)
        assert read_columns(home)[0] == told


def test_columns_of_another_index_are_refused(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    one = Index(copy).collections["eurosat"]
    assert header_of(one) is not None
    table = pq.read_table(one.parquet)
    pq.write_table(table.slice(1), one.parquet)
    one = Index(copy).collections["eurosat"]
    assert header_of(one) is None
    index_catalog(copy)
    assert read_columns(home_of(copy))[0]["items"] == len(table) - 1


def test_a_half_written_file_is_written_again(catalog, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    data = home_of(copy) / "explorer.bin"
    data.write_bytes(data.read_bytes()[:-1])
    index_catalog(copy)
    read_columns(home_of(copy))


def test_catalogs_in_a_store_are_indexed(miniature, bucket):
    from satimnet.builder.storage import objects

    build([miniature], f"{bucket}/shown", overview=False)
    index = Index(f"{bucket}/shown").collections["eurosat"]
    there = header_of(index)
    assert there is not None
    objects.delete(index.parquet.replace("items.parquet", "explorer.json"))
    assert header_of(index) is None
    index_catalog(f"{bucket}/shown")
    assert header_of(index) == there


def test_a_web_server_cannot_be_written_to(catalog, serve, tmp_path):
    copy = shutil.copytree(catalog, tmp_path / "catalog")
    (home_of(copy) / "explorer.json").unlink()
    with serve(copy) as url, pytest.raises(StorageError, match="cannot be written to; copy"):
        index_catalog(url)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("id", lambda ids: pa.array(["one"] * len(ids)), "an id is there twice"),
        ("id", lambda ids: pa.array([f"{i}\n" for i in range(len(ids))]), "line end"),
        ("satimnet:classes", lambda c: pa.array([[None]] * len(c), c.type), "has a null"),
        ("satimnet:split", lambda s: pa.array(range(len(s))), "texts are wanted"),
        ("links", lambda s: pa.array(range(len(s))), "rows are no Items"),
    ],
)
def test_foreign_rows_are_refused_by_name(catalog, name, change, reason):
    home = home_of(catalog)
    table = pq.read_table(home / "items.parquet")
    new = change(table[name if name in table.column_names else "id"].combine_chunks())
    if name in table.column_names:
        table = table.drop_columns(name)
    table = table.append_column(name, new)
    collection = json.loads((home / "collection.json").read_bytes())
    with pytest.raises(BadCatalogError, match=reason):
        packed_columns(columns_of(collection, [table], "there/items.parquet"), "there")


@pytest.mark.parametrize("span", [[-5, 10], [10, 5], [0, 2**62], [3, None], None, [1, 2, 3]])
def test_byte_ranges_that_cannot_be_show_no_picture(catalog, span):
    home = home_of(catalog)
    table = pq.read_table(home / "items.parquet")
    rows = table.select(["assets"]).to_pylist()
    rows[0]["assets"]["rgb"]["archive"][0]["range"] = span
    assets = pa.array([row["assets"] for row in rows], table.schema.field("assets").type)
    at = table.column_names.index("assets")
    table = table.set_column(at, "assets", assets)
    collection = json.loads((home / "collection.json").read_bytes())
    if span == [3, None]:
        with pytest.raises(BadCatalogError, match="has a null"):
            columns_of(collection, [table], "there")
        return
    found = columns_of(collection, [table], "there")
    assert found.values["picture_sizes"][0] == 0
    assert found.values["picture_sizes"][1] > 0


def test_places_that_cannot_be_are_no_places(catalog):
    home = home_of(catalog)
    table = pq.read_table(home / "items.parquet")
    boxes = [[181.0, 0, 1, 1], [0, 5, 1, 4], [float("nan"), 0, 1, 1], [179.9, 1, -179.9, 2]]
    rows = [dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in boxes]
    table = table.slice(0, len(boxes))
    at = table.column_names.index("bbox")
    table = table.set_column(at, "bbox", pa.array(rows, table.schema.field("bbox").type))
    collection = json.loads((home / "collection.json").read_bytes())
    found = columns_of(collection, [table], "there").values
    assert found["wests"].tolist() == [NONE, NONE, NONE, 179_900_000]
    assert found["spans_x"][3] == 200_000  # across 180 degrees


def test_numbers_come_back():
    for values in ([0, 1, 255], [0, 256, 65535], []):
        kind, stream = small_numbers(np.array(values, np.int64))
        found = DECODERS[kind](gzip.decompress(stream), len(values))
        assert found.tolist() == values
    for values in ([NONE, 0, NONE, -1, -(2**31), 2**31 - 1], [2**32 - 1, 0, 5], []):
        kind, stream = numbers(np.array(values, np.int64))
        found = DECODERS[kind](gzip.decompress(stream), len(values))
        assert found.tolist() == [value % 2**32 for value in values]
    few = ["", "ä", "äö", "a" * 300, "a" * 300 + "b", "a", "a\0", "a"]
    many = [f"Forest_{number}" for number in range(40_000)]  # more than are compared at once
    for texts in (few, many, []):
        kind, stream = names(texts, "there")
        data = gzip.decompress(stream)
        assert DECODERS[kind](data, len(texts)) == texts
        assert len(data) <= len("".join(texts).encode()) + 2 * len(texts)
    assert len(data := gzip.decompress(names(many, "there")[1])) < 4 * len(many), len(data)


def test_an_offset_beyond_the_columns_is_refused(catalog):
    home = home_of(catalog)
    table = pq.read_table(home / "items.parquet")
    collection = json.loads((home / "collection.json").read_bytes())
    found = columns_of(collection, [table], "there")
    found.values["picture_firsts"][0] = 2**32 * 64
    with pytest.raises(BadCatalogError, match="build smaller shards"):
        packed_columns(found, "there")


@pytest.mark.real
def test_a_real_collection_takes_few_bytes_an_item(real_catalog):
    header, columns = read_columns(home_of(real_catalog))
    assert header["items"] == len(columns["ids"]) > 22_000
    assert header["data"]["size"] < 6 * header["items"]


def test_two_builds_of_one_source_have_equal_columns(tmp_path):
    sources = write_miniature(tmp_path / "source", 1)
    for name in ("one", "two"):
        build(sources, tmp_path / name, overview=False)
    one, two = (home_of(tmp_path / name) / "explorer.bin" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
