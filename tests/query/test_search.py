"""Search and the client against a loop over all Items, on disk and over HTTP."""

from __future__ import annotations

import json
import re
import shutil
import threading
import tracemalloc
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cql2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pystac
import pystac_client
import pytest
import shapely
import stac_geoparquet.arrow
from cql2_by_the_book import (
    at,
    brute_force,
    evaluate,
    in_period,
    instant_of,
    leaves,
    look_up,
    op,
    shape_from,
    sorted_by,
    trees,
)
from hypothesis import HealthCheck, example, given, settings
from mini_catalog import COLLECTION
from pystac_client.warnings import PystacClientWarning
from trial_catalog import ODD, PROPERTIES, TIME, absolute, ids_of, write_catalog

import satimnet.builder.query.client as client_module
from satimnet.builder.errors import SatimnetError, TooSlowError
from satimnet.builder.query.cql2_operators import TEXT_FUNCTIONS
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search, search_table
from satimnet.builder.query.statements import Function, Statement


class RangeHandler(SimpleHTTPRequestHandler):
    """A static host that answers byte ranges, as the usual ones do."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return super().do_GET()
        content = path.read_bytes()
        first = int(wanted[1])
        part = content[first : int(wanted[2]) + 1 if wanted[2] else None]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None


class Trial:
    """Not a dataclass: hypothesis would print all the Items."""

    def __init__(self, folder, items, url):
        self.folder, self.items, self.url = folder, items, url


@pytest.fixture(scope="session")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cat [1]*") / "CAT's"
    items = write_catalog(folder)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(RangeHandler, directory=str(folder.parent))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Trial(folder, items, f"http://127.0.0.1:{server.server_port}/{folder.name}")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def index(trial):
    return Index(trial.folder)


@pytest.fixture(scope="session", params=["disk", "http"])
def place(request, trial):
    """The catalog in its folder or on the web, open, and its Items as they must come out of it."""
    base = str(trial.folder) if request.param == "disk" else trial.url
    return Index(base), absolute(trial.items, base)


def base_of(index):
    """The catalog's folder or URL."""
    return index.href.removesuffix("/catalog.json")


SLOW = {"deadline": None, "report_multiple_bugs": False, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=50, **SLOW)
@given(tree=trees)
@example(tree=op("not", op("=", {"property": "satimnet:split"}, "train")))
@example(tree=op("not", op("s_intersects", {"property": "geometry"}, {"bbox": [2, 42, 6, 47]})))
def test_any_filter_finds_what_a_loop_over_the_items_finds(trial, index, tree):
    same_as_a_loop(trial, index, tree)


@pytest.mark.slow
@settings(max_examples=150, **SLOW)
@given(tree=trees)
def test_many_filters_find_what_a_loop_over_the_items_finds(trial, index, tree):
    same_as_a_loop(trial, index, tree)


def same_as_a_loop(trial, index, tree):
    everything = [item for items in trial.items.values() for item in items]
    tree = tree if isinstance(tree, dict) else op("and", tree)
    expected = ids_of(brute_force(everything, tree))
    assert ids_of(search(index, filter=tree)) == expected
    assert count(index, filter=tree) == len(expected)


@settings(max_examples=80, **SLOW)
@given(tree=leaves)
def test_both_sides_of_a_condition_leave_out_only_the_unknown(trial, index, tree):
    everything = [item for items in trial.items.values() for item in items]
    tree = tree if isinstance(tree, dict) else op("and", tree)
    unknown = sum(evaluate(tree, item) is None for item in everything)
    both = count(index, filter=tree) + count(index, filter=op("not", tree))
    assert both + unknown == len(everything)


TEXTS = [
    "\"satimnet:split\" = 'train' AND gsd >= 10",
    "NOT (\"satimnet:split\" = 'train')",
    '"satimnet:split" IS NULL OR "eo:cloud_cover" BETWEEN 20 AND 40.5',
    "title LIKE 'for%' AND collection = 'eurosat'",
    "CASEI(ACCENTI(title)) LIKE CASEI('FORET%')",
    "CASEI(title) = CASEI('STRASSE')",
    "title NOT IN ('Straße', 'STRASSE')",
    "A_CONTAINS(\"satimnet:classes\", ('Forest', 'it''s'))",
    'A_EQUALS("proj:shape", (64))',
    "T_INTERSECTS(INTERVAL(start_datetime, end_datetime), INTERVAL('2018-01-05', '2018-01-06'))",
    "T_AFTER(datetime, TIMESTAMP('2018-01-20T00:00:00Z'))",
    "datetime > DATE('2018-01-20')",
    "T_DURING(datetime, INTERVAL('2018-01-20', '..'))",
    "S_INTERSECTS(geometry, POLYGON((3 43, 5 43, 5 45, 3 45, 3 43)))",
    "NOT S_TOUCHES(geometry, POLYGON((3 43, 5 43, 5 45, 3 45, 3 43)))",
    "S_INTERSECTS(geometry, BBOX(179, 0, -179, 90)) OR reviewed = TRUE",
    "gsd ^ 2 - 5 * gsd / 3 > 40 AND gsd % 3 = 1 AND gsd DIV 3 = 3",
    f"\"{ODD.replace(chr(34), chr(34) * 2)}\" = 'b''; --'",
]


