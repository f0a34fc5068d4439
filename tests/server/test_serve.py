"""The server: the same Items as the static catalog gives, the standards, files by ranges."""

import gzip
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cql2
import numpy as np
import odc.stac
import pystac
import pystac_client
import pytest
import rasterio
from click.testing import CliRunner
from cql2_by_the_book import (
    at,
    evaluate,
    in_period,
    op,
    polygon,
    sorted_by,
    trees,
)
from fuzz import questions as questions_of_all_kinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from published import home_of, shard_of
from pystac.validation import validate_dict
from pystac_client.exceptions import APIError
from rasterio.windows import from_bounds
from serving import COMMAND, served, served_here
from stactools.cli.cli import cli
from trial_catalog import write_catalog

import satimnet.builder.query.client as client_module
from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import search
from satimnet.builder.server import browser
from satimnet.builder.server.thumbnails import has_picture, thumbnail
from satimnet.builder.storage.assets import gdal_path, read_bytes
from satimnet.builder.transfer.subset import save_found as save
from stactools.bigearthnet.miniature import write_miniature

pytest.importorskip("uvicorn", reason="needs the extra serve")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served [1]*") / "CAT's"
    folder.mkdir()
    write_catalog(folder)
    return folder


@pytest.fixture(scope="module")
def url(folder):
    """Of the landing page, with a slash at the end."""
    with served(folder) as (url, _):
        yield url


@pytest.fixture(scope="module")
def items(folder):
    return list(search(folder))


def ask(url, body=None, method=None, **headers):
    """Status, headers and content of an answer, whatever it is."""
    data = None if body is None else json.dumps(body).encode()
    if data is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def content_of(url):
    return ask(url)[2]


def ask_json(url, body=None, status=200):
    got, headers, content = ask(url, body)
    assert got == status, content
    assert "json" in headers["Content-Type"]
    return json.loads(content)


# --- the same Items ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clients(folder, url):
    return client_module.open(folder), pystac_client.Client.open(url)


PERIODS = {
    "2018-01-10": (at(10), at(10, 23, 59, 59, 999_999)),
    "2018-01-20T00:00:00Z/..": (at(20), None),
    "../2018-01-08T06:00:00Z": (None, at(8, 6)),
    "2018-01-05T00:00:00Z/2018-01-25T00:00:00Z": (at(5), at(25)),
}
SORTS = {
    "+title,-id": [("title", False), ("id", True)],
    "-properties.datetime": [("datetime", True)],
    "satimnet:split,gsd": [("satimnet:split", False), ("gsd", False)],
    "-collection,id": [("collection", True), ("id", False)],
}
AROUND = polygon((0, 40), (9, 41), (5, 50))
questions = st.fixed_dictionaries(
    {},
    optional={
        "collections": st.sampled_from([["eurosat"], ["clouds"], ["clouds", "eurosat"]]),
        "ids": st.lists(st.integers(0, 400).map("eurosat_{}".format), min_size=1, max_size=300),
        "datetime": st.sampled_from(list(PERIODS)),
        "filter": trees.map(lambda tree: tree if isinstance(tree, dict) else op("and", tree)),
        "sortby": st.sampled_from(list(SORTS)),
        "place": st.sampled_from(
            [
                {"bbox": [2, 42, 6.5, 47]},
                {"bbox": [179.5, 42, -179.5, 47]},
                {"bbox": [2, 42, -10, 6.5, 47, 10]},
                {"intersects": AROUND},
            ]
        ),
    },
)


def by_hand(items, asked):
    def meets(item, node):
        return evaluate(op("s_intersects", {"property": "geometry"}, node), item) is True

    tests = {
        "collections": lambda item, v: item["collection"] in v,
        "ids": lambda item, v: item["id"] in v,
        "datetime": lambda item, v: in_period(item, *PERIODS[v]),
        "filter": lambda item, v: evaluate(v, item) is True,
        "bbox": lambda item, v: meets(item, {"bbox": v if len(v) == 4 else [*v[:2], *v[3:5]]}),
        "intersects": meets,
    }
    found = [i for i in items if all(tests[k](i, v) for k, v in asked.items() if k in tests)]
    return sorted_by(found, *SORTS[asked["sortby"]]) if "sortby" in asked else found


def comparable(item, base):
    """The Item without links, and with assets as they lie in the catalog's folder."""
    whole = json.loads(json.dumps(item))
    del whole["links"]
    for asset in whole["assets"].values():
        assert asset["href"].startswith(base), asset["href"]
        asset["href"] = asset["href"].removeprefix(base)
    return whole


SETTINGS = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}
asked_somehow = given(
    asked=questions,
    limit=st.sampled_from([7, 100, 10_000]),
    method=st.sampled_from(["GET", "POST"]),
)


@settings(max_examples=60, **SETTINGS)
@asked_somehow
def test_the_server_the_static_catalog_and_a_loop_find_the_same(
    clients, folder, url, items, asked, limit, method
):
    all_find_the_same(clients, folder, url, items, asked, limit, method)


@pytest.mark.slow
@settings(max_examples=200, **SETTINGS)
@asked_somehow
def test_they_find_the_same_for_many_questions(clients, folder, url, items, asked, limit, method):
    all_find_the_same(clients, folder, url, items, asked, limit, method)


def all_find_the_same(clients, folder, url, items, asked, limit, method):
    place = asked.get("place", {})
    asked = {name: value for name, value in asked.items() if name != "place"} | place
    expected = [comparable(item, str(folder)) for item in by_hand(items, asked)]
    if "filter" in asked:
        method = "POST"  # as text, a filter of every kind would be a test of the cql2 package
        asked["filter_lang"] = "cql2-json"
    first = 3 * limit if limit == 7 else None

    def ask_of(client):
        return client.search(**asked, limit=limit, max_items=first, method=method)

    static, remote = clients
    try:
        found = list(ask_of(static).items_as_dicts())
    except SatimnetError as refusal:  # a property that no Item of these collections has
        reason = str(refusal)[:40]
        with pytest.raises(APIError) as answered:
            list(ask_of(remote).items_as_dicts())
        assert reason in json.loads(str(answered.value))["description"]
        return
    assert [comparable(item, str(folder)) for item in found] == expected[:first]
    same = ask_of(remote)
    got = [comparable(item, f"{url}catalog") for item in same.items_as_dicts()]
    assert got == expected[:first]
    assert same.matched() == ask_of(static).matched() == len(expected)


