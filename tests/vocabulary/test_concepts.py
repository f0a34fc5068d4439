"""The metalayer: the tree, what terms find in it, concepts.json, search and the command."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from contextlib import suppress

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mini_catalog import COLLECTION, item_table

from satimnet.builder.datasets import installed
from satimnet.builder.errors import SatimnetError
from satimnet.builder.pipeline import build
from satimnet.builder.query.index import Index
from satimnet.builder.query.search import count, search, search_table
from satimnet.builder.vocabulary.concepts import (
    SCHEME_URI,
    Scheme,
    concept_of,
    concepts_by_class,
    scheme_of,
    themes_of,
)
from satimnet.builder.vocabulary.matching import matches, name_of
from satimnet.builder.vocabulary.skos import (
    CONCEPTS_NAME,
    merged,
    scheme_from_json,
    scheme_json,
)
from satimnet.cli.concepts_command import concepts as command
from stactools.uc_merced.miniature import write_miniature as write_uc_merced

BASE = scheme_of()
RECORDS = {name: dataset.record for name, dataset in installed().items()}
SCHEME = scheme_of(RECORDS.values())
PAPER = {"airbus-ship", "bigearthnet", "clouds-s2-taiwan", "dota", "eurosat", "inria", "xview"}


def record(name="toy", concepts=(), **classes):
    """A record with classes and their concepts, ``sports_hall="building"``."""
    rows = [
        {"value": value, "name": class_.replace("_", "-"), "title": class_.replace("_", " ")}
        | ({} if concept is None else {"concept": concept})
        for value, (class_, concept) in enumerate(classes.items(), 1)
    ]
    return {"id": name, "title": name.title(), "classes": rows, "concepts": list(concepts)}


# --- the tree -----------------------------------------------------------------------------------


def test_a_name_belongs_to_one_concept():
    owners = {}
    for concept in BASE.concepts.values():
        for text in {concept.id, concept.label, *concept.alternatives}:
            owners.setdefault(name_of(text).joined, set()).add(concept.id)
    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


def test_labels_of_a_concept_differ():
    # SKOS S13: prefLabel, altLabel and hiddenLabel are pairwise disjoint.
    for concept in BASE.concepts.values():
        texts = (concept.label, *concept.alternatives, *concept.hidden)
        assert len(texts) == len(set(texts)), concept


def test_the_tree_is_moderate():
    assert len(BASE.narrower[None]) <= 12
    assert max(len(below) for below in BASE.narrower.values()) <= 12
    assert set(BASE.expand(BASE.narrower[None])) == set(BASE.concepts)


@pytest.mark.parametrize("name", sorted(PAPER))
def test_each_class_of_the_paper_has_one_concept(name):
    mapped = concepts_by_class(RECORDS[name])
    assert list(mapped) == [row["name"] for row in RECORDS[name]["classes"]]
    assert set(mapped.values()) <= set(BASE.concepts), "base concepts do for the paper's datasets"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_classes_of_installed_datasets(name):
    rows, scheme = RECORDS[name]["classes"], scheme_of([RECORDS[name]])
    assert [(m.name, m.value) for m in scheme.classes] == [(r["name"], r["value"]) for r in rows]
    assert all(m.concept in scheme.concepts for m in scheme.classes)
    # Two classes of one collection cannot both be the same concept.
    exact = Counter(m.concept for m in scheme.classes if m.exact)
    assert [id_ for id_, times in exact.items() if times > 1] == []
    for class_ in scheme.classes:
        if class_.value == 0:
            assert class_.concept == "absence"


def test_concept_of():
    eurosat = RECORDS["eurosat"]
    assert concept_of(eurosat, "River") == "river"
    with pytest.raises(SatimnetError, match="eurosat: no class 'Sea'; there are: AnnualCrop, "):
        concept_of(eurosat, "Sea")


def test_a_dataset_adds_concepts():
    rows = [
        {"id": "arena", "label": "arena", "broader": "stadium", "alternatives": ["ice rink"]},
        {"id": "stadium", "label": "stadium", "broader": "sport-or-leisure-facility"},
    ]
    scheme = scheme_of([record(concepts=rows, ice_rink="arena", hall="building")])
    assert [(m.concept, m.exact) for m in scheme.classes] == [("arena", True), ("building", False)]
    assert {"arena", "stadium"} <= set(scheme.expand(["artificial-surface"]))
    order = list(scheme.concepts)
    assert order.index("sport-or-leisure-facility") < order.index("stadium") < order.index("arena")
    assert [c.id for c in scheme.resolve("Ice-rinks")] == ["arena"]
    same = record("other", rows, arena="arena")
    assert len(scheme_of([record(concepts=rows, arena="arena"), same]).classes) == 2


def test_a_dataset_may_do_without():
    assert scheme_of([record(house=None)]).classes == ()
    assert concepts_by_class(record(house=None)) == {}


@pytest.mark.parametrize(
    ("concepts", "classes", "message"),
    [
        ([], {"hut": None, "house": "building"}, "toy: the class 'hut' has no concept"),
        ([], {"hut": "bulding"}, "toy: the class 'hut' has the concept 'bulding'.* building"),
        ([], {"hut": ["building"]}, "toy: the class 'hut' has no concept"),
        ([{"id": "cloud", "label": "cloud"}], {}, "toy: the concept 'cloud' is there already"),
        ([{"id": "x", "label": "x", "broader": "y"}], {}, "'x' is under 'y', which is not there"),
        ([{"id": "x", "label": "x", "broader": "x"}], {}, "'x' is under itself"),
        ([{"id": "x"}], {}, "'x' has no label"),
        ([{"id": "X y", "label": "x"}], {}, "needs an id such as"),
        ([{"label": "x"}], {}, "needs an id such as"),
        ([{"id": "x", "label": "x", "alternatives": "y"}], {}, "no list of texts"),
        ([{"id": "x", "label": 1}], {}, "label of the concept 'x' is no text"),
        ([{"id": "x", "label": "x", "narrower": []}], {}, "'x' has a key 'narrower'"),
    ],
)
def test_mistakes_of_a_record(concepts, classes, message):
    with pytest.raises(SatimnetError, match=message) as caught:
        scheme_of([record(concepts=concepts, **classes)])
    assert "toy" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_datasets_disagree():
    one, two = (
        [{"id": "arena", "label": label, "broader": "building"}] for label in ("arena", "a")
    )
    with pytest.raises(SatimnetError, match="other: the concept 'arena' is another one"):
        scheme_of([record(concepts=one), record("other", two)])


# --- terms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Container-crane", "container_cranes"),
        ("AnnualCrop", "annual crops"),
        ("harbour", "Harbors"),
        ("city centre", "City Centers"),
        ("storagetanks", "Storage tank"),
        ("houses", "house"),
        ("trees", "tree"),
        ("buses", "bus"),
        ("marshes", "marsh"),
        ("ferries", "Ferry"),
        ("Forêt", "foret"),
        ("broadleaved forest", "Broad-leaved forests"),
        ("Sea & lake", "SeaLake"),
        ("moors and heathland", "moor or heathland"),
    ],
)
def test_names_that_are_the_same(one, other):
    assert name_of(one).equals(name_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("glass", "glas"), ("plane", "plain"), ("no ship", "ship"), ("sea", "lake"), ("car", "cart")],
)
def test_names_that_differ(one, other):
    assert not name_of(one).equals(name_of(other))


def test_the_best_fit_wins():
    names = [(text, name_of(text)) for text in ("ship", "container ship", "township", "no ship")]
    assert matches("ships", names) == {"ship"}
    assert matches("container", names) == {"container ship"}
    assert matches("cont", names) == {"container ship"}
    assert matches("shi", names) == {"ship", "container ship"}
    assert matches("owns", names) == {"township"}
    assert matches("no sh", names) == {"no ship"}
    assert matches("ow", names) == set()
    assert matches("", names) == set()
    assert matches("- / and", names) == set()


RESOLVED = {
    "building": "building",
    "Buildings": "building",
    "BUILDING": "building",
    "residential": "residential-building",
    "Residential buildings": "residential-building",
    "urban fabric": "urban-fabric",
    "industrial buildings": "industrial-building",
    "water": "water",
    "rivers": "river",
    "lake": "lake sea-or-lake",
    "lakes": "lake sea-or-lake",
    "lagoon": "coastal-lagoon",
    "ship": "ship",
    "vessels": "ship",
    "boat": "ship",
    "aircraft": "aircraft",
    "plane": "airplane",
    "aeroplanes": "airplane",
    "Fixed-wing Aircraft": "airplane",
    "forest": "forest",
    "woods": "forest",
    "conifer": "coniferous-forest",
    "crop": "cropland",
    "annual crop": "arable-land annual-with-permanent-crops",
    "annual_crops": "arable-land annual-with-permanent-crops",
    "road": "road",
    "streets": "road",
    "motorway": "highway",
    "railway": "road-or-rail-network railway-vehicle",
    "harbor": "harbor",
    "harbours": "harbor",
    "port": "harbor",
    "vehicle": "vehicle",
    "car": "small-vehicle passenger-vehicle",
    "small-vehicles": "small-vehicle",
    "containercrane": "container-crane",
    "cloud": "cloud",
    "clouds": "cloud",
    "no ship": "absence",
    "background": "absence",
    "hang": "aircraft-hangar",
}


@pytest.mark.parametrize("term", RESOLVED)
def test_resolve(term):
    assert " ".join(concept.id for concept in SCHEME.resolve(term)) == RESOLVED[term]


def test_every_name_finds_its_concept():
    for concept in SCHEME.concepts.values():
        for text in (concept.id, concept.label, *concept.alternatives, *concept.hidden):
            plural = text if text.endswith("s") else text + "s"
            for typed in (text, text.upper(), text.replace(" ", "_"), plural):
                assert concept in SCHEME.resolve(typed), typed
    for class_ in SCHEME.classes:
        for text in (class_.name, class_.title):
            assert SCHEME.concepts[class_.concept] in SCHEME.resolve(text)


@pytest.mark.parametrize(
    ("term", "hint"),
    [
        ("bilding", "did you mean building"),
        ("aircarft", "did you mean aircraft"),
        ("qqqq", "the widest are artificial surface, vehicle, "),
        ("", "the widest are"),
        ("q\nq9", "the widest are"),
        ("🛰" * 10_000, "the widest are"),
    ],
)
def test_unknown_terms(term, hint):
    with pytest.raises(SatimnetError, match=hint) as caught:
        SCHEME.resolve(term)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_term_finds_something_or_says_so(term):
    with suppress(SatimnetError):
        assert SCHEME.resolve(term)


def test_expand():
    assert BASE.expand(["aircraft", "helicopter"]) == sorted(
        ["aircraft", "airplane", "helicopter", "passenger-or-cargo-plane", "small-aircraft"]
    )
    assert BASE.expand([]) == []
    with pytest.raises(SatimnetError, match="no concept has the id 'airship'"):
        BASE.expand(["airship"])


# --- JSON ---------------------------------------------------------------------------------------


def test_round_trip():
    document = json.loads(json.dumps(scheme_json(SCHEME)))
    assert scheme_from_json(document, "here") == SCHEME


def test_json_is_skos():
    document = scheme_json(SCHEME)
    context, graph = document["@context"], document["@graph"]
    assert all(isinstance(value, dict | str | float) for value in context.values()), "no network"
    nodes = {node["id"]: node for node in graph}
    assert len(nodes) == len(graph)
    for node in graph:
        assert node.keys() <= context.keys()
        for key, value in node.items():
            is_reference = isinstance(context[key], dict) and context[key].get("@type") == "@id"
            if is_reference and key != "source":
                assert set([value] if isinstance(value, str) else value) <= nodes.keys()
    top = nodes[SCHEME_URI]
    assert all(nodes[uri]["topConceptOf"] == SCHEME_URI for uri in top["hasTopConcept"])
    for uri, node in nodes.items():
        assert node["type"] in ("ConceptScheme", "Concept")
        if node["type"] == "Concept":
            assert nodes[node["inScheme"]]["type"] == "ConceptScheme"
        for below in node.get("narrower", ()):
            assert nodes[below]["broader"] == uri
        if "broader" in node:
            assert uri in nodes[node["broader"]]["narrower"]
        if node["type"] == "Concept" and node["inScheme"] != SCHEME_URI:
            matched = [node[key] for key in ("exactMatch", "broadMatch") if key in node]
            assert [nodes[other]["inScheme"] for other in matched] == [SCHEME_URI]
            assert isinstance(node["notation"], int)
            assert nodes[node["inScheme"]]["source"].endswith("/collection.json")
    assert sum("notation" in node for node in graph) == sum(
        len(record["classes"]) for record in RECORDS.values()
    )


def test_json_as_rdf():
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(data=json.dumps(scheme_json(SCHEME)), format="json-ld")
    skos = rdflib.SKOS
    uri = rdflib.URIRef(f"{SCHEME_URI}/eurosat#River")
    assert (uri, skos.exactMatch, rdflib.URIRef(f"{SCHEME_URI}#river")) in graph
    assert (uri, skos.notation, rdflib.Literal(9)) in graph
    assert (uri, skos.prefLabel, rdflib.Literal("River", lang="en")) in graph


def test_exact_and_broad():
    exact = {(m.collection, m.name): m.exact for m in SCHEME.classes}
    assert exact["eurosat", "Residential"]
    assert exact["inria", "building"]
    assert exact["dota", "plane"]
    assert not exact["inria", "no-building"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"@graph": {}},
        {"@graph": [{"type": "Concept", "id": f"{SCHEME_URI}#x"}]},
        {"@graph": [{"type": "Concept", "id": f"{SCHEME_URI}#x", "prefLabel": {"@value": "x"}}]},
        {"@graph": 2 * [{"type": "Concept", "id": f"{SCHEME_URI}#x", "prefLabel": "x"}]},
        {"@graph": [{"type": "Concept", "id": f"{SCHEME_URI}/a#b", "prefLabel": "b"}]},
    ],
)
def test_documents_that_are_none(document):
    with pytest.raises(SatimnetError, match=r"^here: "):
        scheme_from_json(document, "here")


def test_circles_and_depths():
    def chain(length, *, closed):
        return {
            "@graph": [
                {"type": "Concept", "id": f"{SCHEME_URI}#c{n}", "prefLabel": "c"}
                | (
                    {"broader": f"{SCHEME_URI}#c{n - 1 if n else length - 1}"}
                    if n or closed
                    else {}
                )
                for n in range(length)
            ]
        }

    assert len(scheme_from_json(chain(10, closed=False), "here").concepts) == 10
    for wrong in (chain(3, closed=True), chain(1, closed=True), chain(50_000, closed=False)):
        with pytest.raises(
            SatimnetError, match=r"here: the concept 'c.*' is under itself, or more"
        ):
            scheme_from_json(wrong, "here")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
SMALL = scheme_json(scheme_of([record(hut="building", lake="lake", name="toy")]))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.data())
def test_damaged_documents(data):
    document = copy.deepcopy(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(document["@graph"]))
        keys = ("id", "type", "prefLabel", "altLabel", "broader", "notation", "broadMatch")
        node[data.draw(st.sampled_from(keys))] = data.draw(JSON)
    with suppress(SatimnetError):
        scheme = scheme_from_json(document, "here")
        scheme.expand(scheme.concepts)
        scheme_json(scheme)


def test_themes(schemas):
    themes = themes_of(["river", "forest", "river"], SCHEME)
    assert themes == [
        {
            "scheme": SCHEME_URI,
            "concepts": [{"id": "forest", "title": "forest"}, {"id": "river", "title": "river"}],
        }
    ]
    assert themes_of([], SCHEME) == []
    schema = json.loads((schemas / "extensions" / "themes.json").read_bytes())
    item = {
        "type": "Feature",
        "stac_extensions": ["https://stac-extensions.github.io/themes/v1.0.0/schema.json"],
        "properties": {"themes": themes},
    }
    jsonschema.Draft7Validator(schema).validate(item)


# --- concepts.json of a catalog -----------------------------------------------------------------


def with_records(earlier, present, records):
    """What a catalog says when those records were built into it, as whoever opens it reads it."""
    document = json.loads(json.dumps(scheme_json(merged(earlier, present, records))))
    return scheme_from_json(document, "written")


def test_what_is_no_longer_installed_stays():
    own = [
        {"id": "stadium", "label": "stadium", "broader": "building"},
        {"id": "arena", "label": "arena", "broader": "stadium"},
        {"id": "unused", "label": "unused", "broader": "stadium"},
    ]
    mine, theirs = record("mine", lake="lake"), record("theirs", own, arena="arena")
    scheme = with_records(Scheme({}), ["theirs"], {"theirs": theirs, "mine": mine})
    assert {m.collection for m in scheme.classes} == {"theirs"}

    scheme = with_records(scheme, ["theirs", "mine"], {"mine": mine})
    assert [(m.collection, m.concept) for m in scheme.classes] == [
        ("mine", "lake"),
        ("theirs", "arena"),
    ]
    assert "arena" in scheme.expand(["building"])
    assert "unused" not in scheme.concepts

    # Built again under another concept: the new one counts. Taken out of the catalog: forgotten.
    scheme = with_records(scheme, ["mine"], {"mine": record("mine", lake="water")})
    assert [m.concept for m in scheme.classes] == ["water"]
    assert set(scheme.concepts) == set(BASE.concepts)


def test_the_same_catalog_gives_the_same_scheme():
    first = scheme = with_records(Scheme({}), RECORDS, RECORDS)
    for name in reversed(RECORDS):
        scheme = with_records(scheme, RECORDS, {name: RECORDS[name]})
    assert scheme_json(scheme) == scheme_json(first)
    assert scheme.concepts == SCHEME.concepts


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b"{}"])
def test_a_broken_file_is_not_written_over(catalog, tmp_path, content):
    own = shutil.copytree(catalog, tmp_path / "own")
    (path,) = own.glob("concepts-*.json")
    path.write_bytes(content)
    before = (own / "catalog.json").read_bytes()
    with pytest.raises(SatimnetError, match=path.name):
        build(write_uc_merced(tmp_path / "source", 1), own, overview=False)
    assert path.read_bytes() == content
    assert (own / "catalog.json").read_bytes() == before


def test_a_file_that_is_gone_is_made_anew(catalog, tmp_path):
    own = shutil.copytree(catalog, tmp_path / "own")
    (path,) = own.glob("concepts-*.json")
    path.unlink()
    build(write_uc_merced(tmp_path / "source", 1), own, overview=False)
    assert count(own, concept="building", collections=["uc-merced"]) > 0


# --- search -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A catalog with an Item of each class, ``eurosat/River``, and one Item of none."""
    folder = tmp_path_factory.mktemp("concepts")
    links = []
    for name, rec in RECORDS.items():
        mapped = concepts_by_class(rec)
        classes = [[row["name"]] for row in rec["classes"] if row["value"]] + [[], None]
        of_items = [c and [mapped[c[0]]] if mapped else None for c in classes]
        strings = pa.list_(pa.string())
        kinds = {
            **{"id": pa.string(), "collection": pa.string()},
            **{"satimnet:classes": strings, "satimnet:concepts": strings},
        }
        rows = [
            dict(zip(kinds, (f"{name}/{c[0] if c else c}", name, c, of), strict=True))
            for c, of in zip(classes, of_items, strict=True)
        ]
        table = item_table(rows, kinds)
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "items.parquet")
        asset = {"href": "./items.parquet", "roles": ["collection-mirror"]}
        own = {"type": "Collection", "id": name, "assets": {"items": asset}}
        (folder / name / "collection.json").write_text(json.dumps(COLLECTION | own))
        links.append({"rel": "child", "href": f"./{name}/collection.json"})
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    (folder / CONCEPTS_NAME).write_text(json.dumps(scheme_json(SCHEME)))
    return folder


