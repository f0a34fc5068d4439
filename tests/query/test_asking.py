"""What can be asked beyond CQL2, against a loop over all Items: free text, facets, classes."""

import json
import re
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from cql2_by_the_book import brute_force, op
from facts_by_hand import facts_of
from stactools.cli.cli import cli
from trial_catalog import CLASSES, ids_of, write_catalog

from satimnet.builder.errors import SatimnetError
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search
from satimnet.builder.query.search_results import FACETS

TABLES = {
    "eurosat": [
        *(("Forest", "Forest", "closed tree cover"), ("River", "River or canal", "running")),
        ("SeaLake", "Sea or lake", "water that stands"),
    ],
    "clouds": [("Höhle", "Cave", "a hole in a rock"), ("it's", "It", "Land-use of no kind")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    write_catalog(folder)
    for name, rows in TABLES.items():
        path = folder / name / "collection.json"
        document = json.loads(path.read_text())
        table = [dict(zip(("name", "title", "description"), row)) for row in rows]
        document["summaries"] = {"classification:classes": table}
        document["keywords"] = ["Sentinel-2", f"{name} of the day"]
        path.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def index(folder):
    return Index(folder)


@pytest.fixture(scope="module")
def items(index):
    return list(search(index))


def words(text):
    plain = unicodedata.normalize("NFD", text.lower())
    return re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))


def stands_in(term, text):
    """Whether the words stand in the text one after the other, the last perhaps as a beginning."""
    wanted, there = words(term), words(text)
    return any(
        there[at : at + len(wanted) - 1] == wanted[:-1]
        and there[at + len(wanted) - 1].startswith(wanted[-1])
        for at in range(len(there) - len(wanted) + 1)
    )


def texts_of(item):
    name = item["collection"]
    yield from (item["properties"]["title"], name, f"The {name}", "Sentinel-2")
    yield f"{name} of the day"
    for row in TABLES[name]:
        if row[0] in item["properties"].get("satimnet:classes", ()):
            yield from row


@pytest.mark.parametrize(
    "term",
    [
        *("forêt", "FORET", "foret %", "straße", "stras", "n1", "n10", "tree", "closed tree"),
        *("tree closed", "losed", "river or", "hohle", "HÖHLE", "cave", "land use", "sentinel 2"),
        *("sentinel", "of the day", "clouds of", "nothing at all", "it's", "a\\b", "hole in a"),
    ],
)
def test_free_text_finds_what_a_loop_finds(index, items, term):
    expected = [i for i in items if any(stands_in(term, text) for text in texts_of(i))]
    assert ids_of(search(index, q=term)) == ids_of(expected)


def test_free_text_of_several_terms_is_any_of_them(index, items):
    expected = [
        i for i in items if any(stands_in(t, text) for text in texts_of(i) for t in ("cave", "n1"))
    ]
    assert ids_of(search(index, q=["cave", "n1"])) == ids_of(expected)
    some = [i for i in expected if i["collection"] == "eurosat"]
    assert 0 < len(some) < len(expected)
    assert ids_of(search(index, q=["cave", "n1"], collections="eurosat")) == ids_of(some)
    assert count(index, q=[]) == 0
    with pytest.raises(SatimnetError, match="no word to look for"):
        search(index, q="?!")


def test_all_classes_occur_together(index, items):
    for wanted in (["Forest"], ["Forest", "River"], CLASSES[:3], CLASSES, []):
        expected = [
            i
            for i in items
            if "satimnet:classes" in i["properties"]
            and set(wanted) <= set(i["properties"]["satimnet:classes"])
        ]
        assert ids_of(search(index, all_classes=wanted)) == ids_of(expected)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"split": "train"},
        {"filter": "gsd > 5", "collections": "eurosat"},
        {"sortby": "-id", "limit": 50},
        {"ids": []},
    ],
)
def test_facets_count_what_a_loop_counts(index, query):
    found = search(index, **query)
    expected = {name: Counter() for name in FACETS}
    for item in found:
        properties = item["properties"]
        expected["collection"][item["collection"]] += 1
        expected["class"].update(properties.get("satimnet:classes", ()))
        expected["split"].update(filter(None, [properties.get("satimnet:split")]))
        expected["month"].update([properties["datetime"][:7]] if properties["datetime"] else [])
        facts = facts_of(item, set())
        expected["format"].update(facts["formats"])
        expected["data_type"].update(facts.get("data_types", ()))
        expected["band_count"].update(map(str, facts["band_counts"]))
        expected["band"].update(facts["band_names"])
        expected["mask"][str(facts["has_mask"]).lower()] += 1
        expected["annotation"][str(facts["has_annotation"]).lower()] += 1
        expected["georeference"][str(facts["georeferenced"]).lower()] += 1
        expected["nodata"][str(facts["has_nodata"]).lower()] += 1
    facets = found.facets()
    assert facets == expected
    for values in facets.values():
        assert list(values.values()) == sorted(values.values(), reverse=True)