@pytest.mark.parametrize(
    "text",
    [
        "\"satimnet:split\" = 'train' and gsd > 5",
        "s_intersects(geometry, POLYGON((0 40, 9 41, 5 50, 0 40)))",
        "a_contains(\"satimnet:classes\", ('Forest', 'River'))",
        "casei(title) like casei('for%')",
    ],
)
def test_text_filters_by_get_and_post(clients, folder, url, items, text):
    expected = [i["id"] for i in by_hand(items, {"filter": cql2.Expr(text).to_json()})]
    assert expected
    for client in clients:
        found = client.search(filter=text, filter_lang="cql2-text", method="GET")
        assert [item["id"] for item in found.items_as_dicts()] == expected
    body = {"filter": text, "filter-lang": "cql2-text", "limit": 10_000}
    assert [i["id"] for i in ask_json(f"{url}search", body)["features"]] == expected


def test_collections_and_items_of_the_client(clients, folder, items):
    _, client = clients
    assert [c.id for c in client.get_collections()] == ["eurosat", "clouds"]
    collection = client.get_collection("clouds")
    assert [item.id for item in collection.get_items()] == [i["id"] for i in items[400:]]
    item = collection.get_item("clouds_9")
    assert item.get_collection().id == "clouds"
    assert read_bytes(item.assets["scene"]) == (folder / "clouds/shards/B.zip").read_bytes()[3:8]
    mirror = collection.assets["geoparquet-items"].href
    assert ask(mirror)[2] == (folder / "clouds/items.parquet").read_bytes()
    assert "eo:cloud_cover" in collection.get_queryables()["properties"]


def test_free_text_fields_and_counts(url, folder):
    found = ask_json(f"{url}search?q=stra%C3%9Fe,n10&fields=id,properties.title&limit=1000")
    index = Index(folder)
    expected = search(index, q=["straße", "n10"])
    assert [i["id"] for i in found["features"]] == [i["id"] for i in expected]
    assert found["features"][0]["properties"].keys() >= {"title"}
    assert "gsd" not in found["features"][0]["properties"]
    names = [row["name"] for row in ask_json(f"{url}aggregations")["aggregations"]]
    counts = ask_json(f"{url}aggregate?collections=eurosat&aggregations={','.join(names)}")
    by_name = {row["name"]: row for row in counts["aggregations"]}
    facets = search(index, collections="eurosat").facets()
    assert by_name["total_count"]["value"] == 400
    got = {b["key"]: b["frequency"] for b in by_name["satimnet:classes_frequency"]["buckets"]}
    assert got == facets["class"]
    (month,) = by_name["datetime_frequency"]["buckets"]
    assert (month["key"], month["frequency"]) == (
        "2018-01-01T00:00:00Z",
        facets["month"]["2018-01"],
    )


# --- the standards -------------------------------------------------------------------------------
# https://api.stacspec.org/v1.0.0: core, collections, ogcapi-features, item-search, class by class


def link(document, rel, **wanted):
    found = [x for x in document["links"] if x["rel"] == rel and wanted.items() <= x.items()]
    assert len(found) == 1, (rel, found)
    return found[0]


def test_core(url):
    landing = ask_json(url)
    assert landing["type"] == "Catalog"
    assert landing["id"] == "trial"
    validate_dict(landing)
    core = "https://api.stacspec.org/v1.0.0/core"
    assert core in landing["conformsTo"]
    assert ask_json(f"{url}conformance")["conformsTo"] == landing["conformsTo"]
    assert link(landing, "self")["href"] == link(landing, "root")["href"] == url
    for rel in ("service-desc", "conformance", "data"):
        assert ask(link(landing, rel)["href"])[0] == 200
    for method in ("GET", "POST"):
        found = link(landing, "search", method=method)
        assert found["type"] == "application/geo+json"
    for one in landing["links"]:  # every link leads somewhere, to what it says
        status, headers, _ = ask(one["href"])
        assert status == 200, one
        assert headers["Content-Type"].split(";")[0] == one["type"].split(";")[0], one
    document = ask_json(link(landing, "service-desc")["href"])
    assert document["openapi"].startswith("3.0")
    assert {"/search", "/collections/{name}/items/{id}"} <= document["paths"].keys()


def test_collections_and_features(url, items):
    landing = ask_json(url)
    listed = ask_json(link(landing, "data")["href"])
    assert [c["id"] for c in listed["collections"]] == ["eurosat", "clouds"]
    for rel in ("self", "root"):
        assert link(listed, rel)
    for collection in listed["collections"]:
        validate_dict(collection)
        alone = ask_json(link(collection, "self")["href"])
        assert alone == collection
        assert link(collection, "root")["href"] == link(collection, "parent")["href"] == url
        page = ask_json(link(collection, "items")["href"] + "?limit=3")
        assert page["type"] == "FeatureCollection"
        assert len(page["features"]) == page["numberReturned"] == 3
        for item in page["features"]:
            assert item["collection"] == collection["id"]
            validate_dict(item | {"stac_extensions": []})
            assert link(item, "collection")["href"] == link(item, "parent")["href"]
            assert link(item, "collection")["href"] == link(collection, "self")["href"]
            assert ask_json(link(item, "self")["href"]) == item
        assert link(page, "self")
        assert link(page, "next", method="GET")
    assert ask_json(f"{url}collections/nothing", status=404)["code"] == "NotFound"
    assert ask_json(f"{url}collections/nothing/items", status=404)
    assert ask_json(f"{url}collections/eurosat/items/nothing", status=404)
    assert ask_json(f"{url}collections/nothing/queryables", status=404)["code"] == "NotFound"
    for path in ("search", "aggregate"):  # these are there, whatever they are asked
        refused = ask_json(f"{url}{path}?collections=nothing", status=400)
        assert refused["code"] == "InvalidParameterValue"
        assert refused["description"].startswith("catalog.json: no collection nothing")