@pytest.mark.parametrize("text", TEXTS)
def test_cql2_text(place, text):
    index, items = place
    expected = brute_force(items, cql2.parse_text(text).to_json())
    assert 0 < len(expected) < len(items)
    assert list(search(index, filter=text)) == expected
    assert list(search(index, filter=json.dumps(cql2.parse_text(text).to_json()))) == expected


# --- the other parameters ------------------------------------------------------------------------


LAST = (23, 59, 59, 999_999)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2018-01-10T00:00:00Z", at(10), at(10)),
        ("2018-01-10T02:00:00+02:00", at(10), at(10)),
        ("2018-01-10", at(10), at(10, *LAST)),
        ("2018-01-10T00:00:00Z/2018-01-12T00:00:00.5Z", at(10), at(12, 0, 0, 0, 500_000)),
        ("2018-01-10/2018-01-12", at(10), at(12, *LAST)),
        ("2018-01-20T00:00:00Z/..", at(20), None),
        ("2018-01-20T00:00:00Z/", at(20), None),
        ("../2018-01-10T00:00:00Z", None, at(10)),
        ("/2018-01-10T00:00:00Z", None, at(10)),
    ],
)
def test_datetime_is_an_instant_or_a_span(place, text, first, last):
    index, items = place
    expected = [item for item in items if in_period(item, first, last)]
    assert 0 < len(expected) < len(items)
    assert list(search(index, datetime=text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "..",
        "../..",
        "today",
        "2018-01-10/2018-01-12/2018-01-14",
        "2018-01-12/2018-01-10",
        "2018-13-01T00:00:00Z",
        "2018-01-01T00:00:00",
        "2018-01-12T00:00:01Z/2018-01-12T00:00:00Z",
    ],
)
def test_a_bad_datetime_is_refused(index, text):
    with pytest.raises(SatimnetError, match=r"datetime|RFC 3339"):
        search(index, datetime=text)


