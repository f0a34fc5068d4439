"""Searches by what files are, by every way of asking, against a loop over all Items.

The catalog is one of all datasets; and as an older version wrote it, which has no such facts.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pystac_client
import pytest
import rasterio
from click.testing import CliRunner
from facts_by_hand import facts_of, images_of
from serving import served_here
from stactools.cli.cli import cli

from satimnet.builder.catalog.file_facts import FACTS
from satimnet.builder.errors import ArgumentError, BadQueryError, SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.client import open as open_client
from satimnet.builder.query.image_paths import asset_paths, image_paths
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search
from satimnet.builder.transfer.subset import copy_found, save_found

NODATA = {"inria": {"image"}, "xview": {"image"}}
NODATA["bigearthnet-v2"] = {"B8A", *(f"B{number:02d}" for number in range(1, 13))}
REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def folder(sources, once):
    """The catalog of all miniatures, made by this version."""

    def make(folder):
        build([path for paths in sources.values() for path in paths], folder / "c", overview=False)

    return once("facts", make) / "c"


@pytest.fixture(scope="module")
def old(folder, tmp_path_factory):
    """The same catalog without the facts."""
    old = tmp_path_factory.mktemp("old") / "c"
    shutil.copytree(folder, old)
    without_facts(old)
    return old


def without_facts(folder):
    for collection in Index(folder).collections.values():
        table = pq.read_table(collection.parquet)
        table = table.drop_columns([*(set(FACTS) & set(table.column_names))])
        metadata = table.schema.metadata
        pq.write_table(table.replace_schema_metadata(metadata), collection.parquet)
        document = json.loads(Path(collection.href).read_text())
        summaries = document["summaries"]
        document["summaries"] = {k: v for k, v in summaries.items() if k not in FACTS}
        Path(collection.href).write_text(json.dumps(document).replace("/v1.1.0/s", "/v1.0.0/s"))


@pytest.fixture(scope="module", params=["new", "old"])
def place(request):
    return request.getfixturevalue("folder" if request.param == "new" else "old")


@pytest.fixture(scope="module")
def items(folder):
    """All Items with their facts by hand."""
    return with_facts(folder, NODATA)


def with_facts(folder, nodata):
    return [(i, facts_of(i, nodata.get(i["collection"], set()))) for i in search(folder)]


def test_items_say_what_a_loop_over_their_assets_says(items):
    assert len({item["collection"] for item, _ in items}) > 6
    for item, facts in items:
        properties = item["properties"]
        said = {n.removeprefix("satimnet:"): properties[n] for n in FACTS if n in properties}
        assert said == facts, item["id"]
        images = images_of(item)
        types = {asset["data_type"] for asset in images}
        assert properties.get("data_type") == (types.pop() if len(types) == 1 else None)
        shapes = {tuple(a.get("proj:shape", properties.get("proj:shape"))) for a in images}
        if len(shapes) == 1:
            assert tuple(properties["proj:shape"]) == shapes.pop()


def has_class(name):
    return lambda item, facts: name in item["properties"].get("satimnet:classes", ())


QUESTIONS = {  # arguments of Python, CQL2, options of the command, what a loop asks
    "jpg and class": (
        {"file_format": "jpg", "classes": "PermanentCrop"},
        "a_contains(\"satimnet:formats\", ('jpg'))"
        " AND a_contains(\"satimnet:classes\", ('PermanentCrop'))",
        ["--file-format", "JPEG", "--class", "PermanentCrop"],
        lambda i, f: "jpg" in f["formats"] and has_class("PermanentCrop")(i, f),
    ),
    "13 bands": (
        {"band_count": 13},
        'a_contains("satimnet:band_counts", (13))',
        ["--band-count", "13"],
        lambda i, f: 13 in f["band_counts"],
    ),
    "rows and columns": (
        {"rows": (100, 300), "columns": [100, 300]},
        '"satimnet:rows" BETWEEN 100 AND 300 AND "satimnet:columns" BETWEEN 100 AND 300',
        ["--rows", "100:300", "--columns", "100:300"],
        lambda i, f: 100 <= f["rows"] <= 300 and 100 <= f["columns"] <= 300,
    ),
    "bytes and mask": (
        {"bytes": (None, 100_000), "has_mask": True},
        '"satimnet:bytes" <= 100000 AND "satimnet:has_mask" = TRUE',
        ["--bytes", ":100kB", "--mask"],
        lambda i, f: f["bytes"] <= 100_000 and f["has_mask"],
    ),
    "bands by name": (
        {"bands": ["B02", "B08"]},
        "a_contains(\"satimnet:band_names\", ('B02', 'B08'))",
        ["--bands", "B02, B08"],
        lambda i, f: {"B02", "B08"} <= set(f["band_names"]),
    ),
    "all that is 12 or 10 bands": (
        {"band_count": [12, 10]},
        'a_overlaps("satimnet:band_counts", (12, 10))',
        ["--band-count", "12", "--band-count", "10"],
        lambda i, f: {12, 10} & set(f["band_counts"]),
    ),
    "types, not placed": (
        {"data_type": "uint8", "georeferenced": False, "has_annotation": False, "rows": 64},
        'a_contains("satimnet:data_types", (\'uint8\')) AND "satimnet:georeferenced" = FALSE'
        ' AND "satimnet:has_annotation" = FALSE AND "satimnet:rows" = 64',
        [*("--data-type", "uint8", "--no-georeference", "--no-annotation"), "--rows", "64"],
        lambda i, f: (
            "uint8" in f["data_types"]
            and not f["georeferenced"]
            and not f["has_annotation"]
            and f["rows"] == 64
        ),
    ),
    "no-data": (
        {"has_nodata": True, "bytes": (300_000, None)},
        '"satimnet:has_nodata" = TRUE AND "satimnet:bytes" >= 300000',
        ["--nodata", "--bytes", "300000:"],
        lambda i, f: f["has_nodata"] and f["bytes"] >= 300_000,
    ),
}


@pytest.fixture(scope="module")
def clients(place):
    """A server's client and the static one."""
    with served_here(place) as url:
        yield [pystac_client.Client.open(url), open_client(place)]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_way_of_asking_finds_what_a_loop_finds(place, clients, items, question):
    arguments, cql2, options, fits = QUESTIONS[question]
    expected = [(i["collection"], i["id"]) for i, facts in items if fits(i, facts)]
    if question != "types, not placed":  # the miniature of EuroSAT is georeferenced
        assert expected
    assert len(expected) < len(items)
    assert [(i["collection"], i["id"]) for i in search(place, **arguments)] == expected
    assert count(place, filter=cql2) == len(expected)
    for client in clients:
        found = client.search(filter=cql2, max_items=1000).items()
        assert [(item.collection_id, item.id) for item in found] == expected
    lines = stac(place, *options, "--format", "ndjson").splitlines()
    got = [(item["collection"], item["id"]) for item in map(json.loads, lines)]
    assert got == expected