@pytest.mark.parametrize("path", ["search", "collections/eurosat/items"])
def test_pages_by_links_alone(url, items, path):
    asked = "limit=90&sortby=-id&filter=" + urllib.parse.quote("gsd >= 3 and gsd < 100")
    where, seen, ends = f"{url}{path}?{asked}", [], []
    while where:
        page = ask_json(where)
        seen.append([(i["collection"], i["id"]) for i in page["features"]])
        ends.append(page)
        following = [x["href"] for x in page["links"] if x["rel"] == "next"]
        where = following[0] if following else None
    expected = [i for i in items if 3 <= i["properties"].get("gsd", 0) < 100]
    expected = [i for i in expected if path == "search" or i["collection"] == "eurosat"]
    expected = sorted_by(expected, ("id", True))
    assert [one for page in seen for one in page] == [(i["collection"], i["id"]) for i in expected]
    back = ask_json(link(ends[-1], "prev")["href"])
    assert [(i["collection"], i["id"]) for i in back["features"]] == seen[-2]
    if path == "search":
        body = {
            "limit": 90,
            "sortby": [{"field": "id", "direction": "desc"}],
            "filter-lang": "cql2-json",
        }
        body["filter"] = op(
            "and", op(">=", {"property": "gsd"}, 3), op("<", {"property": "gsd"}, 100)
        )
        again = []
        while body is not None:
            page = ask_json(f"{url}search", body)
            again.append([(i["collection"], i["id"]) for i in page["features"]])
            following = [x for x in page["links"] if x["rel"] == "next"]
            body = following[0]["body"] if following else None
        assert again == seen


RING = AROUND["coordinates"][0]
SHAPES = [
    {"type": "Point", "coordinates": [3, 43]},
    {"type": "LineString", "coordinates": RING[:2]},
    AROUND,
    {"type": "MultiPoint", "coordinates": [[3, 43]]},
    {"type": "MultiLineString", "coordinates": [RING[:2]]},
    {"type": "MultiPolygon", "coordinates": [[RING]]},
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [3, 43]}]},
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["type"])
def test_intersects_takes_every_kind_of_geometry(url, items, shape):
    expected = [i["id"] for i in by_hand(items, {"intersects": shape})]
    assert expected
    text = urllib.parse.quote(json.dumps(shape))
    for found in (
        ask_json(f"{url}search", {"intersects": shape, "limit": 1000}),
        ask_json(f"{url}search?limit=1000&intersects={text}"),
    ):
        assert [i["id"] for i in found["features"]] == expected


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=-1", "limit=x", "limit=1.5", "token=x", "token=-1", "bbox=1,2,3"),
        *("bbox=a,b,c,d", "bbox=5,45,15,40", "bbox=1,1,2,2&intersects={}", "datetime=x"),
        *("datetime=2018-13-01", "datetime=../..", "datetime=2019-01-01/2018-01-01"),
        *("collections=nothing", "filter=gsd", "filter=gsd%20%3D", "filter=x%20%3D%201"),
        *("filter-lang=sql&filter=gsd%3D1", "filter-crs=EPSG:3857&filter=gsd%3D1", "sortby=x"),
        *("nonsense=1", "ids=a&ids=b", "intersects=%7B", "intersects=[]", "query=1", "q=%3F"),
        *("fields=id&fields=x", "filter=" + "(" * 3000, "limit=99999999999999999999"),
    ],
)
def test_what_cannot_be_understood_is_refused(url, query):
    refused = ask_json(f"{url}search?{query}", status=400)
    assert refused.keys() == {"code", "description"}
    assert 0 < len(refused["description"]) < 2000


@pytest.mark.parametrize(
    "body",
    [
        *(
            {"limit": 0},
            {"limit": "x"},
            {"limit": True},
            {"limit": 1.5},
            {"bbox": "x"},
            {"bbox": [1]},
        ),
        *({"bbox": [None] * 4}, {"ids": [1]}, {"collections": {}}, {"datetime": 5}),
        *({"intersects": []}, {"intersects": {"type": "Point"}}, {"filter": []}, {"filter": {}}),
        *({"filter": {"op": "="}}, {"sortby": 1}, {"sortby": [{}]}, {"sortby": [{"field": 1}]}),
        *({"fields": 1}, {"fields": {"include": 1}}, {"query": []}, {"query": {"gsd": 1}}),
        *({"q": 1}, {"token": {}}, {"filter-lang": []}, {"nonsense": 1}, [], "x", 1),
    ],
    ids=str,
)
def test_bodies_that_cannot_be_understood_are_refused(url, body):
    assert ask_json(f"{url}search", body, status=400)["description"]


def test_bodies_that_say_little_are_taken(url):
    assert ask_json(f"{url}search", {})["numberMatched"] == 650
    assert ask(f"{url}search", method="POST")[0] == 200  # an empty body asks for everything
    assert ask_json(f"{url}search", {"ids": "clouds_9"})["numberMatched"] == 1


def test_a_question_has_an_end(url):
    assert ask_json(f"{url}search", {"ids": ["x" * 2**20]}, status=413)
    assert ask_json(f"{url}search", {"limit": 10**9})["numberReturned"] == 650


NINES = "9" * 5000
CHAIN = urllib.parse.quote("id " + "= 'a' " * 3000)


