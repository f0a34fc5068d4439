"""Exports, read by the validators of their formats and by readers that know nothing of ours."""

import gc
import io
import json
import os
import re
import sys
import tracemalloc
import types
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import jsonschema
import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rdflib
from click.testing import CliRunner
from etils import epath
from mlcroissant._src.core.versions import cast_version
from PIL import Image
from published import home_of
from stactools.cli.cli import cli

from satimnet.builder import build, search
from satimnet.builder.catalog.collection_document import CollectionDocument
from satimnet.builder.datasets import installed
from satimnet.builder.errors import SatimnetError
from satimnet.builder.exports import FORMATS, export
from satimnet.builder.exports.citations import bibtex, text
from satimnet.builder.exports.croissant import _version
from satimnet.builder.query.index import Index
from satimnet.builder.storage.assets import read_bytes

DATASETS = sorted(installed())


@pytest.fixture(scope="module")
def everything(sources, tmp_path_factory) -> Path:
    """The catalog of all miniatures."""
    out = tmp_path_factory.mktemp("exports") / "catalog"
    build([], out, assigned=sources, overview=False)
    return out


@pytest.fixture(scope="module")
def index(everything) -> Index:
    return Index(everything)


@pytest.fixture(scope="module")
def items(index) -> dict[str, list[dict]]:
    return {name: list(search(index, collections=[name])) for name in DATASETS}


@pytest.fixture(scope="module")
def exported(index, tmp_path_factory) -> dict[str, list[Path]]:
    """All formats, in a folder far from the catalog."""
    out = tmp_path_factory.mktemp("out")
    return {form: export(index, form, out / form) for form in FORMATS}


def one(exported, form: str, collection: str) -> Path:
    return next(p for p in exported[form] if p.name.startswith(f"{collection}."))


def there(link: str, document: Path) -> Path:
    return Path(os.path.normpath(document.parent / unquote(link.partition("#")[0])))


# --- Croissant ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_mlcroissant_gives_back_counts_classes_and_files(exported, items, everything, name):
    path = one(exported, "croissant", name)
    dataset = mlcroissant.Dataset(jsonld=path)
    assert not dataset.metadata.ctx.issues.errors

    table = {row["classes/name"]: row["classes/value"] for row in dataset.records("classes")}
    collection = json.loads((home_of(everything, name) / "collection.json").read_bytes())
    rows = collection["summaries"]["classification:classes"]
    assert table == {row["name"]: row["value"] for row in rows}

    records = {row["items/id"].decode(): row for row in dataset.records("items")}
    assert len(records) == len(items[name])
    for item in items[name]:
        record = records[item["id"]]
        classes = item["properties"].get("satimnet:classes")
        assert [c.decode() for c in record["items/classes"] or ()] == (classes or [])
        split = record.get("items/split")
        assert (split and split.decode()) == item["properties"].get("satimnet:split")
        for key, asset in item["assets"].items():
            shard = record[f"items/{key}_shard"].decode()
            first, last = record[f"items/{key}_first"], record[f"items/{key}_last"]
            with (home_of(everything, name) / shard).open("rb") as file:
                file.seek(first)
                assert file.read(last - first + 1) == read_bytes(asset)


@pytest.mark.parametrize("name", DATASETS)
def test_mlcroissant_has_nothing_to_complain_of(exported, name):
    metadata = mlcroissant.Dataset(jsonld=one(exported, "croissant", name)).metadata
    assert metadata.ctx.issues.report() == ""
    assert metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"


@pytest.mark.parametrize(
    ("name", "key", "kind"), [("eurosat", "rgb", "jpeg"), ("inria", "mask", "tiff")]
)
def test_mlcroissant_gives_back_pixels(exported, items, monkeypatch, tmp_path, name, key, kind):
    operations = "mlcroissant._src.operation_graph.operations"
    cache = epath.Path(tmp_path)  # else that of the user
    monkeypatch.setattr(f"{operations}.extract.EXTRACT_PATH", cache)
    monkeypatch.setattr("mlcroissant._src.core.constants.EXTRACT_PATH", cache)
    dataset = mlcroissant.Dataset(jsonld=one(exported, "croissant", name))
    records = {
        row[f"pictures/{kind}/member"].decode(): np.asarray(row[f"pictures/{kind}/pixels"])
        for row in dataset.records(f"pictures/{kind}")
    }
    assets = [item["assets"][key] for item in items[name] if key in item["assets"]]
    assert assets
    for asset in assets:
        with Image.open(io.BytesIO(read_bytes(asset))) as image:
            assert (records[asset["archive"][0]["href"]] == np.asarray(image)).all()