@pytest.mark.parametrize(
    "bbox",
    [
        [2, 42, 6.5, 47],
        [3, 43, 5, 45],
        [3, 43, 3, 43],
        [3, 42, 3, 47],
        [179.5, 42, -179.5, 47],
        [5, 42, -179.5, 47],
        [2, 42, -10, 6.5, 47, 9000],
        [0.5, 40.5, 0.6, 40.6],
    ],
)
def test_bbox(place, bbox):
    index, items = place
    west, south, *_, east, north = bbox[:2] + bbox[len(bbox) // 2 :][:2]
    parts = [(west, east)] if west <= east else [(west, 180), (-180, east)]

    def meets(item):
        shape = look_up("geometry", item)
        if shape is None:
            return False
        exact = [shapely.MultiPoint([(w, south), (e, north)]).convex_hull for w, e in parts]
        if west != east and south != north:
            exact = [shapely.box(w, south, e, north) for w, e in parts]
        return any(not shape.intersection(part).is_empty for part in exact)

    expected = [item for item in items if meets(item)]
    assert expected
    assert list(search(index, bbox=bbox)) == expected


def test_intersects_takes_geojson_features_and_shapes(place):
    index, items = place
    shape = shapely.Polygon([(0, 40), (9, 41), (5, 50)])
    geojson = json.loads(shapely.to_geojson(shape))
    expected = brute_force(items, op("s_intersects", {"property": "geometry"}, geojson))
    feature = {"type": "Feature", "geometry": geojson, "properties": {}}
    for form in (shape, geojson, feature):
        assert list(search(index, intersects=form)) == expected
    # The diamonds among the footprints: a bbox alone would find too many.
    boxes = [
        item for item in items if "bbox" in item and shapely.box(*item["bbox"]).intersects(shape)
    ]
    assert len(boxes) > len(expected)
    with pytest.raises(SatimnetError, match="GeoJSON"):
        search(index, intersects="POINT(1 2)")


def test_ids_collections_classes_and_split(place):
    index, items = place

    def check(condition, **query):
        expected = [item for item in items if condition(item)]
        assert list(search(index, **query)) == expected
        assert count(index, **query) == len(expected)
        return len(expected)

    assert check(lambda i: i["id"] == "clouds_0", ids="clouds_0") == 2
    wanted = ["eurosat_5", "clouds_7", "nothing", "it's; --"]
    assert check(lambda i: i["id"] in wanted, ids=wanted) == 2
    assert check(lambda i: False, ids=[]) == 0
    assert check(lambda i: False, collections=[]) == 0
    assert check(lambda i: i["collection"] == "clouds", collections="clouds") == 250
    assert check(lambda i: True, collections=["clouds", "eurosat", "clouds"]) == 650
    assert check(lambda i: True) == 650

    def classes(item):
        return set(item["properties"].get("satimnet:classes", ()))

    def split(item):
        return item["properties"].get("satimnet:split")

    assert check(lambda i: "it's" in classes(i), classes="it's")
    assert check(lambda i: classes(i) & {"Forest", "Höhle"}, classes=["Forest", "Höhle"])
    assert check(lambda i: False, classes=[]) == 0
    assert check(lambda i: split(i) == "test", split="test")
    assert check(lambda i: split(i) in ("test", "train"), split=["test", "train"])
    assert check(
        lambda i: (
            i["collection"] == "eurosat"
            and split(i) == "train"
            and "River" in classes(i)
            and i["properties"].get("gsd", 0) > 5
            and in_period(i, at(5), at(25))
        ),
        collections=["eurosat"],
        split="train",
        classes="River",
        filter="gsd > 5",
        datetime="2018-01-05T00:00:00Z/2018-01-25T00:00:00Z",
    )


def test_many_ids(index, trial):
    wanted = [f"eurosat_{n}" for n in range(0, 20_000, 2)]
    expected = [item["id"] for item in trial.items["eurosat"] if item["id"] in set(wanted)]
    assert [item["id"] for item in search(index, ids=wanted)] == expected


@pytest.mark.parametrize(
    ("sortby", "keys"),
    [
        ("gsd", [("gsd", False)]),
        ("-gsd", [("gsd", True)]),
        ("-properties.datetime", [("datetime", True)]),
        ("+title,-id", [("title", False), ("id", True)]),
        (
            ["satimnet:split", "-eo:cloud_cover"],
            [("satimnet:split", False), ("eo:cloud_cover", True)],
        ),
        ([{"field": "properties.reviewed", "direction": "desc"}], [("reviewed", True)]),
        (
            [{"field": "collection"}, {"field": ODD, "direction": "asc"}],
            [("collection", False), (ODD, False)],
        ),
    ],
)
def test_sorting_puts_nulls_last_and_ties_by_id(place, sortby, keys):
    index, items = place
    expected = sorted_by(items, *keys)
    found = search(index, sortby=sortby)
    assert list(found) == expected
    assert list(search(index, sortby=sortby, limit=77)) == expected[:77]


@pytest.mark.parametrize(
    ("sortby", "message"),
    [
        ("nothing", "'nothing' \\(unknown\\)"),
        ("geometry", "geometry"),
        ("satimnet:classes", "list of text"),
        ([{"field": "gsd", "direction": "up"}], "asc or desc"),
        ([{"direction": "asc"}], "a field"),
    ],
)
def test_bad_sorting_is_refused(index, sortby, message):
    with pytest.raises(SatimnetError, match=message):
        search(index, sortby=sortby)


@pytest.mark.parametrize("limit", [0, 1, 399, 400, 401, 649, 650, 10_000])
def test_limit_takes_the_first(place, limit):
    index, items = place
    found = search(index, limit=limit)
    assert len(found) == min(limit, 650)
    assert list(found) == items[:limit]
    assert len(found) == min(limit, 650)
    assert search(index, limit=limit).table(["id"]).num_rows == min(limit, 650)


def test_parts_join_to_the_whole(index, trial):
    found = search(index, sortby="-title", filter="gsd > 0")
    parts = [found.items(start, start + 37) for start in range(0, len(found), 37)]
    assert [item for part in parts for item in part] == list(found)
    assert found.items(len(found)) == []


def test_mistakes_are_told_where_they_are_made(index):
    for query, message in [
        ({"collections": "eurosatt"}, "no collection eurosatt; there are: eurosat, clouds"),
        ({"filter": "gsdd > 1"}, "no Item searched has a property 'gsdd'"),
        ({"filter": "gsd >"}, "not valid CQL2"),
        ({"collections": "clouds", "filter": '"satimnet:fold" = 1'}, "'satimnet:fold'"),
        ({"filter": "assets = 'x'"}, "'assets'"),
        ({"limit": -1}, "negative"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"intersects": {"type": "Point"}}, "GeoJSON"),
    ]:
        with pytest.raises(SatimnetError, match=message) as caught:
            search(index, **query)
        assert "\n" not in str(caught.value)
    with pytest.raises(SatimnetError, match="no column nothing"):
        search_table(index, columns=["nothing"])
    with pytest.raises(TypeError, match="has no colections; did you mean collections"):
        search(index, colections="eurosat")


# --- fields --------------------------------------------------------------------------------------

KEPT = {"type", "stac_version", "id", "collection", "geometry", "bbox", "links", "assets"}