@pytest.mark.parametrize(
    "path",
    [
        *(f"members/{NINES}-{NINES}/eurosat/shards/A.zip/x", f"members/0-{NINES}/clouds/x/y"),
        *("members/٣-٤/eurosat/shards/A.zip/x", "members/-1-5/eurosat/shards/A.zip/x"),
        *(f"search?limit={NINES}", f"search?token={NINES}", f"search?bbox={NINES},0,1,1"),
        *(
            f"search?filter={CHAIN}",
            "search?filter=" + "(" * 40 + "id%3D1",
            f"search?q={'!,' * 99}",
        ),
        *("search?sortby=" + "id," * 5000, "search?fields=" + "id," * 5000),
        *(f"search?intersects={'[' * 5000}", f"search?query={'[' * 5000}", "search?ids=%00,%FF"),
        *(
            f"search?datetime={NINES}",
            f"collections/{'x' * 5000}",
            f"aggregate?aggregations={NINES}",
        ),
    ],
    ids=lambda path: path[:40],
)
def test_numbers_and_lists_without_end_are_answered(url, path):
    status, _, content = ask(urllib.parse.quote(f"{url}{path}", safe="%/:?=&,-"))
    assert status in (200, 400, 404), content
    assert len(content) < 2000 or status == 200


def deep(levels):
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    [
        *('{"ids": ["\\ud800"]}', '{"collections": ["\\ud800"]}', '{"limit": NaN}', "[" * 50_000),
        '{"filter": {"op": "=", "args": [{"property": "gsd"}, 1' + "0" * 400 + "]}}",
        '{"filter": ' + '{"op": "not", "args": [' * 300 + "true" + "]}" * 301,
        '{"x": ' + deep(300) + "}",
        '{"filter": {"op": "=", "args": [1, 2], "x": ' + deep(300) + "}}",
        '{"intersects": {"type": "Point", "coordinates": [1, 2], "x": ' + deep(90) + "}}",
        *('{"intersects": {"op": ["x"]}}', '{"intersects": {"type": "Point", "property": ["x"]}}'),
        '{"filter": {"op": "isNull", "args": [{"date": "2020-01-01", "property": 5}]}}',
        '{"filter": {"op": "isNull", "args": [{"type": "Point", "property": ["x"]}]}}',
    ],
    ids=lambda text: text[:60],
)
def test_bodies_that_no_answer_could_repeat_are_answered(url, text):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=300)
    connection.request("POST", "/search", text)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read()).keys() & {"features"}) in (
        (200, {"features"}),
        (400, set()),
    )
    connection.close()


def test_a_search_that_takes_too_long_is_stopped(folder):
    ring = "POLYGON((0 0, 9 0, 9 60, 0 60, 0 0))"
    slow = " or ".join(f"s_touches(geometry, {ring}) and id = '{n}'" for n in range(500))
    with served(folder, "--time-limit", "0.01") as (url, _):
        answer = ask_json(f"{url}search", {"filter": slow}, status=422)
        assert answer["code"] == "TooCostly"
        assert "ask for less" in answer["description"]
        assert ask(f"{url}collections")[0] == 200


@pytest.mark.parametrize("path", ["search", "collections/eurosat/items"])
def test_a_plus_of_a_url_is_taken_though_it_arrives_as_a_space(url, path):
    same = "collections=eurosat&limit=3"
    up, down = (ask_json(f"{url}{path}?{same}&sortby={by}") for by in ("+title,+id", "+title,-id"))
    assert up["features"] != down["features"]
    assert up["features"] == ask_json(f"{url}{path}?{same}&sortby=%2Btitle,%2Bid")["features"]
    (item, *_) = ask_json(f"{url}{path}?{same}&fields=+id,+properties.title")["features"]
    assert item["properties"].keys() == {"title"}
    time = "2018-01-08T06:00:00"
    east = ask_json(f"{url}{path}?{same}&datetime=../{time}+02:00")["numberMatched"]
    assert east == ask_json(f"{url}{path}?{same}&datetime=../2018-01-08T04:00:00Z")["numberMatched"]
    assert 0 < east < ask_json(f"{url}{path}?{same}")["numberMatched"]


def test_errors_do_not_tell_where_the_catalog_lies(folder, tmp_path):
    home = tmp_path / 'it\'s "here"'
    shutil.copytree(folder, home)
    with served_here(home) as url:
        (home / "clouds/items.parquet").unlink()
        for path in (
            *("collections/x", "collections/x/items", "collections/x/queryables", "search?q=river"),
            *(
                "search?collections=x",
                "collections/clouds/items/clouds_9",
                "catalog/x",
                "aggregate",
            ),
            *(
                "thumbnails/clouds/clouds_9.png",
                "members/0-9/x/y",
                "search?filter=x%3D1",
                "plain/x",
            ),
        ):
            status, _, content = ask(f"{url}{path}")
            assert status < 500, path
            told = content.decode() if status < 400 else json.loads(content)["description"]
            assert told
            assert not any(part in told for part in (str(tmp_path), "xyzzy", "/tmp", "/home")), told


@pytest.fixture(scope="module")
def hidden(folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("hidden") / ".catalog"  # its own name is nobody's question
    shutil.copytree(folder, home)
    (home / ".env").write_text("secret")
    (home / "eurosat/.git").mkdir()
    (home / "eurosat/.git/config").write_text("secret")
    (home / "eurosat/config").symlink_to(".git/config")
    (home / "eurosat/a.b").write_text("shown")
    with served_here(home) as url:
        yield url


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "%2eenv", "eurosat/.git/config", "eurosat/%2Egit/config", "eurosat/config"),
        *("eurosat/../.env", "eurosat/.git", "./.env", ".", "x/..%2f.env"),
    ],
)
def test_what_begins_with_a_dot_is_not_served(hidden, path):
    for start in ("/catalog/", "/members/0-5/"):
        end = "/x" if start != "/catalog/" else ""
        status, answer = raw(hidden, f"{start}{path}{end}".encode())
        assert (status, b"secret" in answer) == (404, False)


def test_other_dots_are_served(hidden):
    assert content_of(f"{hidden}catalog/eurosat/a.b") == b"shown"
    assert content_of(f"{hidden}members/0-1/eurosat/a.b/x") == b"sh"


# --- behind a proxy -----------------------------------------------------------------------------