FOUND = {
    "building": {
        "eurosat": "Industrial Residential",
        "inria": "building",
        "bigearthnet": "continuous-urban-fabric discontinuous-urban-fabric "
        "industrial-or-commercial-units",
        "xview": "building damaged-building facility aircraft-hangar shed hut-tent",
        "dota": "",
    },
    "water": {
        "eurosat": "River SeaLake",
        "bigearthnet": "water-courses water-bodies coastal-lagoons estuaries sea-and-ocean",
        "dota": "",
    },
    "ship": {
        "dota": "ship",
        "airbus-ship": "ship",
        "xview": "maritime-vessel motorboat sailboat tugboat barge fishing-vessel ferry yacht "
        "container-ship oil-tanker",
        "eurosat": "",
    },
    "aircraft": {
        "dota": "plane helicopter",
        "xview": "fixed-wing-aircraft small-aircraft passenger-cargo-plane helicopter",
    },
    "planes": {
        "dota": "plane",
        "xview": "fixed-wing-aircraft small-aircraft passenger-cargo-plane",
    },
    "forest": {
        "eurosat": "Forest",
        "bigearthnet": "broad-leaved-forest coniferous-forest mixed-forest",
    },
    "crop": {
        "eurosat": "AnnualCrop PermanentCrop",
        "bigearthnet": "non-irrigated-arable-land permanently-irrigated-land rice-fields vineyards "
        "fruit-trees-and-berry-plantations olive-groves "
        "annual-crops-associated-with-permanent-crops complex-cultivation-patterns "
        "land-principally-occupied-by-agriculture-with-significant-areas-of-natural-vegetation "
        "agro-forestry-areas",
    },
    "road": {
        "eurosat": "Highway",
        "bigearthnet": "road-and-rail-networks-and-associated-land",
        "dota": "roundabout",
    },
    "harbour": {"dota": "harbor", "bigearthnet": "port-areas"},
    "port": {"dota": "harbor", "bigearthnet": "port-areas"},
    "lake": {"eurosat": "SeaLake", "bigearthnet": "water-bodies"},
    "cloud": {"clouds-s2-taiwan": "cloud", "eurosat": ""},
    "vehicle": {
        "airbus-ship": "ship",
        "dota": "plane ship large-vehicle small-vehicle helicopter container-crane",
    },
}