def test_geocroissant_says_where_and_in_which_bands(exported):
    document = json.loads(one(exported, "croissant", "eurosat").read_bytes())
    assert document["conformsTo"][1:] == ["http://mlcommons.org/croissant/geo/1.0"]
    assert document["geocr:coordinateReferenceSystem"] == "EPSG:4326"  # images have UTM zones
    south, west, north, east = map(float, document["spatialCoverage"]["geo"]["box"].split())
    assert -30 < west < east < 40
    assert 30 < south < 50 < north < 75
    assert document["temporalCoverage"] == "2015-06-23T00:00:00Z/2017-08-31T00:00:00Z"
    assert document["geocr:spatialResolution"] == {
        "@type": "QuantitativeValue",
        "value": 10,
        "unitText": "m",
    }
    bands = document["geocr:bandConfiguration"]
    assert bands["geocr:totalBands"] == len(bands["geocr:bandNameList"]) == 13
    assert bands["geocr:bandNameList"][-1] == "B8A"
    second = document["geocr:spectralBandMetadata"][1]
    assert second["name"] == "B02"
    assert second["geocr:centerWavelength"]["value"] == 492.4
    assert second["geocr:bandwidth"] == {
        "@type": "QuantitativeValue",
        "value": 66,
        "unitText": "nm",
    }
    (items,) = [one for one in document["recordSet"] if one["@id"] == "items"]
    fields = {field["name"]: field for field in items["field"]}
    assert fields["rgb_member"]["geocr:bandConfiguration"]["geocr:totalBands"] == 3
    assert fields["crs"]["equivalentProperty"] == "geocr:coordinateReferenceSystem"


def test_a_collection_without_places_does_not_claim_to_be_geographic(exported):
    document = json.loads(one(exported, "croissant", "dota").read_bytes())
    assert document["conformsTo"] == ["http://mlcommons.org/croissant/1.1"]
    assert "geocr:coordinateReferenceSystem" not in document
    assert document["geocr:bandConfiguration"]["geocr:totalBands"] == 3


@pytest.mark.parametrize(
    ("own", "stated"),
    [
        ("1.2.3", "1.2.3"),
        ("240ea6fdf596", "0.0.0+240ea6fdf596"),
        ("v2.0", "0.0.0+v2-0"),
        ("…", "0.0.0+abcdefabcdef"),
        (None, "0.0.0+abcdefabcdef"),
    ],
)
def test_the_version_is_a_semantic_one(own, stated):
    assert _version(own, "abcdef" * 9) == stated
    assert cast_version(stated) == stated


@pytest.mark.parametrize("name", DATASETS)
def test_croissant_links_every_file_of_the_collection(exported, everything, name):
    path = one(exported, "croissant", name)
    document = json.loads(path.read_bytes())
    files = [part for part in document["distribution"] if part["@type"] == "cr:FileObject"]
    linked = {there(file["contentUrl"], path) for file in files}
    assert linked == {
        home_of(everything, name) / "items.parquet",
        *(everything / name / "shards").glob("*.zip"),
    }
    for file in files:
        assert (
            int(file["contentSize"].removesuffix(" B"))
            == there(file["contentUrl"], path).stat().st_size
        )


# --- TrainingDML-AI -------------------------------------------------------------------------------

# What OGC 24-006r1 requires, in one schema; names and lists of values are the standard's.
_TEXT, _COUNT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "number"}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?$"}
_BOX = {"type": "array", "items": _NUMBER, "minItems": 4}
_CONFIDENCE = {"type": "number", "minimum": 0, "maximum": 1}
_NAMED = {"type": "object", "required": ["key", "value"], "properties": {"key": _TEXT}}


def _object(kind: str, required: tuple[str, ...], **properties: object) -> dict:
    return {
        "type": "object",
        "required": ["type", *required],
        "properties": {"type": {"const": kind}, **properties},
        "additionalProperties": False,
    }


def _list(of: dict, least: int = 0) -> dict:
    return {"type": "array", "items": of, "minItems": least}