def stac(folder, *options, code=0):
    done = CliRunner().invoke(cli, ["satimnet", "search", str(folder), *options])
    assert done.exit_code == code, done.output
    return done.output


def test_queryables_have_the_facts(clients):
    for client in clients:
        found = client.get_queryables()["properties"]
        assert found.keys() >= FACTS.keys()
        assert found["satimnet:rows"] == {"type": "number"}
        assert found["satimnet:formats"] == {"type": "array", "items": {"type": "string"}}
        assert found["satimnet:has_mask"] == {"type": "boolean"}


def test_aggregations_count_the_facts(place, clients, items):
    url = clients[0].get_self_href()
    names = ["formats", "band_counts", "has_mask", "has_nodata"]
    keys = ",".join(f"satimnet:{name}_frequency" for name in names)
    answer = clients[0]._stac_io.read_json(f"{url}aggregate?aggregations={keys}")
    for name, row in zip(names, answer["aggregations"], strict=True):
        counts = {}
        for _, facts in items:
            value = facts[name]
            for key in value if isinstance(value, list) else [str(value).lower()]:
                counts[str(key)] = counts.get(str(key), 0) + 1
        assert {b["key"]: b["frequency"] for b in row["buckets"]} == counts


def test_paths_are_those_of_the_images_that_were_asked_for(place):
    for options, number, bands in (
        (["--file-format", "jpg", "--class", "PermanentCrop"], 3, 3),
        (["--band-count", "13", "--class", "River"], 3, 13),
        (["--bands", "B02,B08", "--collection", "bigearthnet"], 6, 1),
        (["--data-type", "uint8", "--collection", "eurosat"], 3, 3),
    ):
        paths = stac(place, *options, "--format", "paths", "--limit", "3").splitlines()
        assert len(paths) == number
        for path in paths:
            with rasterio.open(path) as image:
                assert image.count == bands
    # each band is a file: all of them are the image of twelve bands
    paths = stac(place, "--band-count", "12", "--limit", "1", "--format", "paths").splitlines()
    assert len(paths) == 12
    masks = stac(place, "--mask", "--format", "paths", "--asset", "mask", "--limit", "2")
    for path in masks.splitlines():
        with rasterio.open(path) as mask:
            assert mask.count == 1