@contextmanager
def proxy(target, prefix, *, strips, **headers):
    """A proxy that has the server below a path of its own, as nginx and others have it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.removeprefix(prefix) if strips else self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            own = dict(self.headers) | headers
            own = {k: v.format(host=self.headers["Host"]) for k, v in own.items()}
            connection = http.client.HTTPConnection(urllib.parse.urlsplit(target).netloc)
            connection.request(self.command, path, body, own)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() != "transfer-encoding":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{prefix}/"
        server.shutdown()


PROXIES = {
    "prefix told": ("/stac", True, {"X-Forwarded-Prefix": "/stac"}, ""),
    "prefix told with a slash": ("/a/b.c", True, {"X-Forwarded-Prefix": "/a/b.c/"}, ""),
    "host told": (
        *("/stac", True),
        {"X-Forwarded-Prefix": "/stac", "X-Forwarded-Host": "{host}", "Host": "inner:1"},
        "",
    ),
    "root path": ("/stac", True, {}, "/stac"),
    "root path, prefix stays": ("/stac", False, {}, "stac/"),
    "the name of an own path": ("/catalog", True, {}, "/catalog"),
    "both": ("/stac", True, {"X-Forwarded-Prefix": "/other"}, "/stac"),
}


@pytest.mark.parametrize(("prefix", "strips", "headers", "root"), PROXIES.values(), ids=PROXIES)
def test_all_links_lead_through_a_proxy(
    folder, tmp_path, monkeypatch, prefix, strips, headers, root
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = browser._place()
    built.mkdir(parents=True)
    (built / "index.html").write_text("<html><head></head></html>")
    with (
        served_here(folder, root_path=root) as inner,
        proxy(inner, prefix, strips=strips, **headers) as url,
    ):
        seen = set()

        def follow(where):
            # these shards have no pixels
            pictures = {one["href"] for one in where["links"] if one["rel"] == "preview"}
            for one in where["links"]:
                assert one["href"].startswith(url), one
                if one["href"] not in seen | pictures and one.get("method") != "POST":
                    seen.add(one["href"])
                    assert ask(one["href"])[0] == 200, one

        for api in (url, f"{url}plain/"):
            landing = ask_json(api)
            assert link(landing, "self")["href"] == link(landing, "root")["href"] == api
            assert link(landing, "data")["href"] == f"{api}collections"
            follow(landing)
            follow(ask_json(f"{api}collections/clouds"))
            page = ask_json(f"{api}search?limit=2&collections=clouds")
            follow(page)
            for item in page["features"]:
                follow(item)
                for asset in item["assets"].values():
                    assert asset["href"].startswith(url)
                    assert ask(asset["href"])[0] == 200
            posted = ask_json(f"{api}search", {"limit": 2})
            assert link(posted, "next")["href"] == f"{api}search"
            assert ask_json(f"{api}api")["servers"] == [{"url": api.rstrip("/")}]
        assert f'"{url}plain/"' in content_of(f"{url}browser/config.js").decode()
        assert ask(url, Accept="text/html")[2] == content_of(f"{url}browser/")
        client = pystac_client.Client.open(url)
        assert len(list(client.search(max_items=70, limit=30).items())) == 70


def test_the_command_takes_a_root_path(folder):
    with (
        served(folder, "--root-path", "/stac") as (inner, _),
        proxy(inner, "/stac", strips=True) as url,
    ):
        assert link(ask_json(url), "root")["href"] == url
        assert link(ask_json(url), "data")["href"] == f"{url}collections"


def test_what_no_proxy_says_changes_nothing(url):
    for odd in ("//evil.org", "/a b", "x", "/<script>", "/a?b", "/a#"):
        landing = json.loads(ask(url, **{"X-Forwarded-Prefix": odd})[2])
        assert link(landing, "root")["href"] == url, odd
    for name, odd in (("Host", "evil.org/x"), ("Host", "a b"), ("Proto", "javascript")):
        landing = json.loads(ask(url, **{f"X-Forwarded-{name}": odd})[2])
        assert link(landing, "root")["href"] == url, odd
    landing = json.loads(ask(url, **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.org"})[2])
    assert link(landing, "root")["href"] == "https://a.org/"


def test_a_root_path_is_a_path(folder):
    command = [
        sys.executable,
        "-c",
        COMMAND,
        "satimnet",
        "serve",
        str(folder),
        "--root-path",
        "/a b",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "give a path such as /stac" in done.stderr


# --- compression --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["search?limit=40", "collections", "api", "catalog/eurosat/collection.json"]
)
def test_json_is_compressed_for_those_who_ask(url, path):
    status, headers, plain = ask(f"{url}{path}")
    assert (status, headers["Content-Encoding"]) == (200, None)
    status, headers, packed = ask(f"{url}{path}", **{"Accept-Encoding": "br, gzip"})
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert "Accept-Encoding" in headers["Vary"]
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain)


def test_pixels_tables_and_ranges_are_not_compressed(url, folder):
    (folder / "eurosat/large.bin").write_bytes(b"0" * 10_000)
    whole = (folder / "eurosat/items.parquet").read_bytes()
    for path, asked, expected in (
        ("catalog/eurosat/items.parquet", {}, whole),
        ("catalog/eurosat/large.bin", {}, b"0" * 10_000),
        ("members/0-9999/eurosat/large.bin/a.zip", {}, b"0" * 10_000),
        ("catalog/eurosat/items.parquet", {"Range": "bytes=0-4999"}, whole[:5000]),
        (
            "catalog/catalog.json",
            {"Range": "bytes=0-9"},
            (folder / "catalog.json").read_bytes()[:10],
        ),
    ):
        _, headers, content = ask(f"{url}{path}", **{"Accept-Encoding": "gzip"}, **asked)
        assert (headers["Content-Encoding"], content) == (None, expected)
        assert headers["Content-Length"] == str(len(expected))


# --- files ---------------------------------------------------------------------------------------


def test_byte_ranges(url, folder):
    whole = (folder / "eurosat/items.parquet").read_bytes()
    where = f"{url}catalog/eurosat/items.parquet"
    status, headers, content = ask(where)
    assert (status, content) == (200, whole)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "application/vnd.apache.parquet"
    for wanted, part in [
        ("bytes=3-7", whole[3:8]),
        ("bytes=-8", whole[-8:]),
        ("bytes=100-", whole[100:]),
        (f"bytes=10-{10**12}", whole[10:]),
    ]:
        status, headers, content = ask(where, Range=wanted)
        assert (status, content) == (206, part)
        first = 3 if wanted == "bytes=3-7" else len(whole) - len(part)
        assert headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    assert ask(where, Range=f"bytes={len(whole)}-")[0] == 416
    assert ask(where, Range="bytes=x")[0] in (200, 400)
    status, headers, content = ask(where, method="HEAD")
    assert (status, headers["Content-Length"], content) == (200, str(len(whole)), b"")
    assert ask(where, **{"If-None-Match": headers["ETag"]})[0] == 304


def test_pages_of_other_hosts_may_read(url):
    preflight = {"Origin": "https://a.org", "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "content-type"
    status, headers, _ = ask(f"{url}search", method="OPTIONS", **preflight)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "*")
    _, headers, _ = ask(f"{url}catalog/catalog.json", Origin="https://a.org", Range="bytes=0-9")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]


def test_the_static_catalog_is_served_as_it_lies(url, folder, items):
    root = pystac.Catalog.from_file(f"{url}catalog/catalog.json")
    assert [c.id for c in root.get_children()] == ["eurosat", "clouds"]
    assert next(iter(search(f"{url}catalog")))["id"] == items[0]["id"]


def raw(url, target):
    """The answer to a request whose target no client has tidied up."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=300) as connection:
        connection.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("which", ["folder", "catalog"])