DEFAULT = KEPT | {"properties"}
TIMES = {"datetime", "start_datetime", "end_datetime"}


def test_fields_that_are_included_are_the_only_ones(place):
    index, items = place
    for fields in (
        "properties.gsd,proj:shape",
        ["properties.gsd", "+proj:shape"],
        {"include": ["gsd", "properties.proj:shape"]},
    ):
        for found, item in zip(search(index, fields=fields), items, strict=True):
            properties = {k: v for k, v in item["properties"].items() if k in {"gsd", "proj:shape"}}
            always = {k: item[k] for k in ("type", "stac_version", "id", "collection")}
            assert found == always | {"properties": properties}


def test_fields_exclude_from_the_whole_item(index, trial):
    items = absolute(trial.items, str(trial.folder))
    names = ["geometry", "links", "satimnet:classes", "assets.rgb.href", "assets.scene"]
    for found, item in zip(search(index, fields={"exclude": names}), items, strict=True):
        del item["geometry"], item["links"]
        item["properties"].pop("satimnet:classes", None)
        item["assets"].pop("scene", None)
        if "rgb" in item["assets"]:
            del item["assets"]["rgb"]["href"]
        assert found == item


# The table of https://github.com/stac-api-extensions/fields, "null vs. empty vs. missing"
@pytest.mark.parametrize(
    ("fields", "top", "properties"),
    [
        ({}, DEFAULT, TIMES),
        ({"include": [], "exclude": None}, DEFAULT, TIMES),
        ({"include": None}, DEFAULT, TIMES),
        ("", DEFAULT, TIMES),
        ("-geometry", DEFAULT - {"geometry"}, TIMES),
        (["-geometry"], DEFAULT - {"geometry"}, TIMES),
        ({"include": [], "exclude": ["geometry"]}, DEFAULT - {"geometry"}, TIMES),
        ({"include": None, "exclude": ["geometry"]}, DEFAULT - {"geometry"}, TIMES),
        ({"include": [], "exclude": ["properties"]}, DEFAULT - {"properties"}, None),
        ("bbox,gsd,-bbox", {"bbox", "properties"}, {"gsd"}),
        ("bbox,-bbox,-geometry", {"bbox"}, None),
        ("properties.gsd,-properties", {"properties"}, {"gsd"}),
        ("-properties,+properties.gsd,bbox", {"properties", "bbox"}, {"gsd"}),
    ],
)
def test_fields_as_the_specification_has_them(index, fields, top, properties):
    always = {"type", "stac_version", "id", "collection"}
    having = {"filter": "gsd > 0 and s_intersects(geometry, BBOX(-180, -90, 180, 90))"}
    item = next(iter(search(index, collections="eurosat", fields=fields, **having)))
    assert set(item) == (top if top >= always else top | always)
    if properties is not None:
        assert set(item["properties"]) <= properties
        assert item["properties"].keys() & properties


def test_fields_of_which_a_part_is_excluded_or_included(index):
    whole = next(iter(search(index, collections="eurosat")))
    fields = {"include": ["properties", "assets", "assets.rgb.href"]}
    fields["exclude"] = ["properties.title", "assets.rgb"]
    item = next(iter(search(index, collections="eurosat", fields=fields)))
    properties = {k: v for k, v in whole["properties"].items() if k != "title"}
    assert item["properties"] == properties
    others = {k: v for k, v in whole["assets"].items() if k != "rgb"}
    assert item["assets"] == others | {"rgb": {"href": whole["assets"]["rgb"]["href"]}}
    fields = {"exclude": ["assets"], "include": ["assets.rgb.href"]}
    item = next(iter(search(index, collections="eurosat", fields=fields)))
    assert item["assets"] == {"rgb": {"href": whole["assets"]["rgb"]["href"]}}


# --- tables --------------------------------------------------------------------------------------


def test_a_table_has_the_rows_of_both_collections(place, trial):
    index, items = place
    table = search_table(index, filter="gsd = 10", sortby="-title")
    expected = sorted_by(brute_force(items, op("=", {"property": "gsd"}, 10)), ("title", True))
    assert len({item["collection"] for item in expected}) == 2
    assert table["id"].to_pylist() == [item["id"] for item in expected]
    assert table["parquet"].to_pylist() == [
        f"{base_of(index)}/{i['collection']}/items.parquet" for i in expected
    ]
    for row, item in zip(table.to_pylist(), expected, strict=True):
        for name, value in row.items():
            if name in PROPERTIES["eurosat"] | PROPERTIES["clouds"] | {"satimnet:classes": 0}:
                assert value == item["properties"].get(name)
        for key, asset in row["assets"].items():
            assert (asset is None) == (key not in item["assets"])
    wkb = [item["geometry"] and look_up("geometry", item).wkb for item in expected]
    assert table["geometry"].to_pylist() == wkb
    assert table["datetime"].type == TIME