def test_paths_of_assets_by_key(folder):
    item = next(iter(search(folder, collections="xview", has_mask=True)))
    image, eight_bands = image_paths(item)
    assert asset_paths(item, ["mask", "image", "nothing"])[1] == image
    assert asset_paths(item, ["multispectral"]) == [eight_bands]
    assert "--asset x: no such asset" in stac(folder, "--format", "paths", "--asset", "x", code=2)
    assert "give --format paths" in stac(folder, "--asset", "mask", code=2)
    assert "leave out" in stac(folder, "--format", "paths", "--facets", code=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "300:100"], "--rows 300:100: the first number is larger than the last"),
        (["--rows", ":"], "':': give a number or a range, as in 64, 100:300 or :300"),
        (["--columns", "1:2:3"], "'1:2:3': give a number or a range"),
        (["--columns", "x"], "'x' is no whole number"),
        (["--rows", "-5"], "'-5' is no whole number"),
        (["--rows", "9" * 400], "is no whole number"),
        (["--bytes", "1XB"], "size '1XB': give bytes or a unit, as in 256MiB"),
        (["--bytes", "9" * 400], "no file has so many"),
        (["--bands", ","], "--bands has an empty name; give names such as B02,B08"),
        (["--bands", "B2"], "no Item has the band B2; there are B, B01, B02"),
        (["--file-format", "gif"], "no Item has the format gif; there are jpg, png, tif"),
        (["--file-format", ""], "--file-format has an empty name"),
        (["--data-type", "int"], "no Item has the data type int; there are float32, uint16, uint8"),
        (["--band-count", "0"], "0 is not in the range"),
        (["--band-count", "15"], "no Item has the number of bands 15"),
    ],
)
def test_bad_input_is_one_clear_line(folder, options, message):
    done = CliRunner().invoke(cli, ["satimnet", "search", str(folder), *options])
    assert done.exit_code in (1, 2)
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert done.output.splitlines()[-1] == line


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"rows": (1, 2, 3)}, ArgumentError),
        ({"rows": ()}, ArgumentError),
        ({"rows": (None, None)}, ArgumentError),
        ({"bytes": -1}, ArgumentError),
        ({"columns": (0, 2**63)}, ArgumentError),
        ({"band_count": 0}, ArgumentError),
        ({"bands": ["B02", " "]}, ArgumentError),
        ({"file_format": "gif"}, BadQueryError),
        ({"rows": "100:300"}, SatimnetError),
        ({"has_mask": "yes"}, SatimnetError),
    ],
)
def test_arguments_of_python_are_checked(folder, arguments, kind):
    with pytest.raises(kind, match=next(iter(arguments)).replace("file_format", "format")):
        search(folder, **arguments)


def test_an_old_catalog_has_no_list_of_values_to_compare_with(old):
    assert count(old, file_format="gif") == 0
    assert count(old, bands=[]) == len(search(old)) - count(old, filter='"satimnet:rows" IS NULL')


def test_subsets_carry_the_facts(folder, old, tmp_path):
    for make in (save_found, copy_found):
        target = tmp_path / make.__name__
        make(search(folder, file_format="png"), target)
        index = Index(target, allow_outside=True)
        assert count(index, file_format="png") == count(folder, file_format="png") > 0
        for collection in index.collections.values():
            summaries = collection.document.json["summaries"]
            assert summaries["satimnet:formats"] == ["png"]
    save_found(search(old, band_count=13, limit=5), tmp_path / "of old")
    assert count(Index(tmp_path / "of old", allow_outside=True), band_count=13) == 5


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real samples in ../shared/data")
def test_the_questions_on_the_real_samples(tmp_path):
    """Those of the README of the paper's own query tool, on a catalog of real files."""
    sources = [REAL / name for name in ("bigearthnet", "eurosat", "dota", "airbus-ship")]
    build(sources, tmp_path / "c", overview=False, items="none")
    items = with_facts(tmp_path / "c", {})
    assert len(items) > 20_000
    asked = [QUESTIONS[name] for name in ("jpg and class", "13 bands", "rows and columns")]
    asked.append(QUESTIONS["bands by name"])
    with served_here(tmp_path / "c") as url:
        clients = [pystac_client.Client.open(url), open_client(tmp_path / "c")]
        for arguments, cql2, options, fits in asked:
            expected = sorted((i["collection"], i["id"]) for i, facts in items if fits(i, facts))
            assert expected
            found = search(tmp_path / "c", **arguments)
            assert sorted((i["collection"], i["id"]) for i in found) == expected
            lines = stac(tmp_path / "c", *options, "--format", "ndjson").splitlines()
            got = [(item["collection"], item["id"]) for item in map(json.loads, lines)]
            assert sorted(got) == expected
            paths = stac(tmp_path / "c", *options, "--format", "paths").splitlines()
            assert len(paths) >= len(expected)
            with rasterio.open(paths[-1]) as image:
                assert image.read().any()
            for client in clients:
                answer = client.search(filter=cql2, limit=5000).items_as_dicts()
                assert sorted((i["collection"], i["id"]) for i in answer) == expected