def test_the_page_tells_search_engines_what_there_is(which, request, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = browser._place()
    built.mkdir(parents=True)
    (built / "index.html").write_text("<html><head><title>T</title></head><body></body></html>")
    with served_here(request.getfixturevalue(which)) as url:
        head, _, _ = content_of(f"{url}browser/").decode().partition("</head>")
        found = re.search(r'<script type="application/ld\+json">([^<]*)</script>', head)
        described = json.loads(found[1])
        assert described["@type"] == "DataCatalog"
        assert described["dataset"]
        for dataset in described["dataset"]:
            (download,) = dataset["distribution"]
            assert content_of(download["contentUrl"])[:4] == b"PAR1"
            collection = json.loads(content_of(dataset["@id"]))
            assert dataset["name"] == collection.get("title", collection["id"])


@pytest.fixture(scope="module")
def trapped(folder, tmp_path_factory):
    """A catalog with ways out of it, and what must not be read."""
    home = tmp_path_factory.mktemp("trapped")
    (home / "secret.txt").write_text("nobody's business")
    (home / "cat-secret").mkdir()
    (home / "cat-secret/secret.txt").write_text("nobody's business")
    shutil.copytree(folder, home / "cat")
    (home / "cat/out.txt").symlink_to(home / "secret.txt")
    (home / "cat/up").symlink_to(home)
    (home / "cat/eurosat/shards/C.zip").symlink_to("../../../secret.txt")
    (home / "cat/inside.zip").symlink_to("eurosat/shards/A.zip")
    with served_here(home / "cat") as url:
        yield url, home


WAYS = [
    *(b"../secret.txt", b"%2e%2e/secret.txt", b"..%2fsecret.txt", b"%2e%2e%2fsecret.txt"),
    *(b"%252e%252e/secret.txt", b"....//secret.txt", b"..\\secret.txt", b"..%5csecret.txt"),
    *(b"..%c0%afsecret.txt", b"%c0%ae%c0%ae/secret.txt", b"./../secret.txt", b"..;/secret.txt"),
    *(b"eurosat/../../secret.txt", b"../cat-secret/secret.txt", b"eurosat/..%2f..%2fsecret.txt"),
    *(b"out.txt", b"up/secret.txt", b"up/cat/up/secret.txt", b"eurosat/shards/C.zip"),
    *(b"..%00/secret.txt", b"%00", b"catalog.json%00.txt", b"~/x", b"a" * 5000),
    *(b"..", b"%2e%2e", b"%ff", b"?../secret.txt"),
]


MOUNTS = [b"/catalog/", b"/browser/", b"/", b"/thumbnails/", b"/members/0-9/", b"/plain/"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_nothing_outside_the_catalog_can_be_read(trapped, mount):
    url, home = trapped
    secret = str(home).encode() + b"/secret.txt"
    for way in (*WAYS, secret, b"/" + secret, b"%2f" + secret[1:], b"file://" + secret):
        status, answer = raw(url, mount + way)
        assert status in (200, 307, 308, 400, 404, 405), (way, answer[:200])
        assert b"business" not in answer, way
        if mount in (b"/catalog/", b"/members/0-9/"):
            assert status != 200, way
            assert raw(url, mount + way + b"/name.jpg")[0] != 200, way
    for path in (b"/catalog/inside.zip", b"/members/8-14/inside.zip/x"):
        status, answer = raw(url, path)  # a link that stays inside leads there
        assert (status, answer.endswith(b"A bytes")) == (200, True)


def test_only_this_machine_can_reach_it(url):
    assert urllib.parse.urlsplit(url).hostname == "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but chooses an address
            own = probe.getsockname()[0]
        except OSError:
            own = "127.0.0.2"  # without a network: another address of this machine
    if own.startswith("127."):
        own = "127.0.0.2"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, urllib.parse.urlsplit(url).port), timeout=5)


def test_what_cannot_be_served_is_told_in_a_line(folder, url, tmp_path):
    def stac(*arguments):
        done = CliRunner().invoke(cli, ["satimnet", "serve", *map(str, arguments)])
        assert done.exit_code == 1
        assert len(done.output.splitlines()) == 1
        return done.output

    assert "nothing is there" in stac(tmp_path)
    taken = urllib.parse.urlsplit(url).port
    assert f"port {taken}: cannot be served" in stac(folder, "--port", taken)
    assert "cannot be served" in stac(folder, "--host", "192.0.2.1")