@pytest.mark.parametrize("term", FOUND)
def test_search_reaches_all_datasets(small, term):
    found = {}
    for id_ in search_table(small, concept=term, columns=["id"])["id"].to_pylist():
        collection, _, name = id_.partition("/")
        found.setdefault(collection, set()).add(name)
    for collection, names in FOUND[term].items():
        assert found.get(collection, set()) == set(names.split()), collection


def test_search_with_several_terms(small):
    both = count(small, concept=["river", "Forests"], collections=["eurosat"])
    assert both == 2
    assert count(small, concept=[]) == 0
    assert count(small, concept="river", classes=["Forest"]) == 0
    assert count(small, concept="artificial surface", collections=["clouds-s2-taiwan"]) == 0


def test_search_in_a_catalog_that_was_built(catalog):
    water = {item["id"]: item["properties"] for item in search(catalog, concept="Waters")}
    by_class = search(catalog, classes=["River", "SeaLake"])
    assert water.keys() == {item["id"] for item in by_class} != set()
    for properties in water.values():
        names = properties["satimnet:classes"]
        assert properties["satimnet:concepts"] == [concept_of(RECORDS["eurosat"], *names)]
        assert properties["themes"] == themes_of(properties["satimnet:concepts"], SCHEME)
    assert Index(catalog).scheme.classes == scheme_of([RECORDS["eurosat"]]).classes