def test_the_command_asks_the_same(folder, index):
    def stac(*arguments):
        done = CliRunner().invoke(cli, ["satimnet", "search", str(folder), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert int(stac("--text", "cave", "--count")) == count(index, q="cave") > 0
    together = count(index, all_classes=["Forest", "River"])
    assert (
        int(stac("--class", "Forest", "--class", "River", "--all-classes", "--count")) == together
    )
    assert 0 < together < count(index, classes=["Forest", "River"])
    facets = json.loads(stac("--facets", "--split", "train", "--format", "json"))
    assert facets == search(index, split="train").facets()
    table = stac("--facets", "--split", "train")
    assert re.search(rf"^\s*Forest +{facets['class']['Forest']} +█+ *$", table, re.MULTILINE)


DEEP = {
    "brackets": "(" * 50_000 + "gsd = 1" + ")" * 50_000,
    "negations": "NOT " * 50_000 + "gsd = 1",
    "negated brackets": "(NOT " * 20_000 + "gsd = 1" + ")" * 20_000,
    "sums": "gsd = " + "+".join(["1"] * 50_000),
    "sums of brackets": "gsd = " + "+".join(["(1)"] * 50_000),
    "conjunctions": " AND ".join(["(gsd = 1)"] * 50_000),
    "unbalanced": "(" * 50_000,
    "JSON": '{"op":"not","args":[' * 50_000,
    "JSON that is text": "{" + "(" * 50_000,
    "arrays": "a_contains(proj:shape, " + "(" * 50_000,
    "geometries": "s_intersects(geometry, " + "POLYGON(" * 50_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_a_filter_that_nests_without_end_ends_no_process(text):
    """In a process of its own, for the parser would take this one with it."""
    code = (
        "import sys, threading\n"
        "from satimnet.builder.errors import SatimnetError\n"
        "from satimnet.builder.query.cql2_json import parse_filter\n"
        "def parse(text):\n"
        "    try:\n"
        "        parse_filter(text)\n"
        "    except SatimnetError as error:\n"
        "        print('refused', len(str(error)))\n"
        "thread = threading.Thread(target=parse, args=[sys.stdin.read()])\n"
        "thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused")


def test_long_filters_that_are_flat_are_taken(index):
    ring = ", ".join(f"{-x / 30} {-x * x / 1e5}" for x in range(3000))
    many = f"id IN ({', '.join(repr(str(n)) for n in range(5000))})"
    around = "s_intersects(geometry, POLYGON((-20 0, 30 0, 30 60, -20 60, -20 0)))"
    alternatives = " OR ".join(f"(gsd = {n} AND title = 'not (a) or')" for n in range(300))
    assert count(index, filter=f"{many} OR {around}") > 0
    assert count(index, filter=f"s_intersects(geometry, LINESTRING({ring}))") == 0
    assert count(index, filter=alternatives) == 0


def test_many_values_are_found_as_few_are(index, items):
    """With nulls, negated and beside another condition: more values than stand one by one."""
    names = [item["id"] for item in items[::7]]
    assert ids_of(search(index, ids=names)) == ids_of(i for i in items if i["id"] in names)
    for column, values in {
        "id": [*names, None],
        "gsd": [*range(30), None],
        "satimnet:split": ["train", *map(str, range(20))],
    }.items():
        one_of = op("in", {"property": column}, values)
        alternatives = op("or", *(op("=", {"property": column}, value) for value in values))
        no_gsd = op("isNull", {"property": "gsd"})
        for tree in (one_of, alternatives, op("not", one_of), op("or", no_gsd, one_of)):
            assert ids_of(search(index, filter=tree)) == ids_of(brute_force(items, tree))
    times = sorted({item["properties"]["datetime"] or "2018-01-10" for item in items})[:20]
    found = search(index, filter=op("in", {"property": "datetime"}, times))
    assert ids_of(found) == ids_of(i for i in items if i["properties"]["datetime"] in times)


def test_a_thousand_terms_of_free_text_are_one_pattern(index, items):
    terms = [f"nothing{n} here" for n in range(500)]
    assert count(index, q=terms) == 0
    assert ids_of(search(index, q=[*terms, "n1"])) == ids_of(search(index, q="n1"))
    with pytest.raises(SatimnetError, match="at most 1,000 terms"):
        search(index, q=["a"] * 1001)


def test_many_conditions_are_planned_as_one(index, items):
    """DuckDB alone would be busy for minutes, before anything could stop it."""
    titled = [item for item in items if item["properties"].get("title") is not None]
    flat = " and ".join(f"not title like '%x{n}'" for n in range(950))
    tens = [" or ".join(f"title like '%x{n}{k}'" for k in range(10)) for n in range(90)]
    for text in (flat, " and ".join(f"not ({ten})" for ten in tens)):
        assert count(index, filter=text) == len(titled)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"sortby": ["id"] * 21}, "sortby has 21 fields"),
        ({"fields": ["id"] * 101}, "more than 100 names"),
        ({"split": "tset"}, "no split 'tset'; there are train, validation, test"),
        ({"split": ["train", "val"]}, "no split 'val'"),
        ({"classes": "Rivr"}, "no class 'Rivr'; did you mean River?"),
        ({"classes": ["Forest", "river or cannal"]}, "did you mean River?"),
        (
            {"all_classes": "Desert"},
            "no class 'Desert'; there are Forest, Höhle, River, SeaLake, it's",
        ),
        ({"bbox": (5, -100, 15, 45)}, "latitudes are -90 to 90"),
        ({"bbox": (5, 40, 0, 15, 450, 10)}, "latitudes are -90 to 90"),
    ],
)
def test_what_is_misspelt_is_told_and_not_just_not_found(index, query, message):
    with pytest.raises(SatimnetError, match=re.escape(message)):
        search(index, **query)