_LABEL = {
    "oneOf": [
        _object("AI_AbstractLabel", (), confidence=_CONFIDENCE, isNegative={"type": "boolean"}),
        _object("AI_SceneLabel", ("class",), confidence=_CONFIDENCE, **{"class": _TEXT}),
        _object(
            "AI_ObjectLabel",
            ("class", "object"),
            confidence=_CONFIDENCE,
            object={"type": "object", "required": ["type", "geometry", "properties"]},
            **{"class": _TEXT},
        ),
        _object(
            "AI_PixelLabel",
            ("imageURL", "imageFormat"),
            confidence=_CONFIDENCE,
            imageURL=_list({"type": "string", "format": "uri-reference"}, 1),
            imageFormat=_list(
                {"enum": ["image/png", "image/tiff", "image/tiff; application=geotiff"]}, 1
            ),
        ),
    ]
}
_SCHEMA = _object(
    "AI_EOTrainingDataset",
    ("id", "name", "description", "license", "tasks", "data"),
    id=_TEXT,
    name=_TEXT,
    description=_TEXT,
    license=_TEXT,
    doi=_TEXT,
    createdTime=_TIME,
    providers=_list(_TEXT),
    keywords=_list(_TEXT),
    amountOfTrainingData=_COUNT,
    numberOfClasses=_COUNT,
    classes=_list(_NAMED),
    statisticsInfo=_list(_NAMED),
    imageSize=_TEXT,
    extent=_BOX,
    bands=_list(
        {
            "type": "object",
            "properties": {
                "name": _list({"type": "object", "required": ["code"]}, 1),
                "description": _TEXT,
                "boundMin": _NUMBER,
                "boundMax": _NUMBER,
                "boundUnits": {"const": "um"},
                "scaleFactor": _NUMBER,
            },
            "dependentRequired": {"boundMin": ["boundUnits"], "boundMax": ["boundUnits"]},
            "additionalProperties": False,
        }
    ),
    tasks=_list(
        _object(
            "AI_EOTask",
            ("id", "taskType"),
            id=_TEXT,
            datasetId=_TEXT,
            taskType=_TEXT,
            description=_TEXT,
        ),
        1,
    ),
    labeling=_list(
        _object(
            "AI_Labeling",
            ("id", "scope"),
            id=_TEXT,
            scope={"type": "object", "required": ["level"]},
            procedure=_object(
                "AI_LabelingProcedure",
                ("id", "methods"),
                id=_TEXT,
                methods=_list({"enum": ["manual", "semi-automatic", "automatic", "unknown"]}, 1),
            ),
        )
    ),
    data=_list(
        _object(
            "AI_EOTrainingData",
            ("id", "labels", "dataURL"),
            id=_TEXT,
            datasetId=_TEXT,
            dataURL=_list({"type": "string", "format": "uri-reference"}, 1),
            numberOfLabels=_COUNT,
            labels=_list(_LABEL, 1),
            extent=_BOX,
            dataTime=_list(_TIME),
            trainingType={"enum": ["training", "validation", "test"]},
        ),
        1,
    ),
)


@pytest.mark.parametrize("name", DATASETS)
def test_trainingdml_is_what_the_standard_requires(exported, name):
    document = json.loads(one(exported, "trainingdml", name).read_bytes())
    checker = jsonschema.Draft202012Validator(_SCHEMA)
    assert [error.message for error in checker.iter_errors(document)] == []


@pytest.mark.parametrize("name", DATASETS)
def test_trainingdml_gives_back_counts_classes_and_urls(exported, items, name):
    path = one(exported, "trainingdml", name)
    document = json.loads(path.read_bytes())
    labelled = [
        item
        for item in items[name]
        if "satimnet:classes" in item["properties"] or item["properties"]["satimnet:has_mask"]
    ]
    assert [d["id"] for d in document["data"]] == [item["id"] for item in labelled]
    assert document["amountOfTrainingData"] == len(labelled)
    present = Counter(c for i in labelled for c in i["properties"].get("satimnet:classes", ()))
    assert {s["key"]: s["value"] for s in document["statisticsInfo"]} == present
    named = {row["key"] for row in document["classes"]}
    for data, item in zip(document["data"], labelled, strict=True):
        assert data["numberOfLabels"] == len(data["labels"])
        found = {label["class"] for label in data["labels"] if "class" in label}
        assert found <= named
        if found:
            assert found == set(item["properties"]["satimnet:classes"])
        masks = [url for label in data["labels"] for url in label.get("imageURL", ())]
        keys = [k for k, a in item["assets"].items() if "annotation" not in a["roles"]]
        places = {
            (Path(item["assets"][k]["href"]), item["assets"][k]["archive"][0]["href"]) for k in keys
        }
        links = [*data["dataURL"], *masks]
        assert {(there(u, path), unquote(u.partition("#")[2])) for u in links} == places