def test_a_table_of_one_collection_is_the_parquet(index, trial):
    written = pq.read_table(trial.folder / "eurosat/items.parquet")
    table = search_table(index, collections="eurosat")
    assert table.column_names == [*written.column_names, "parquet"]
    assert table.drop_columns(["parquet"]).to_pylist() == written.to_pylist()


def test_columns_choose(index):
    columns = ["satimnet:fold", "id", "eo:cloud_cover"]
    table = search_table(index, columns=columns, filter="reviewed")
    assert table.column_names == [*columns, "parquet"]
    assert table["satimnet:fold"].null_count == len(table) > 0
    both = search_table(index, columns=columns, limit=402)
    assert both["id"].to_pylist()[-1] == "clouds_1"
    none = search_table(index, columns=columns, ids=[])
    assert none.schema == both.schema
    assert len(none) == 0


def test_the_reference_reader_agrees(trial):
    """Guards the catalog of these tests: its parquet is stac-geoparquet."""

    def bare(value):
        if isinstance(value, dict):
            return {k: bare(v) for k, v in value.items() if v is not None}
        return [bare(v) for v in value] if isinstance(value, list | tuple) else value

    def comparable(item):
        bared = bare(item)
        bared["properties"] = {
            k: instant_of(v) if k.endswith("datetime") else v
            for k, v in bared["properties"].items()
        }
        if "geometry" in bared:
            bared["geometry"] = shape_from(json.dumps(bared["geometry"])).wkb
        return bared

    for name, items in trial.items.items():
        table = pq.read_table(trial.folder / name / "items.parquet")
        # stac-geoparquet 0.8.3 fails at a row without geometry, which STAC allows.
        rows = table.filter(pc.is_valid(table["geometry"]))
        theirs = list(stac_geoparquet.arrow.stac_table_to_items(rows))
        ours = [item for item in items if item["geometry"]]
        assert 0 < len(ours) < len(items)
        assert [comparable(item) for item in theirs] == [comparable(item) for item in ours]


# --- opening -------------------------------------------------------------------------------------


def test_a_catalog_is_named_by_its_file_or_folder(trial, monkeypatch):
    for catalog in (trial.folder, f"{trial.folder}/", trial.folder / "catalog.json"):
        assert count(catalog) == 650
    for catalog in (trial.url, f"{trial.url}/", f"{trial.url}/catalog.json"):
        assert count(catalog) == 650
    monkeypatch.chdir(trial.folder)
    assert Index(".").href == str(trial.folder / "catalog.json")
    assert next(iter(search("catalog.json")))["assets"]["rgb"]["href"].startswith(str(trial.folder))


def test_what_is_no_catalog_is_refused(trial, tmp_path):
    (tmp_path / "catalog.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty.json").write_text('{"type": "Catalog", "links": []}')
    (tmp_path / "dangling.json").write_text(
        '{"type": "Catalog", "links": [{"rel": "child", "href": "./gone/collection.json"}]}'
    )
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/collection.json").write_text(
        json.dumps(COLLECTION | {"type": "Collection", "id": "bare"})
    )
    (tmp_path / "unmirrored.json").write_text(
        '{"type": "Catalog", "links": [{"rel": "child", "href": "./bare/collection.json"}]}'
    )
    for catalog, message in [
        (tmp_path, "not JSON"),
        (tmp_path / "list.json", "not a STAC object"),
        (tmp_path / "empty.json", "no collection"),
        (tmp_path / "dangling.json", "gone/collection.json: nothing is there"),
        (tmp_path / "unmirrored.json", "collection-mirror"),
        (tmp_path / "nowhere", "nowhere/catalog.json: nothing is there"),
        (trial.folder / "eurosat/collection.json", "no STAC Catalog"),
        (f"{trial.url}/nowhere", "nowhere/catalog.json: nothing is there"),
        ("http://127.0.0.1:9/", "cannot be read"),
    ]:
        with pytest.raises(SatimnetError, match=message) as caught:
            Index(catalog)
        assert str(tmp_path) in str(caught.value) or str(catalog) in str(caught.value)