def test_ctrl_c_ends_it_quietly(folder):
    with served(folder) as (url, process):
        assert ask(url)[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 0


# --- survival ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hardy(catalog, tmp_path_factory):
    """The URL of a server that much is asked of, its process, and what it serves."""
    folder = tmp_path_factory.mktemp("hardy") / "catalog"
    shutil.copytree(catalog, folder)
    (folder / "large.bin").write_bytes(bytes(range(256)) * 2**15)  # 8 MiB
    with served(folder) as (url, process):
        yield url, process, folder


def test_two_hundred_clients_half_of_them_cut_off(hardy):
    url, process, folder = hardy
    whole = (folder / "large.bin").read_bytes()
    open_files = Path(f"/proc/{process.pid}/fd")
    expected = ask(f"{url}search?limit=40")[2]
    before = len(list(open_files.iterdir()))
    parts = urllib.parse.urlsplit(url)
    start = threading.Barrier(200)
    wrong = []

    def cut_off(number):
        path = ("/catalog/large.bin", "/search?limit=40", "/search")[number % 3]
        start.wait()
        with socket.create_connection((parts.hostname, parts.port), timeout=300) as connection:
            if path == "/search":  # half a question
                connection.sendall(
                    b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
                )
            else:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                connection.recv(100)
            if number % 2:  # at once, without the farewell of TCP
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def stay(number):
        start.wait()
        try:
            if number % 2:
                first = 1000 * number
                asked = f"bytes={first}-{first + 99_999}"
                got = ask(f"{url}catalog/large.bin", Range=asked)
                if (got[0], got[2]) != (206, whole[first : first + 100_000]):
                    wrong.append((number, got[0], len(got[2])))
            else:
                got = ask(f"{url}search?limit=40")
                if (got[0], got[2]) != (200, expected):
                    wrong.append((number, got[0], len(got[2])))
        except OSError as error:
            wrong.append((number, error))

    threads = [
        threading.Thread(target=job, args=[n]) for n in range(100) for job in (cut_off, stay)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=600)
    assert wrong == []
    assert ask(f"{url}search?limit=40")[2] == expected
    assert process.poll() is None
    for _ in range(100):
        after = len(list(open_files.iterdir()))
        if after <= before + 5:
            break
        threading.Event().wait(0.1)
    assert after <= before + 5


# --- without archives ----------------------------------------------------------------------------


def test_the_plain_api_has_the_same_items_with_members_as_assets(url, folder, items):
    client = pystac_client.Client.open(f"{url}plain/")
    found = list(client.search(limit=90, sortby="-id").items_as_dicts())
    known = sorted_by(items, ("id", True))
    assert [item["id"] for item in found] == [item["id"] for item in known]
    for item, kept in zip(found, known, strict=True):
        assert item["properties"] == kept["properties"]
        for key, asset in item["assets"].items():
            entry = kept["assets"][key]["archive"][0]
            assert not {"archive", "satimnet:pixels"} & asset.keys()
            assert asset["type"] == entry["type"]
            assert asset["href"].rpartition("/")[2] == entry["href"].rpartition("/")[2]
    for item, kept in list(zip(found, known, strict=True))[::100]:
        for key, asset in item["assets"].items():
            assert content_of(asset["href"]) == read_bytes(kept["assets"][key])
    assert ask_json(found[0]["links"][0]["href"]) == found[0]
    landing = ask_json(f"{url}plain/")
    for one in landing["links"]:
        assert one["href"].startswith((f"{url}plain/", f"{url}catalog/"))
        assert ask(one["href"])[0] == 200
    assert ask_json(ask_json(f"{url}plain/api")["servers"][0]["url"])["id"] == "trial"
    collection = client.get_collection("clouds")
    assert ask(collection.assets["geoparquet-items"].href)[0] == 200


def test_parts_of_a_member(url, folder):
    shard = (folder / "clouds/shards/B.zip").read_bytes()
    whole, where = shard[3:8], f"{url}members/3-7/clouds/shards/B.zip/a%20b.png"
    status, headers, content = ask(where)
    assert (status, headers["Content-Type"], content) == (200, "image/png", whole)
    assert (headers["Accept-Ranges"], headers["Content-Length"]) == ("bytes", "5")
    for wanted, first, last in [
        ("bytes=1-2", 1, 2),
        ("bytes=-2", 3, 4),
        ("bytes=2-", 2, 4),
        ("bytes=0-65535", 0, 4),  # as geotiff.js asks
    ]:
        status, headers, content = ask(where, Range=wanted)
        assert (status, content) == (206, whole[first : last + 1])
        assert headers["Content-Range"] == f"bytes {first}-{last}/5"
    for odd in ("bytes=-", "bytes=3-1", "bytes=0-1,3-4", "items=0-1", "bytes=x-"):
        assert ask(where, Range=odd)[::2] == (200, whole)
    status, headers, _ = ask(where, Range="bytes=5-")
    assert (status, headers["Content-Range"]) == (416, "bytes */5")
    status, headers, content = ask(where, method="HEAD")
    assert (status, headers["Content-Length"], content) == (200, "5", b"")
    for gone in ("3-7/clouds/shards/C.zip/x", "7-3/clouds/shards/B.zip/x", "3-7/clouds/shards/x"):
        assert ask(f"{url}members/{gone}")[0] == 404
    assert ask(f"{url}members/0-{len(shard)}/clouds/shards/B.zip/x")[0] == 404
    assert ask(f"{url}members/0-{'9' * 400}/clouds/shards/B.zip/x")[0] == 404


def test_gdal_and_odc_stac_need_nothing_of_ours(tmp_path):
    """GDAL's STACIT driver, through which GIS programs show a search as one raster."""
    build(write_miniature(tmp_path / "source"), tmp_path / "catalog", overview=False)
    with served(tmp_path / "catalog") as (url, _):
        client = pystac_client.Client.open(f"{url}plain/")
        (item,) = client.search(max_items=1).items()
        cube = odc.stac.load([item], bands=["B04", "B11"])
        code = item.properties["proj:code"]
        zone = code.replace(":", "_")
        assert cube.odc.crs == code
        mosaic = f'STACIT:"{url}plain/search?collections=bigearthnet":asset=B04,crs={zone}'
        with rasterio.open(mosaic) as whole, rasterio.open(item.assets["B04"].href) as image:
            pixels = image.read(1)
            assert whole.crs == image.crs == code
            window = from_bounds(*image.bounds, whole.transform)
            np.testing.assert_array_equal(whole.read(1, window=window), pixels)
        np.testing.assert_array_equal(cube["B04"].values[0], pixels)


def test_thumbnails(catalog):
    with served_here(catalog) as url:
        (item,) = ask_json(f"{url}search?limit=1")["features"]
        preview = link(item, "preview")
        status, headers, content = ask(preview["href"])
        assert (status, headers["Content-Type"]) == (200, "image/png")
        picture = np.asarray(Image.open(io.BytesIO(content)))
        with rasterio.open(gdal_path(next(iter(search(catalog)))["assets"]["rgb"])) as image:
            expected = np.moveaxis(image.read(), 0, 2)
        assert (picture == expected.repeat(4, axis=0).repeat(4, axis=1)).all()
        assert ask(preview["href"].replace(item["id"], "nothing"))[0] == 404


def test_thumbnails_of_measured_values(catalog):
    (item,) = search(catalog, limit=1)
    del item["assets"]["rgb"]
    index = Index(catalog)
    document = index.collections["eurosat"].document.json
    picture = np.asarray(Image.open(io.BytesIO(thumbnail(item, document))))
    assert picture.shape == (256, 256, 3)
    with rasterio.open(gdal_path(item["assets"]["multispectral"])) as image:
        red = image.read(4)
    assert picture[..., 0].max() - picture[..., 0].min() > 100
    corners = [(0, 0), (0, 63), (63, 0), (40, 40), (20, 50)]
    order = sorted(corners, key=lambda at: red[at])
    assert sorted(order, key=lambda at: picture[at[0] * 4, at[1] * 4, 0]) == order
    item["assets"]["multispectral"]["archive"][0]["range"] = [0, 100]
    assert thumbnail(item, document) is None
    assert not has_picture({"assets": {}})


@pytest.mark.parametrize("overviews", [True, False])
def test_thumbnails_of_large_scenes_are_drawn_from_their_overviews(tmp_path, overviews):
    path, side = tmp_path / "scene.tif", 24_000
    shape = {"width": side, "height": side, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", tiled=True, sparse_ok=True, **shape) as image:
        if overviews:
            image.build_overviews([4**n for n in range(1, 5)])
    os.truncate(path, size := 10_000_000)  # 576 MB are possible in so many bytes
    entry = {"href": "scene.tif", "type": "image/tiff", "range": [0, size - 1]}
    asset = {"href": str(path), "bands": [{"name": "a"}], "archive": [entry]}
    drawn = thumbnail({"assets": {"image": asset}}, {"item_assets": {"image": {}}})
    assert (drawn is not None) == overviews


def test_a_catalog_elsewhere_is_served_from_there(catalog, serve):
    with serve(catalog) as host, served_here(host) as url:
        (item,) = ask_json(f"{url}search?limit=1&q=river")["features"]
        asset = item["assets"]["rgb"]
        assert asset["href"] == f"{host}/eurosat/shards/{shard_of(catalog, 'River-00000').name}"
        assert read_bytes(asset) == read_bytes(
            next(iter(search(catalog, q="river")))["assets"]["rgb"]
        )
        assert ask(link(item, "preview")["href"])[0] == 200
        assert ask(f"{url}catalog/catalog.json")[0] == 404


def test_what_lies_outside_the_catalog_is_neither_served_nor_named(catalog, tmp_path):
    """The server of a saved catalog draws its pictures, and says nothing of where it reads."""
    save(search(catalog, classes="River"), tmp_path / "saved")
    path = home_of(tmp_path / "saved") / "collection.json"
    document = json.loads(path.read_bytes())
    document["assets"]["outside"] = {"href": f"{tmp_path}/overview.png"}
    document["assets"]["web"] = {"href": "https://example.com/overview.png"}
    path.write_text(json.dumps(document))
    with served_here(tmp_path / "saved") as url:
        (item,) = ask_json(f"{url}search?limit=1")["features"]
        assert item["assets"] == {}
        assert ask(link(item, "preview")["href"])[0] == 200
        collection = ask_json(f"{url}collections/eurosat")
        assert set(collection["assets"]) == {"geoparquet-items", "web"}
        assert "derived_from" not in {one["rel"] for one in collection["links"]}
        for below in ("", "plain/"):
            for answer in ("", "collections", "collections/eurosat", "search?limit=1"):
                content = ask(f"{url}{below}{answer}")[2].decode()
                assert not any(word in content for word in (str(tmp_path), str(catalog), "seal"))
        outside = os.path.relpath(catalog, tmp_path / "saved")
        status, _ = raw(url, f"/catalog/{outside}/catalog.json".encode())
        assert status == 404


def test_malformed_requests(hardy):
    """The first of those of ``python -m tests.fuzz.questions``."""
    url, process, folder = hardy
    results = questions_of_all_kinds.answers(url, str(folder).encode(), range(25))
    assert len(results) == 25
    assert [(seed, told) for seed, (*_, told) in enumerate(results) if told] == []
    assert process.poll() is None
    assert ask(url)[0] == 200


@pytest.mark.slow
def test_many_malformed_requests():
    """A short cut of ``python -m tests.fuzz.questions``."""
    command = [sys.executable, "-m", "tests.fuzz.questions", "--cases", "250"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "250 requests" in done.stdout
    assert "0 faults" in done.stdout


@pytest.mark.slow
def test_malformed_questions_by_the_thousand(url, tmp_path):
    """Of all kinds that the API's own description admits, and of those that it does not."""
    options = ["--checks", "not_a_server_error", "--max-examples", "60", "--seed", "7"]
    options += ["--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", f"{url}api", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = re.search(r"(\d+) generated", done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    assert told, done.stdout[-3000:]
    assert int(told[1]) > 1000
    assert ask(url)[0] == 200