def catalog_of(everything: Path, name: str, folder: Path) -> None:
    """Writes a catalog of that collection alone, without its shards."""
    home = home_of(everything, name).relative_to(everything)
    (folder / home).mkdir(parents=True)
    document = json.loads((everything / "catalog.json").read_bytes())
    document["links"] = [k for k in document["links"] if name in k["href"]]
    (folder / "catalog.json").write_text(json.dumps(document))
    for file in (home / "collection.json", home / "items.parquet"):
        (folder / file).write_bytes((everything / file).read_bytes())


def test_files_of_their_own_are_linked_as_they_are(everything, tmp_path):
    """As another program's catalog may have them: no asset is a member of a shard."""
    table = pq.read_table(home_of(everything, "inria") / "items.parquet")
    assets = table["assets"].to_pylist()
    for row in assets:
        for asset in filter(None, row.values()):
            asset["href"] = f"./files/{asset.pop('archive')[0]['href']}"
            asset["type"] = "image/tiff"
    kinds = [
        (asset.name, pa.struct([field for field in asset.type if field.name != "archive"]))
        for asset in table["assets"].type
    ]
    catalog_of(everything, "inria", tmp_path)
    plain = table.drop_columns("assets").append_column("assets", pa.array(assets, pa.struct(kinds)))
    pq.write_table(plain, home_of(tmp_path, "inria") / "items.parquet")
    (path,) = export(Index(tmp_path), "trainingdml", tmp_path / "out")
    (sample, *_) = json.loads(path.read_bytes())["data"]
    (mask,) = [label for label in sample["labels"] if label["type"] == "AI_PixelLabel"]
    links = {*sample["dataURL"], *mask["imageURL"]}
    hrefs = {asset["href"] for row in assets for asset in row.values() if asset}
    folder = os.path.relpath(home_of(tmp_path, "inria"), path.parent)
    assert {link.replace(f"{folder}/", "./") for link in links} <= hrefs
    assert mask["imageFormat"] == ["image/tiff"]


def test_objects_become_labels_of_their_own(exported, items):
    document = json.loads(one(exported, "trainingdml", "dota").read_bytes())
    by_id = {item["id"]: item for item in items["dota"]}
    checked = 0
    for data in document["data"]:
        rows = by_id[data["id"]]["properties"].get("satimnet:statistics", ())
        objects = [label for label in data["labels"] if label["type"] == "AI_ObjectLabel"]
        counted = Counter(label["class"] for label in objects)
        assert counted == {row["class"]: row["count"] for row in rows if row.get("count")}
        checked += len(objects)
    assert checked > 10


def test_samples_without_known_labels_are_left_out(exported, items):
    document = json.loads(one(exported, "trainingdml", "airbus-ship").read_bytes())
    hidden = {i["id"] for i in items["airbus-ship"] if i["properties"]["satimnet:split"] == "test"}
    assert hidden
    assert hidden.isdisjoint(data["id"] for data in document["data"])


@pytest.fixture(scope="module")
def pytdml_type() -> types.ModuleType:
    """The types of pytdml 1.1.7, out of a folder of its own.

    In an environment it would shadow ``tests`` by a package of that name. What reads files does
    not work in any release (it calls a method that the types lack), and 1.2.0 cannot be imported.
    """
    folder = Path(os.environ.get("SATIMNET_PYTDML", "/nonexistent"))
    if not (folder / "pytdml").is_dir():
        pytest.skip(
            "needs pytdml: pip install --target DIR pytdml==1.1.7 pydantic, SATIMNET_PYTDML=DIR"
        )
    package = types.ModuleType("pytdml")
    package.__path__ = [str(folder / "pytdml")]
    sys.modules["pytdml"] = package
    sys.path.append(str(folder))
    try:
        import pytdml.type

        yield pytdml.type
    finally:
        sys.path.remove(str(folder))
        for module in [m for m in sys.modules if m.split(".")[0] == "pytdml"]:
            del sys.modules[module]