def test_search_with_unknown_terms(small):
    with pytest.raises(SatimnetError, match="no concept is called 'bilding'; did you mean"):
        search(small, concept="bilding")


def test_search_over_http(small, serve):
    with serve(small) as url:
        assert count(url, concept="rivers") == count(small, concept="rivers") > 0


def test_a_catalog_without_concepts(tmp_path, small, serve):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in small.rglob("*"):
        if file.is_file() and file.name != CONCEPTS_NAME:
            to = bare / file.relative_to(small)
            to.parent.mkdir(exist_ok=True)
            to.write_bytes(file.read_bytes())
    message = f"{CONCEPTS_NAME}: nothing is there; build a collection into the catalog again"
    assert count(bare, classes="River") == 1
    with pytest.raises(SatimnetError, match=message):
        search(bare, concept="river")
    with serve(bare) as url, pytest.raises(SatimnetError, match=message):
        search(url, concept="river")
    (bare / CONCEPTS_NAME).write_text("{}")
    with pytest.raises(SatimnetError, match="this is no concept scheme"):
        search(bare, concept="river")


# --- the command --------------------------------------------------------------------------------


def run(*arguments, code=0):
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code == code, result.output
    return result.output


def test_command():
    everything = run()
    assert "= eurosat: River\n" in everything
    assert "wetland" not in run("water")
    building = run("buildings")
    assert building.startswith("artificial surface / building")
    for line in ("= eurosat: Residential buildings", "= inria: building", "urban fabric"):
        assert line in building
    assert "Forest" not in building


def test_command_of_a_catalog(small):
    assert "= eurosat: River  1 item\n" in run("river", "--catalog", small)
    rows = {row["id"]: row for row in json.loads(run("water", "--catalog", small, "--format=json"))}
    assert next(iter(rows)) == "water"
    assert rows["river"]["broader"] == "inland-water"
    assert {
        "collection": "eurosat",
        "name": "River",
        "title": "River",
        "value": 9,
        "match": "exact",
        "items": 1,
    } in rows["river"]["classes"]
    (absence,) = json.loads(run("absence", "--catalog", small, "--format=json"))
    assert all("items" not in class_ for class_ in absence["classes"])


def test_command_has_one_line_errors(tmp_path):
    assert run("bilding", code=1).startswith("Error: no concept is called 'bilding'; did you mean")
    assert "nothing is there" in run("--catalog", tmp_path, code=1)