def test_a_broken_parquet_is_named(trial, tmp_path):
    (tmp_path / "eurosat").mkdir()
    home = "eurosat/collection.json"
    (tmp_path / home).write_text((trial.folder / home).read_text())
    links = [{"rel": "child", "href": f"./{home}"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    with pytest.raises(SatimnetError, match=r"items\.parquet"):
        search(tmp_path)
    (tmp_path / "eurosat/items.parquet").write_bytes(b"PAR1 but not for long")
    with pytest.raises(SatimnetError, match=r"items\.parquet"):
        search(tmp_path)


def test_a_property_of_two_kinds_is_told(trial, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = (trial.folder / "clouds/collection.json").read_text().replace("clouds", name)
        (tmp_path / name / "collection.json").write_text(text)
        table = pq.read_table(trial.folder / "clouds/items.parquet")
        if name == "two":
            place = table.column_names.index("gsd")
            table = table.set_column(place, "gsd", table["gsd"].cast(pa.string()))
        pq.write_table(table, tmp_path / name / "items.parquet")
    links = [{"rel": "child", "href": f"./{name}/collection.json"} for name in ("one", "two")]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    with pytest.raises(SatimnetError, match="number or text"):
        search(tmp_path, filter="gsd = 10")
    with pytest.raises(SatimnetError, match="number or text"):
        search(tmp_path, sortby="gsd")
    assert count(tmp_path, filter="gsd is null") == 0
    assert count(tmp_path, filter="gsd = 10", collections="one") > 0
    assert count(tmp_path, filter="gsd = '10'", collections="two") > 0


def test_columns_that_are_null_throughout_may_be_missing(trial, tmp_path):
    (tmp_path / "clouds").mkdir()
    for name in ("catalog.json", "clouds/collection.json"):
        text = (trial.folder / name).read_text().replace("eurosat", "clouds")
        (tmp_path / name).write_text(text)
    table = pq.read_table(trial.folder / "clouds/items.parquet")
    table = table.drop_columns(["satimnet:split", "satimnet:classes", "datetime"])
    pq.write_table(table, tmp_path / "clouds/items.parquet")
    assert count(tmp_path) == 250
    assert count(tmp_path, split="train") == 0
    assert count(tmp_path, classes="Forest") == 0
    assert count(tmp_path, filter="datetime is null") == 250
    spans = [i for i in trial.items["clouds"] if "start_datetime" in i["properties"]]
    assert count(tmp_path, datetime="../2030-01-01") == len(spans)


def test_one_index_serves_many_threads(index):
    queries = [
        {"filter": f"gsd > {n} and s_disjoint(geometry, POINT(3 {40 + n}))"} for n in range(12)
    ]
    alone = [ids_of(search(index, **query)) for query in queries]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda query: ids_of(search(index, **query)), queries))
    assert together == alone


@pytest.fixture
def slow(monkeypatch):
    """Has ``accenti`` wait; gives what says that it does, and what lets it go on."""
    waiting, go_on = threading.Event(), threading.Event()

    def wait(column):
        waiting.set()
        assert go_on.wait(60)
        return column.combine_chunks()

    function = Function(wait, ("VARCHAR",), "VARCHAR")
    monkeypatch.setitem(TEXT_FUNCTIONS, "accenti", function)
    yield waiting, go_on
    go_on.set()


def test_a_slow_search_does_not_hold_the_others(trial, slow):
    index = Index(trial.folder)
    waiting, go_on = slow
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lambda: ids_of(search(index, filter="accenti(title) is not null")))
        assert waiting.wait(60)
        assert count(index, filter="casei(title) = casei('foret_')") > 0
        assert len(list(search(index, filter="gsd > 5", sortby="-id"))) > 0
        assert search(index).facets()["split"]
        assert not held.done()
        go_on.set()
        assert held.result() == ids_of(search(index, filter="title is not null"))


def test_a_search_has_an_end(trial):
    index = Index(trial.folder)
    index.seconds = 0.2
    with pytest.raises(TooSlowError, match="took more than"):
        index.run("SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3", Statement())
    assert index.run("SELECT 1 AS one", Statement())["one"].to_pylist() == [1]