def _with_nulls(model: type, content: dict) -> dict:
    """The content with null for what is left out: pytdml declares it optional and demands it."""
    missing = {
        field.alias or name: None
        for name, field in model.model_fields.items()
        if field.is_required() and (field.alias or name) not in content
    }
    return {**missing, **content}


def _label_for_pytdml(label: dict) -> dict:
    from geojson import Feature

    if label["type"] != "AI_ObjectLabel":
        return label
    feature = Feature(**{k: v for k, v in label["object"].items() if k != "type"})
    return {"dateTime": None, "bboxType": None, **label, "object": feature}


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.filterwarnings("ignore")
def test_pytdml_loads_it(exported, items, name, pytdml_type):
    document = json.loads(one(exported, "trainingdml", name).read_bytes())
    content = _with_nulls(pytdml_type.EOTrainingDataset, document)
    del content["statisticsInfo"]  # a list in the standard, an object in pytdml
    content["bands"] = [band["name"][0]["code"] for band in document["bands"]]
    content.pop("labeling", None)  # its scope is an object in pytdml, its methods are a bool there
    content["data"] = [
        _with_nulls(pytdml_type.EOTrainingData, data)
        | {"labels": [_label_for_pytdml(label) for label in data["labels"]]}
        for data in document["data"]
    ]
    loaded = pytdml_type.EOTrainingDataset(**content)
    assert loaded.amount_of_training_data == len(loaded.data) == len(document["data"])
    assert {row.key: row.value for row in loaded.classes} == {
        row["key"]: row["value"] for row in document["classes"]
    }
    for data, origin in zip(loaded.data, document["data"], strict=True):
        assert data.data_URL == origin["dataURL"]
        assert [getattr(label, "label_class", None) for label in data.labels] == [
            label.get("class") for label in origin["labels"]
        ]
        assert [label.type for label in data.labels] == [
            label["type"] for label in origin["labels"]
        ]


# --- DCAT and schema.org --------------------------------------------------------------------------

DCAT = rdflib.Namespace("http://www.w3.org/ns/dcat#")
DCT = rdflib.Namespace("http://purl.org/dc/terms/")
SCHEMA = rdflib.Namespace("https://schema.org/")


def test_dcat_as_a_graph(exported, items, everything):
    (path,) = exported["dcat"]
    graph = rdflib.Graph().parse(path, format="json-ld", publicID=path.as_uri())
    (catalog,) = graph.subjects(rdflib.RDF.type, DCAT.Catalog)
    datasets = list(graph.objects(catalog, DCAT.dataset))
    assert {str(graph.value(d, DCT.identifier)) for d in datasets} == set(DATASETS)
    for dataset in datasets:
        name = str(graph.value(dataset, DCT.identifier))
        for required in (DCT.title, DCT.description, DCT.publisher, DCT.spatial, DCT.temporal):
            assert (dataset, required, None) in graph, (name, required)
        assert str(graph.value(dataset, DCT.extent)) == f"{len(items[name])} samples"
        files = {
            Path(unquote(str(url).removeprefix("file://")))
            for distribution in graph.objects(dataset, DCAT.distribution)
            for url in graph.objects(distribution, DCAT.downloadURL)
        }
        assert files == {
            home_of(everything, name) / f for f in ("items.parquet", "collection.json")
        }
    west = graph.value(graph.value(datasets[0], DCT.spatial), DCAT.bbox)
    assert re.fullmatch(r"POLYGON\(\((-?[\d.]+ -?[\d.]+(, )?){5}\)\)", str(west))


def test_schema_org_says_what_search_engines_ask_for(exported):
    (path,) = exported["schema.org"]
    document = json.loads(path.read_bytes())
    assert document["@type"] == "DataCatalog"
    assert len(document["dataset"]) == len(DATASETS)
    for dataset in document["dataset"]:
        assert {"name", "description", "creator", "distribution"} <= dataset.keys()
        assert 50 <= len(dataset["description"]) <= 5000  # Google's limits
        assert dataset["temporalCoverage"].count("/") == 1
        assert there(dataset["distribution"][0]["contentUrl"], path).name == "items.parquet"


# --- citations ------------------------------------------------------------------------------------