def test_the_command_says_what_it_understood(catalog, folder):
    def run(*arguments):
        return CliRunner().invoke(cli, ["satimnet", *map(str, arguments)])

    done = run("search", catalog, "--concept", "forests", "--limit", 1)
    assert done.exit_code == 0
    assert done.stderr.startswith("forests means: forest")
    assert run("search", catalog, "--concept", "forests", "--count").stderr == ""
    assert run("search", catalog, "--concept", "f").exit_code == 1
    both = run("search", folder, "--text", "hole in,closed", "--count")
    assert (
        both.stdout
        == run("search", folder, "--text", "hole in", "--text", "closed", "--count").stdout
    )
    assert int(both.stdout) > 0
    for wrong in (["search", folder, "--all-classes"], ["info", folder, "--format", "json"]):
        assert run(*wrong).exit_code == 2


def test_a_host_without_ranges_and_a_lost_index_are_named(folder, tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/catalog.json"
        reason = r"items\.parquet: .* must answer byte ranges"
        with pytest.raises(SatimnetError, match=reason) as refused:
            list(search(url, limit=1))
        assert str(refused.value).startswith(url.removesuffix("catalog.json"))
        server.shutdown()
    shutil.copytree(folder, tmp_path / "catalog")
    lost = tmp_path / "catalog/clouds/items.parquet"
    lost.write_bytes(b"x" * 100)
    with pytest.raises(SatimnetError, match="parquet"):
        list(search(tmp_path / "catalog", collections=["clouds"], limit=1))
    lost.unlink()
    with pytest.raises(SatimnetError, match=f"{lost}: nothing is there; build or copy"):
        list(search(tmp_path / "catalog", collections=["clouds"], limit=1))


def test_an_interruption_is_one_line(monkeypatch, folder):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("satimnet.builder.query.search.search", interrupted)
    done = CliRunner().invoke(cli, ["satimnet", "search", str(folder)])
    assert done.exit_code == 130
    assert done.stderr.strip() == "Error: interrupted; the same command can be given again"