def test_an_index_does_not_remember_the_files_of_all_items(tmp_path):
    write_catalog(tmp_path)
    path = tmp_path / "clouds/items.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()[:1] * 5000
    assets = [{"scene": {**rows[0]["assets"]["scene"], "href": f"./{n:99}"}} for n in range(5000)]
    rows = [row | {"assets": one} for row, one in zip(rows, assets, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    index = Index(tmp_path)
    index.rows("clouds", np.arange(10))
    tracemalloc.start()
    index.rows("clouds", np.arange(5000))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 100_000


def test_nothing_is_fetched_for_duckdb(index):
    sql = "SELECT install_mode FROM duckdb_extensions() WHERE loaded OR installed"
    modes = index.run(sql, Statement())["install_mode"].to_pylist()
    assert set(modes) == {"STATICALLY_LINKED"}
    with pytest.raises(SatimnetError, match="httpfs"):
        index.run("SELECT * FROM read_parquet('http://127.0.0.1:9/x')", Statement())


# --- the client ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def client(place):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PystacClientWarning)
        return client_module.open(base_of(place[0]))


@pytest.fixture(autouse=True)
def no_client_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PystacClientWarning)
        yield


SEARCHES = [
    {},
    {"collections": ["eurosat"]},
    {"ids": ["eurosat_5", "clouds_7"]},
    {"bbox": [2, 42, 6.5, 47]},
    {"bbox": [179.5, 42, -179.5, 47]},
    {"intersects": shapely.Polygon([(0, 40), (9, 41), (5, 50)])},
    {"datetime": "2018-01-10"},
    {"datetime": "2018-01-20T00:00:00Z/.."},
    {"filter": "\"satimnet:split\" = 'train' and gsd > 5"},
    {"filter": "s_intersects(geometry, bbox(3,43,5,45))", "filter_lang": "cql2-text"},
    {"filter": op("a_contains", {"property": "satimnet:classes"}, ["it's"])},
    {
        "filter": op("not", op("s_touches", {"property": "geometry"}, {"bbox": [3, 43, 5, 45]})),
        "filter_lang": "cql2-json",
    },
    {"query": {"satimnet:split": {"eq": "train"}, "gsd": {"gt": 5, "lte": 20}}},
    {"query": {"title": {"startsWith": "For"}, "satimnet:split": {"neq": "test"}}},
    {"query": {"title": {"endsWith": "_"}}},
    {"query": {"title": {"contains": "\\"}, "gsd": {"in": [10, 20]}}},
    {"query": {"gsd": {"gte": 10, "lt": 30}}, "filter": "\"satimnet:split\" = 'train'"},
    {"sortby": "-properties.datetime"},
    {"sortby": ["+title", "-id"], "collections": "clouds"},
    {"sortby": [{"field": "gsd", "direction": "desc"}], "filter": "gsd > 5"},
    {
        "collections": ["eurosat"],
        "filter": "gsd > 5",
        "datetime": "2018-01-05/2018-01-25",
        "bbox": [2, 42, 6.5, 47],
        "sortby": "-id",
    },
]


def matching(items, query):
    """The Items that a client's search must find, in order, by a loop."""

    def fits(item):
        split, gsd, title = (item["properties"].get(k) for k in ("satimnet:split", "gsd", "title"))
        tests = {
            "collections": lambda v: item["collection"] in v,
            "ids": lambda v: item["id"] in v,
            "bbox": lambda v: evaluate(
                op("s_intersects", {"property": "geometry"}, {"bbox": v}), item
            ),
            "intersects": lambda v: (
                look_up("geometry", item) and look_up("geometry", item).intersects(v)
            ),
            "datetime": lambda v: in_period(item, *PERIODS[v]),
            "filter": lambda v: evaluate(cql2.Expr(v).to_json(), item),
            "query": lambda v: QUERIES[json.dumps(v)](split, gsd, title),
        }
        return all(tests[key](value) for key, value in query.items() if key in tests)

    found = [item for item in items if fits(item)]
    return sorted_by(found, *SORTED[str(query["sortby"])]) if "sortby" in query else found


PERIODS = {
    "2018-01-10": (at(10), at(10, 23, 59, 59)),
    "2018-01-20T00:00:00Z/..": (at(20), None),
    "2018-01-05/2018-01-25": (at(5), at(25, 23, 59, 59)),
}
QUERIES = {
    json.dumps(SEARCHES[12]["query"]): lambda s, g, t: (
        s == "train" and g is not None and 5 < g <= 20
    ),
    json.dumps(SEARCHES[13]["query"]): lambda s, g, t: (
        t.startswith("For") and s not in (None, "test")
    ),
    json.dumps(SEARCHES[14]["query"]): lambda s, g, t: t.endswith("_"),
    json.dumps(SEARCHES[15]["query"]): lambda s, g, t: "\\" in t and g in (10, 20),
    json.dumps(SEARCHES[16]["query"]): lambda s, g, t: g and 10 <= g < 30,
}
SORTED = {
    "-properties.datetime": [("datetime", True)],
    "['+title', '-id']": [("title", False), ("id", True)],
    "[{'field': 'gsd', 'direction': 'desc'}]": [("gsd", True)],
    "-id": [("id", True)],
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("query", SEARCHES, ids=str)
def test_the_client_finds_what_a_loop_finds(client, place, query, method):
    expected = matching(place[1], query)
    assert expected
    assert list(client.search(**query, method=method).items_as_dicts()) == expected
    assert client.search(**query, method=method).matched() == len(expected)
    few = client.search(**query, method=method, limit=7, max_items=30)
    assert list(few.items_as_dicts()) == expected[:30]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("limit", [13, 125, 250, 1000])
def test_pages_join_to_the_whole(client, place, method, limit):
    query = {"collections": ["clouds"], "filter": "gsd > 0", "sortby": "-title"}
    expected = sorted_by(matching(place[1], {**query, "sortby": "-id"}), ("title", True))
    found = client.search(**query, limit=limit, method=method)
    pages = list(found.pages_as_dicts())
    assert [len(page["features"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 0 < len(pages[-1]["features"]) <= limit
    assert {page["numberMatched"] for page in pages} == {len(expected)}
    assert [item for page in pages for item in page["features"]] == expected
    assert len(found.item_collection()) == sum(len(page) for page in found.pages()) == len(expected)


def test_items_are_items_of_pystac(client, place):
    _, items = place
    found = client.search(collections=["eurosat"], max_items=20).items()
    for item, expected in zip(found, items, strict=False):
        assert isinstance(item, pystac.Item)
        assert item.get_root() is client
        assert item.get_collection().id == item.get_parent().id == "eurosat"
        asset = item.assets["rgb"]
        assert asset.href == asset.get_absolute_href() == expected["assets"]["rgb"]["href"]
        content = read(asset.href)
        assert content == f"eurosat {Path(asset.href).stem} bytes".encode()
        plain = item.to_dict(transform_hrefs=False) | {"stac_extensions": []}
        assert pystac.Item.from_dict(plain).validate()
    assert client.search(ids=["nothing"]).matched() == 0
    assert list(client.search(ids=["nothing"]).items()) == []


def read(href):
    if href.startswith("http"):
        with urllib.request.urlopen(href) as answer:
            return answer.read()
    return Path(href).read_bytes()


def test_fields_reach_the_client(client):
    for method in ("GET", "POST"):
        found = client.search(fields=["properties.gsd", "-assets"], method=method, max_items=3)
        for item in found.items_as_dicts():
            assert "assets" not in item
            assert set(item.get("properties", {})) <= {"gsd"}


def test_collections_of_the_client(client, place):
    index, items = place
    assert [c.id for c in client.get_collections()] == ["eurosat", "clouds"]
    collection = client.get_collection("eurosat")
    assert collection.id == "eurosat"
    assert collection.get_self_href() == f"{base_of(index)}/eurosat/collection.json"
    assert collection.get_root() is client
    mirror = collection.assets["geoparquet-items"].get_absolute_href()
    assert mirror == f"{base_of(index)}/eurosat/items.parquet"
    assert collection.get_item("eurosat_9").id == "eurosat_9"
    assert collection.get_item("clouds_9") is None
    assert [item.id for item in collection.get_items()] == [i["id"] for i in items[:400]]
    assert [item.id for item in collection.get_items("eurosat_9")] == ["eurosat_9"]
    assert sum(1 for _ in collection.get_items(recursive=True)) == 400
    for child in (client.get_child("eurosat"), *client.get_children()):
        assert child.get_item(f"{child.id}_9").id == f"{child.id}_9"
    assert sum(1 for _ in client.get_items()) == 650
    assert [c.id for c in client.collection_search().collections()] == ["eurosat", "clouds"]
    with pytest.raises(SatimnetError, match="no collection 'missing'; there are: eurosat, clouds"):
        client.get_collection("missing")
    with pytest.raises(SatimnetError, match="no collection missing"):
        client.search(collections=["missing"]).matched()


def test_queryables(client):
    properties = client.get_queryables()["properties"]
    assert properties["gsd"] == {"type": "number"}
    assert properties["datetime"] == {"type": "string", "format": "date-time"}
    assert properties["satimnet:classes"] == {"type": "array", "items": {"type": "string"}}
    assert {"satimnet:fold", "eo:cloud_cover", "geometry", "id"} <= set(properties)
    assert not {"assets", "links", "bbox"} & set(properties)
    clouds = client.get_collection("clouds").get_queryables()["properties"]
    assert "satimnet:fold" not in clouds
    merged = client.get_merged_queryables(["eurosat", "clouds"])["properties"]
    assert merged == properties


def test_the_clients_questions_cannot_be_misread(client):
    for query, message in [
        ({"query": {"gsd": {"near": 3}}}, "'near'"),
        ({"filter": "gsdd = 1"}, "'gsdd'"),
        ({"sortby": "nothing"}, "'nothing'"),
        ({"bbox": [1, 2, 3]}, "bbox"),
    ]:
        with pytest.raises(SatimnetError, match=message):
            client.search(**query).matched()


def test_a_folder_may_have_any_name(trial, tmp_path):
    folder = tmp_path / "is it? [a]#1 100% it's & so"
    shutil.copytree(trial.folder, folder)
    assert list(search(folder)) == absolute(trial.items, str(folder))
    # pystac takes what follows ? and # for parts of a URL.
    folder = folder.rename(tmp_path / "it is [a]1 100% it's & so")
    opened = client_module.open(folder)
    for method in ("GET", "POST"):
        found = opened.search(filter="gsd > 0", limit=200, method=method)
        assert sum(1 for _ in found.items()) == found.matched() > 400
    assert opened.get_collection("clouds").get_item("clouds_9").id == "clouds_9"


def test_a_plain_client_does_not_search(trial):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = pystac_client.Client.open(str(trial.folder / "catalog.json"))
        with pytest.raises(Exception, match="ITEM_SEARCH"):
            plain.search()