def entries(source: str) -> dict[str, dict[str, str]]:
    """BibTeX read by its own grammar: entries by key, and the braces have to match."""
    found = {}
    for kind, key, body in re.findall(r"@(\w+)\{([\w-]+),\n(.*?)\n\}\n", source, re.DOTALL):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, re.MULTILINE))
        assert len(fields) == len(body.splitlines())
        found[key] = fields | {"": kind}
    assert source.count("{") == source.count("}")
    return found


def test_bibtex_of_all_datasets(exported, index):
    (path,) = exported["bibtex"]
    found = entries(path.read_text("utf-8"))
    assert set(DATASETS) <= found.keys()
    assert found["eurosat"] == {
        "": "article",
        "author": "P. Helber and B. Bischke and A. Dengel and D. Borth",
        "title": "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land "
        "Cover Classification",
        "journal": "IEEE Journal of Selected Topics in Applied Earth Observations and Remote "
        "Sensing",
        "volume": "12",
        "number": "7",
        "pages": "2217--2226",
        "year": "2019",
        "doi": "10.1109/JSTARS.2019.2918242",
    }
    assert found["eurosat-data"]["doi"] == "10.5281/zenodo.7711810"
    assert found["inria"]["title"].startswith(
        "Can Semantic Labeling Methods Generalize to Any City?"
    )
    assert found["airbus-ship"] == {
        "": "misc",
        "author": "Airbus and Kaggle",
        "title": "Airbus Ship Detection Challenge",
        "howpublished": "https://www.kaggle.com/c/airbus-ship-detection",
        "year": "2018",
    }
    article = found["clouds-s2-taiwan"]
    assert [article[part] for part in ("journal", "volume", "number", "pages")] == [
        "Remote Sensing",
        "11",
        "2",
        "119",
    ]
    for fields in found.values():
        assert {"title", "year"} <= fields.keys()
        assert {"journal", "booktitle", "howpublished", "note"} & fields.keys()
        assert not re.search(r"\(\d+\)", fields.get("journal", ""))
    cited = {doi for fields in found.values() if (doi := fields.get("doi"))}
    for collection in index.collections.values():
        for publication in collection.document.json.get("sci:publications", ()):
            assert publication["doi"] in cited


def test_citations_survive_what_a_record_may_say():
    document = CollectionDocument(
        {
            "id": "x",
            "title": "X",
            "license": "other",
            "links": [],
            "sci:citation": "A. B{, C & D: 100 % of_it. Some {journal} #1, 3-4, 1999.",
        }
    )
    (fields,) = entries(bibtex(document).replace(r"\{", "").replace(r"\}", "")).values()
    assert fields["title"] == r"100 \% of\_it"
    assert fields["author"] == r"A. B and C \& D"
    assert "not stated by the publisher" in text(document)


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        ("A. B: T. J 3, 2001.", {"journal": "J", "volume": "3"}),
        ("A. B: T. J 3(1-2), 5-6, 2001", {"volume": "3", "number": "1-2", "pages": "5--6"}),
        ("A. B: T. J 7, 2001.", {"journal": "J", "volume": "7", "year": "2001"}),
        ("A. B: T. Workshop 2001, 2001.", {"booktitle": "Workshop 2001", "year": "2001"}),
        ("A. B: T. arXiv:1802.07856, 2018.", {"journal": "arXiv:1802.07856", "year": "2018"}),
        ("A. B: T, 2001.", {"title": "T", "note": "A. B: T, 2001.", "year": "2001"}),
        ("Some words of 1999 and (2001)", {"title": "X", "year": "2001"}),
        ("https://doi.org/10.1109/CVPR.2018.00418", {"title": "X"}),
        ("Pages 1999-2004, no year", {"title": "X"}),
    ],
)
def test_bibtex_of_any_citation(citation, expected):
    document = CollectionDocument({"id": "x", "title": "X", "sci:citation": citation})
    (fields,) = entries(bibtex(document)).values()
    assert {key: fields[key] for key in expected} == expected
    assert ("year" in fields) == ("year" in expected or "2001" in citation)
    assert (fields[""] == "misc") == ("note" in fields)


def test_text_names_licence_and_doi(exported):
    (path,) = exported["citation"]
    words = path.read_text("utf-8")
    assert "Licence: MIT" in words
    assert "https://doi.org/10.1109/JSTARS.2019.2918242" in words


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_beside_the_collection_and_changes_nothing(everything, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in everything.rglob("*") if p.is_file()}
    arguments = ["--format", "croissant", "--collection", "eurosat"]
    arguments += ["--out", str(home_of(everything))]
    result = CliRunner().invoke(cli, ["satimnet", "export", str(everything), *arguments, "--quiet"])
    assert result.exit_code == 0, result.output
    path = home_of(everything) / "eurosat.croissant.json"
    document = json.loads(path.read_bytes())
    path.unlink()
    assert document["distribution"][0]["contentUrl"] == "./items.parquet"
    assert {p: p.stat().st_mtime_ns for p in everything.rglob("*") if p.is_file()} == before


def test_the_same_catalog_gives_the_same_bytes(index, exported, tmp_path):
    again = {form: export(index, form, tmp_path / "out" / form) for form in FORMATS}
    for form in ("bibtex", "citation"):
        assert [p.read_bytes() for p in again[form]] == [p.read_bytes() for p in exported[form]]
    for form in ("croissant", "trainingdml"):
        twice = export(index, form, tmp_path / "too" / form)
        assert [p.read_bytes() for p in twice] == [p.read_bytes() for p in again[form]]


@pytest.mark.parametrize("form", FORMATS)
def test_no_file_of_anybody_s_is_written_over(form, index, exported, tmp_path):
    name = exported[form][-1].name  # the last: none before it is written either
    (tmp_path / name).write_text("mine")
    with pytest.raises(SatimnetError, match=f"{name}: is there already; choose another folder"):
        export(index, form, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_leaves_what_is_there(everything, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("references.bib").write_text("mine")
    result = CliRunner().invoke(cli, ["satimnet", "export", str(everything), "--format", "bibtex"])
    assert result.exit_code == 1
    assert result.output.strip() == (
        "Error: references.bib: is there already; choose another folder"
    )
    assert Path("references.bib").read_text() == "mine"


def test_a_catalog_on_the_web(everything, serve, tmp_path):
    with serve(everything) as url:
        index = Index(url)
        (path,) = export(index, "trainingdml", tmp_path, collections=["inria"])
        link = json.loads(path.read_bytes())["data"][0]["dataURL"][0]
        assert link.startswith(f"{url}/inria/shards/")
        (path,) = export(index, "croissant", tmp_path, collections=["inria"])
    (here,) = export(Index(everything), "croissant", tmp_path / "here", collections=["inria"])
    files = [json.loads(one.read_bytes())["distribution"] for one in (path, here)]
    assert [one.get("sha256") for one in files[0]] == [one.get("sha256") for one in files[1]]


def test_bad_requests_leave_nothing_half_written(everything, index, tmp_path):
    with pytest.raises(SatimnetError, match="no collection 'nope'; there are"):
        export(index, "bibtex", tmp_path / "a", collections=["nope"])
    with pytest.raises(SatimnetError, match="no format 'word'"):
        export(index, "word", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    broken = tmp_path / "catalog"
    catalog_of(everything, "inria", broken)
    with pytest.raises(SatimnetError, match="validate the catalog"):
        export(Index(broken), "croissant", tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []
    (home_of(broken, "inria") / "items.parquet").write_bytes(b"PAR1 no longer")
    with pytest.raises(SatimnetError, match="validate the catalog"):
        export(Index(broken), "trainingdml", tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_catalog(everything, tmp_path):
    least = {20: sys.maxsize, 40: sys.maxsize}
    for attempt in range(3):  # a peak is higher by a batch or two where the collector comes late
        for times, peak in least.items():
            folder = tmp_path / f"{times}-{attempt}"
            least[times] = min(peak, peak_of_export(everything, folder, times))
        if least[40] < 1.2 * least[20]:
            return
    raise AssertionError(least)


def peak_of_export(everything: Path, folder: Path, times: int) -> int:
    """Peak of Python's memory while EuroSAT is exported so many times over."""
    catalog_of(everything, "eurosat", folder)
    table = pq.read_table(home_of(everything) / "items.parquet")
    with pq.ParquetWriter(home_of(folder) / "items.parquet", table.schema) as writer:
        for _ in range(times):
            writer.write_table(table)
    index = Index(folder)
    gc.collect()
    gc.freeze()  # what other tests left would keep the collector from looking at what is new
    tracemalloc.start()
    (path,) = export(index, "trainingdml", folder / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gc.unfreeze()
    assert path.read_bytes().count(b"\n{") == times * len(table)
    return peak
