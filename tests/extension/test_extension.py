"""The extension: schema, examples, class, text, and the EuroSAT record written in its fields."""

from __future__ import annotations

import copy
import doctest
import itertools
import json
import math
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import jsonschema
import jsonschema_rs
import numpy as np
import pystac
import pytest
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from satimnet.extension import (
    HOOKS,
    PREFIX,
    SCHEMA_URI,
    SCHEMA_URIS,
    AssetSatimnetExtension,
    CollectionSatimnetExtension,
    ItemAssetSatimnetExtension,
    ItemSatimnetExtension,
    SatimnetExtension,
    SummariesSatimnetExtension,
    _extension,
    _schema,
    _types,
    schema,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "extensions" / "examples").glob("*.json"))
README = (ROOT / "extensions" / "README.md").read_text("utf-8")
EUROSAT = tomllib.loads((ROOT / "collections/stactools/eurosat/dataset.toml").read_text("utf-8"))
SCHEMAS = ROOT.parent / "shared" / "schemas"
DEFINITIONS = schema()["definitions"]
ORIGINAL = {
    "path": "train/images/vienna1.tif",
    "type": "image/tiff; application=geotiff",
    "file:size": 75_072_364,
    "file:checksum": "1220" + 32 * "0a",
}
PIXELS = {"offset": 3500, "dtype": "<u2", "shape": [64, 64, 13], "order": ["y", "x", "band"]}

GOOD: dict[str, dict[str, Any]] = {
    "collection": {
        "classification_problem": ["object detection", "pixel-based detection"],
        "tasks": ["object-detection", "instance-segmentation"],
        "intended_application": "object detection in aerial images",
        "class_definition": "bounding boxes in txt",
        "class_conversion": {"converted": True, "from": "txt", "to": "png"},
        "annotation_method": ["manual", "expert"],
        "annotation_description": "boxes drawn by two people each",
        "verification_method": ["visual", "cross-check"],
        "geographic_coverage": "variable",
        "timestamp": "June 2017-May 2018",
        "data_volume": 19_900_000_000,
        "naming_convention": {"informative": "yes", "pattern": "{city}{number}"},
        "documentation_quality": "very good",
        "continuous_development": False,
        "temporal_resolution": "P5D",
        "original_imagery": "multiple sensors",
        "georeferenced": False,
        "orientation": "variable",
        "embedded_metadata": True,
        "research_usage": [
            {"title": "One", "purpose": "segmentation", "doi": "10.3390/rs12203358"},
            {"title": "Two", "purpose": "pretraining", "href": "https://example.com/two"},
        ],
        "citation_count": {"count": 0, "source": "https://example.com", "date": "2020-02-28"},
        "impact": "a yearly challenge",
        "release_date": "2018-01-26",
        "synthetic": True,
        "recipe": {"text": "seed = 1\n", "sha256": 32 * "0a", "layers": ["gsw"]},
        "attribute_sources": {"license": "https://example.com/licence"},
        "attribute_notes": {"nodata": "explicitly defined in some cases only"},
    },
    "item": {
        "classes": ["ship", "harbor"],
        "concepts": ["vessel"],
        "split": "validation",
        "fold": 0,
        "country": "Lithuania",
        "source": "bigearthnet",
        "predecessor": "bigearthnet/S2A_MSIL2A_20170613T101031_26_57",
        "statistics": [
            {"class": "ship", "count": 3, "pixels": 0},
            {"class": "harbor", "count": 1},
            {"class": "background", "pixels": 589_824},
        ],
        "synthetic": False,
        "formats": ["jpg", "tif"],
        "data_types": ["uint8", "uint16"],
        "band_counts": [3, 13],
        "band_names": ["B02", "red"],
        "rows": 64,
        "columns": 32,
        "bytes": 109_835,
        "has_mask": False,
        "has_annotation": True,
        "georeferenced": True,
        "has_nodata": False,
    },
    "asset": {"pixels": PIXELS, "original": ORIGINAL},
    "item_asset": {"member_type": "image/tiff; application=geotiff"},
    "summaries": {
        "classes": ["ship", "harbor"],
        "concepts": ["vessel"],
        "split": ["train", "test"],
        "fold": [0, 1, 2],
        "country": ["Austria", "Lithuania"],
        "source": ["bigearthnet", "eurosat"],
        "predecessor": ["bigearthnet/S2A_MSIL2A_20170613T101031_26_57"],
        "synthetic": [False, True],
        "formats": ["jpg", "tif"],
        "data_types": ["uint16"],
        "band_counts": [1, 12],
        "band_names": ["B02", "red"],
        "rows": [64],
        "columns": [32, 4000],
        "bytes": [1329, 109_835],
        "has_mask": [False, True],
        "has_annotation": [True],
        "georeferenced": [False],
        "has_nodata": [False, True],
    },
}
LEVELS = {  # level: (its part of the schema, the class of its fields)
    "collection": ("collection_fields", CollectionSatimnetExtension),
    "item": ("item_fields", ItemSatimnetExtension),
    "asset": ("asset_fields", AssetSatimnetExtension),
    "item_asset": ("item_asset_fields", ItemAssetSatimnetExtension),
    "summaries": ("summaries", SummariesSatimnetExtension),
}
FIELDS = [(level, name) for level, values in GOOD.items() for name in values]


def fields_of(level: str) -> set[str]:
    """Names, without the prefix, of the fields that the schema has at a level."""
    properties = DEFINITIONS[LEVELS[level][0]]["properties"]
    return {name.removeprefix(PREFIX) for name in properties if name.startswith(PREFIX)}


def stac(level: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A small valid object in JSON form, and at the level given the fields under their full names.

    Another field of the extension is always there, so that a refused object is never refused for
    having none.
    """
    full = {PREFIX + name: value for name, value in fields.items()}
    if level in ("collection", "summaries", "item_asset"):
        return {
            "type": "Collection",
            "stac_version": "1.1.0",
            "stac_extensions": [SCHEMA_URI],
            "id": "x",
            "description": "x",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [[0, 0, 1, 1]]},
                "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
            },
            "satimnet:impact": "none",
            **(full if level == "collection" else {}),
            "summaries": full if level == "summaries" else {"gsd": [10]},
            "item_assets": {
                "x": {"title": "x", "roles": ["data"], **(full if level == "item_asset" else {})}
            },
            "assets": {},
            "links": [],
        }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [SCHEMA_URI],
        "id": "x",
        "geometry": None,
        "properties": {
            "datetime": "2020-01-01T00:00:00Z",
            "satimnet:synthetic": True,
            **(full if level == "item" else {}),
        },
        "links": [],
        "assets": {"x": {"href": "./x.zip", **(full if level == "asset" else {})}},
    }


def is_valid(obj: dict[str, Any]) -> bool:
    """The verdict of our schema, on which both validators of the project have to agree."""
    python = jsonschema.Draft7Validator(schema()).is_valid(obj)
    assert jsonschema_rs.Draft7Validator(schema()).is_valid(obj) is python
    return bool(python)


def validate(obj: dict[str, Any], uris: list[str]) -> None:
    """Validate against STAC core, shipped with pystac, and the schemas of the extensions given."""
    validator = JsonSchemaSTACValidator()
    validator.schema_cache[SCHEMA_URI] = schema()
    if uris != [SCHEMA_URI]:
        index = json.loads((SCHEMAS / "index.json").read_text("utf-8"))
        for uri in set(uris) - {SCHEMA_URI}:
            validator.schema_cache[uri] = json.loads((SCHEMAS / index[uri]).read_text("utf-8"))
    validator.validate(obj, pystac.STACObjectType(obj["type"]), "1.1.0", uris)


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(request.param.read_text("utf-8"))
    return loaded


# --- examples


def test_there_are_examples():
    names = [path.stem for path in EXAMPLES]
    assert names == ["collection", "item-mask", "item-rgb", "item"]


def test_example_is_valid_stac_and_satimnet(example):
    assert SCHEMA_URI in example["stac_extensions"]
    validate(example, [SCHEMA_URI])
    assert is_valid(example)


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="no ../shared/schemas: other extensions unchecked")
def test_example_is_valid_in_all_extensions_it_declares(example):
    validate(example, example["stac_extensions"])


def test_example_declares_the_extensions_it_uses(example):
    declared = {uri.split("/")[-3] for uri in example["stac_extensions"]}
    words = set(re.findall(r'"([a-z]+):[a-z0-9_]+": ', json.dumps(example)))
    names = {
        "sci": "scientific",
        "proj": "projection",
        "satimnet": "stac-extension",
    }
    used = {names.get(word, word) for word in words}
    used |= {"archive"} if '"archive": ' in json.dumps(example) else set()
    assert declared == used


def test_example_items_are_consistent(example):
    for asset in example["assets"].values():
        for member in asset.get("archive", []):
            first, last = member["range"]
            assert last - first + 1 == member["file:size"]
            assert last < asset["file:size"]
            assert first % 64 == 0
        if pixels := asset.get("satimnet:pixels"):
            size = math.prod(pixels["shape"]) * np.dtype(pixels["dtype"]).itemsize
            assert first <= pixels["offset"]
            assert pixels["offset"] + size - 1 <= last
            assert pixels["shape"][pixels["order"].index("band")] == len(asset["bands"])
            assert np.dtype(pixels["dtype"]).name == asset["data_type"]


def test_examples_survive_pystac(example):
    kind = pystac.Item if example["type"] == "Feature" else pystac.Collection
    read = kind.from_dict(copy.deepcopy(example))
    assert read.to_dict(include_self_link=False, transform_hrefs=False) == example


# --- schema


@pytest.mark.parametrize(("level", "name"), FIELDS)
def test_plausible_values_are_valid(level, name):
    obj = stac(level, {name: GOOD[level][name]})
    assert is_valid(obj)
    validate(obj, [SCHEMA_URI])


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        ("collection", "class_conversion", {"converted": False}),
        ("collection", "naming_convention", {"informative": "no"}),
        ("collection", "temporal_resolution", "P1Y2M10DT2H30M1.5S"),
        ("item", "classes", []),
        ("item", "statistics", []),
        ("asset", "original", ORIGINAL | {"type": "image/jpeg"}),
        ("asset", "pixels", {"offset": 0, "dtype": "|u1", "shape": [9, 9], "order": ["x", "y"]}),
        ("summaries", "fold", {"minimum": 0, "maximum": 9}),
        ("summaries", "rows", {"minimum": 32, "maximum": 4000}),
        ("item", "bytes", 0),
        *(
            ("asset", "pixels", PIXELS | {"order": list(order)})
            for order in itertools.permutations(["y", "x", "band"])
        ),
    ],
)
def test_other_forms_are_valid(level, name, value):
    assert is_valid(stac(level, {name: value}))


@pytest.mark.parametrize("junk", [None, "", " ", [""], [None], 1.5, -1, {"x": 1}, {}], ids=repr)
@pytest.mark.parametrize(("level", "name"), FIELDS)
def test_junk_is_refused(level, name, junk):
    assert not is_valid(stac(level, {name: junk}))


def wrong(level: str, name: str, **changes: Any) -> tuple[str, str, dict[str, Any]]:
    """A good object with some keys changed, or taken out where the value is None."""
    changed = GOOD[level][name] | changes
    return level, name, {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [
        ("collection", "classification_problem", "object detection"),
        ("collection", "classification_problem", ["regression"]),
        ("collection", "classification_problem", ["object detection", "object detection"]),
        ("collection", "classification_problem", []),
        ("collection", "tasks", ["object detection"]),
        ("collection", "tasks", []),
        ("collection", "annotation_method", ["by hand"]),
        ("collection", "verification_method", ["Visual"]),
        ("collection", "documentation_quality", "excellent"),
        ("collection", "intended_application", ["land cover"]),
        ("collection", "data_volume", "2.88 GB"),
        ("collection", "continuous_development", "no"),
        ("collection", "temporal_resolution", "5 days"),
        ("collection", "temporal_resolution", "P"),
        ("collection", "temporal_resolution", "P1DT"),
        ("collection", "release_date", "31.08.2017"),
        ("collection", "release_date", "2017-13-01"),
        ("collection", "attribute_sources", {"license": ""}),
        ("collection", "attribute_notes", {"nodata": ["in some cases"]}),
        ("collection", "research_usage", GOOD["collection"]["research_usage"][0]),
        ("collection", "research_usage", [{"title": "One", "purpose": "segmentation"}]),
        ("collection", "research_usage", [{"title": "One", "doi": "10.3390/rs12203358"}]),
        (
            "collection",
            "research_usage",
            [{"title": "One", "purpose": "x", "doi": "https://doi.org/10.3390/rs12203358"}],
        ),
        wrong("collection", "class_conversion", converted=False),
        wrong("collection", "class_conversion", to=None),
        wrong("collection", "class_conversion", to=""),
        wrong("collection", "class_conversion", quality="good"),
        wrong("collection", "naming_convention", informative="maybe"),
        wrong("collection", "naming_convention", informative=None),
        wrong("collection", "naming_convention", pattern=""),
        wrong("collection", "recipe", text=""),
        wrong("collection", "recipe", sha256="0A" * 32),
        wrong("collection", "recipe", layers=None),
        wrong("collection", "recipe", layers=["gsw", "gsw"]),
        wrong("collection", "citation_count", count=-1),
        wrong("collection", "citation_count", count="12"),
        wrong("collection", "citation_count", source=None),
        wrong("collection", "citation_count", date="2020"),
        ("item", "classes", "ship"),
        ("item", "classes", ["ship", "ship"]),
        ("item", "concepts", [1]),
        ("item", "split", "val"),
        ("item", "split", ["train"]),
        ("item", "fold", "0"),
        ("item", "country", ["Lithuania"]),
        ("item", "statistics", {"ship": 3}),
        ("item", "statistics", [{"class": "ship"}]),
        ("item", "statistics", [{"count": 3}]),
        ("item", "statistics", [{"class": "", "count": 3}]),
        ("item", "statistics", [{"class": "ship", "count": -1}]),
        ("item", "statistics", [{"class": "ship", "pixels": 0.5}]),
        ("item", "statistics", [{"class": "ship", "count": 3, "area": 3.0}]),
        ("item", "statistics", 2 * [{"class": "ship", "count": 3}]),
        ("item", "synthetic", "true"),
        ("item", "formats", "jpg"),
        ("item", "formats", []),
        ("item", "formats", ["image/jpeg"]),
        ("item", "band_counts", [0]),
        ("item", "band_counts", [3, 3]),
        ("item", "rows", 0),
        ("item", "columns", [64]),
        ("item", "bytes", 0.5),
        ("item", "has_mask", "yes"),
        wrong("asset", "pixels", offset=-1),
        wrong("asset", "pixels", offset=None),
        wrong("asset", "pixels", dtype="uint16"),
        wrong("asset", "pixels", dtype="u2"),
        wrong("asset", "pixels", dtype="|u2"),
        wrong("asset", "pixels", dtype="<u3"),
        wrong("asset", "pixels", dtype="=u2"),
        wrong("asset", "pixels", shape=[64, 64]),
        wrong("asset", "pixels", shape=[64, 64, 0]),
        wrong("asset", "pixels", order=["y", "x"]),
        wrong("asset", "pixels", order=["y", "x", "x"]),
        wrong("asset", "pixels", order=["y", "x", "time"]),
        wrong("asset", "pixels", shape=[64, 13], order=["y", "band"]),
        wrong("asset", "pixels", member="x.tif"),
        wrong("asset", "original", path=None),
        wrong("asset", "original", path=""),
        wrong("asset", "original", type="geotiff"),
        wrong("asset", "original", type=None),
        wrong("asset", "original", **{"file:size": -1}),
        wrong("asset", "original", **{"file:size": "75 MB"}),
        wrong("asset", "original", **{"file:checksum": "sha256"}),
        wrong("asset", "original", **{"file:checksum": "122"}),
        wrong("asset", "original", href="./vienna1.tif"),
        ("item_asset", "member_type", "png"),
        ("item_asset", "member_type", ["image/png"]),
        ("summaries", "split", "train"),
        ("summaries", "split", ["val"]),
        ("summaries", "fold", {"minimum": 0}),
        ("summaries", "rows", 64),
        ("summaries", "band_counts", {"minimum": 1, "maximum": 13}),
        ("summaries", "bytes", {"maximum": 5}),
        ("summaries", "has_mask", True),
    ],
)
def test_wrong_values_are_refused(level, name, value):
    assert not is_valid(stac(level, {name: value}))


@pytest.mark.parametrize("level", LEVELS)
def test_fields_are_refused_where_they_do_not_belong(level):
    assert is_valid(stac(level, {}))
    strangers = {name: value for other in GOOD for name, value in GOOD[other].items()}
    strangers["licence"] = "MIT"
    for name in strangers.keys() - fields_of(level):
        assert not is_valid(stac(level, {name: strangers[name]})), name


def test_fields_are_refused_beside_the_properties_of_an_item():
    assert not is_valid(stac("item", {}) | {"satimnet:split": "train"})


def test_pixels_are_refused_in_item_assets():
    assert not is_valid(
        stac("collection", {}) | {"item_assets": {"x": {"satimnet:pixels": PIXELS}}}
    )


@pytest.mark.parametrize("name", GOOD["asset"])
def test_fields_of_an_asset_in_an_archive_entry(name):
    obj = stac("asset", {})
    del obj["properties"]["satimnet:synthetic"]
    entry = {"href": "a.tif", PREFIX + name: GOOD["asset"][name]}
    obj["assets"]["x"]["archive"] = [entry]
    assert is_valid(obj)
    validate(obj, [SCHEMA_URI])
    obj["assets"]["x"]["archive"] = [entry | {PREFIX + name: GOOD["asset"][name] | {"x": 1}}]
    assert not is_valid(obj)


def test_some_field_is_required():
    item = stac("item", {})
    del item["properties"]["satimnet:synthetic"]
    assert not is_valid(item)
    for name, value in GOOD["asset"].items():
        assert is_valid(item | {"assets": {"x": {"href": "./x.zip", PREFIX + name: value}}})

    collection = stac("collection", {})
    del collection["satimnet:impact"]
    assert not is_valid(collection)
    assert is_valid(collection | {"summaries": {"satimnet:split": ["train"]}})
    assert is_valid(collection | {"item_assets": {"x": {"satimnet:member_type": "image/png"}}})


def test_the_extension_has_to_be_declared():
    assert not is_valid(stac("item", {}) | {"stac_extensions": []})


def test_schema_is_the_caller_s_own():
    schema().clear()
    assert schema()["$id"] == SCHEMA_URI


OLD_URI = SCHEMA_URI.replace("v1.1.0", "v1.0.0")


def test_every_version_has_its_schema():
    assert SCHEMA_URIS == (SCHEMA_URI, OLD_URI)
    for uri in SCHEMA_URIS:
        text = schema(uri)
        assert text["$id"] == uri
        assert text["definitions"]["stac_extensions"]["properties"]["stac_extensions"][
            "contains"
        ] == {"const": uri}


FACTS = {
    *("formats", "data_types", "band_counts", "band_names", "rows", "columns", "bytes"),
    *("has_mask", "has_annotation", "georeferenced", "has_nodata"),
}
NEWER = {
    ("collection", "attribute_notes"),
    ("collection", "tasks"),
    *((level, name) for level in ("item", "summaries") for name in (*FACTS, "predecessor")),
}


@pytest.mark.parametrize(("level", "name"), FIELDS)
def test_what_was_valid_before_still_is(level, name):
    obj = stac(level, {name: GOOD[level][name]}) | {"stac_extensions": [OLD_URI]}
    old = jsonschema.Draft7Validator(schema(OLD_URI))
    assert old.is_valid(obj) is ((level, name) not in NEWER)


@pytest.mark.parametrize("level", ["item", "collection"])
def test_pystac_reads_objects_of_the_first_version(level):
    obj = stac(level, {"synthetic": True}) | {"stac_extensions": [OLD_URI]}
    kind = pystac.Item if level == "item" else pystac.Collection
    read = kind.from_dict(obj, migrate=True)
    assert read.stac_extensions == [SCHEMA_URI]
    assert SatimnetExtension.ext(read).synthetic is True
    assert SatimnetExtension.ext(kind.from_dict(obj, migrate=False)).synthetic is True


# --- class


@pytest.mark.parametrize("level", LEVELS)
def test_schema_class_and_these_tests_have_the_same_fields(level):
    properties = {name for name in vars(LEVELS[level][1]) if not name.startswith("_")}
    assert properties == fields_of(level) == set(GOOD[level])


def enum(level: str, name: str, *path: str) -> list[str]:
    found = DEFINITIONS[LEVELS[level][0]]["properties"][PREFIX + name]
    found = DEFINITIONS[found["$ref"].rsplit("/", 1)[1]] if "$ref" in found else found
    for key in path:
        found = found[key]
    return list(found["enum"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (_types.ClassificationProblem, enum("collection", "classification_problem", "items")),
        (_types.Task, enum("collection", "tasks", "items")),
        (_types.AnnotationMethod, enum("collection", "annotation_method", "items")),
        (_types.VerificationMethod, enum("collection", "verification_method", "items")),
        (_types.DocumentationQuality, enum("collection", "documentation_quality")),
        (
            _types.Informative,
            enum("collection", "naming_convention", "properties", "informative"),
        ),
        (_types.Split, enum("item", "split")),
        (_types.Axis, enum("asset", "pixels", "properties", "order", "items")),
    ],
)
def test_types_have_the_values_of_the_schema(values, expected):
    assert list(get_args(values)) == expected


def extended(level: str, obj: Any) -> tuple[Any, Any]:
    """The fields of a pystac object at a level, and a function that gives them as JSON has them."""
    if level == "summaries":
        return SatimnetExtension.summaries(obj), lambda: obj.to_dict().get("summaries", {})
    if level == "asset":
        return SatimnetExtension.ext(obj.assets["x"]), lambda: obj.to_dict()["assets"]["x"]
    if level == "item_asset":
        definition = obj.item_assets["x"]
        return SatimnetExtension.ext(definition), lambda: obj.to_dict()["item_assets"]["x"]
    if level == "item":
        return SatimnetExtension.ext(obj), lambda: obj.to_dict()["properties"]
    return SatimnetExtension.ext(obj), obj.to_dict


@pytest.mark.parametrize(("level", "name"), FIELDS)
def test_class_round_trip(level, name):
    kind = pystac.Item if level in ("item", "asset") else pystac.Collection
    obj = kind.from_dict(stac(level, {}))
    fields, as_json = extended(level, obj)
    setattr(fields, name, GOOD[level][name])
    assert as_json()[PREFIX + name] == GOOD[level][name]
    assert is_valid(json.loads(json.dumps(obj.to_dict())))

    again, as_json = extended(level, kind.from_dict(obj.to_dict()))
    assert getattr(again, name) == GOOD[level][name]
    setattr(again, name, None)
    assert getattr(again, name) is None
    assert PREFIX + name not in as_json()


def test_a_range_and_a_list_replace_each_other():
    collection = pystac.Collection.from_dict(stac("summaries", {}))
    summaries = SatimnetExtension.summaries(collection)
    summaries.fold = pystac.RangeSummary(0, 9)
    assert collection.to_dict()["summaries"]["satimnet:fold"] == {"minimum": 0, "maximum": 9}
    summaries.fold = [0, 1]
    assert summaries.fold == [0, 1]
    assert collection.to_dict()["summaries"]["satimnet:fold"] == [0, 1]


def test_summaries_of_many_classes_are_written():
    collection = pystac.Collection.from_dict(stac("summaries", {}))
    names = [f"class {n}" for n in range(60)]  # as many as xView has; pystac drops 25 and more
    SatimnetExtension.summaries(collection).classes = names
    assert collection.to_dict()["summaries"]["satimnet:classes"] == names


def test_extension_is_added_where_it_is_missing():
    item = pystac.Item.from_dict(stac("asset", {}) | {"stac_extensions": []})
    with pytest.raises(pystac.ExtensionNotImplemented):
        SatimnetExtension.ext(item)
    with pytest.raises(pystac.ExtensionNotImplemented):
        SatimnetExtension.ext(item.assets["x"])
    SatimnetExtension.ext(item.assets["x"], add_if_missing=True).pixels = None
    assert item.stac_extensions == [SCHEMA_URI]

    collection = pystac.Collection.from_dict(stac("summaries", {}) | {"stac_extensions": []})
    with pytest.raises(pystac.ExtensionNotImplemented):
        SatimnetExtension.summaries(collection)
    SatimnetExtension.summaries(collection, add_if_missing=True)
    assert collection.stac_extensions == [SCHEMA_URI]


def test_extension_does_not_apply_to_catalogs():
    with pytest.raises(pystac.ExtensionTypeError, match="Catalog"):
        SatimnetExtension.ext(pystac.Catalog("x", "x"))


def test_pystac_finds_the_hooks():
    (entry_point,) = entry_points(group="pystac.extensions", name="satimnet")
    assert entry_point.load() is HOOKS
    pystac.read_dict(stac("item", {}))  # reading makes pystac look for hooks
    assert pystac.EXTENSION_HOOKS.hooks[SCHEMA_URI] is HOOKS
    assert HOOKS.has_extension(stac("item", {}))


def test_import_is_cheap():
    heavy = "{'numpy', 'pyarrow', 'jsonschema', 'shapely', 'dask', 'torch', 'pystac'}"
    code = f"import sys, satimnet.extension; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- README

SCOPE = [
    "Classification problem",
    "Intended application",
    "Definition of classes",
    "Conversion of class representation",
    "Way of annotation",
    "Way of verification",
    "Licence",
    "URL",
]
USAGE_AND_SUSTAINABILITY = [
    "Geographic coverage",
    "Timestamp",
    "Data volume",
    "Pre-processing",
    "Number of classes",
    "Name of classes",
    "Naming convention",
    "Quality of documentation",
    "Continuous development",
]
INTRINSIC = [
    "Spatial resolution",
    "Spectral resolution",
    "Temporal resolution",
    "Type of original imagery",
    "Orientation",
    "File format",
    "Image dimensions",
    "Number of bands",
    "Name of bands",
    "Data type per band",
    "No data value",
    "Metadata",
]
ADDITIONAL = [
    "Usage in other research",
    "Number of citations",
    "Impact",
    "Physical location",
    "Release date",
]


def table(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading of the README, without its two header rows."""
    section = README.split(f"\n{heading}\n")[1]
    rows = re.search(r"(^\|.*\n)+", section, re.MULTILINE)
    assert rows is not None
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows[0].splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in cells]


@pytest.mark.parametrize(
    ("level", "heading"),
    [
        ("collection", "### Collections"),
        ("item", "### Items"),
        ("asset", "### Assets"),
        ("item_asset", "### Item Asset Definitions"),
    ],
)
def test_readme_documents_exactly_the_fields_of_the_schema(level, heading):
    rows = table(heading)
    assert {row[0].removeprefix(PREFIX) for row in rows} == fields_of(level)
    assert all(len(row[2]) > 20 for row in rows)
    # which is what the README says
    assert fields_of("summaries") == fields_of("item") - {"statistics"}


@pytest.mark.parametrize(
    ("heading", "path"),
    [
        ("### Statistics Object", ("statistics", "items")),
        ("### Conversion Object", ("class_conversion", "oneOf", 1)),
        ("### Naming Object", ("naming_convention",)),
        ("### Usage Object", ("research_usage", "items")),
        ("### Citations Object", ("citation_count",)),
        ("### Pixels Object", ("pixels",)),
        ("### Original Object", ("original",)),
        ("### Recipe Object", ("recipe",)),
    ],
)
def test_readme_documents_exactly_the_keys_of_objects(heading, path):
    level = next(level for level in LEVELS if path[0] in fields_of(level))
    found: Any = DEFINITIONS[LEVELS[level][0]]["properties"][PREFIX + path[0]]
    for key in path[1:]:
        found = found[key]
    assert {row[0] for row in table(heading)} == set(found["properties"])


def test_readme_lists_the_values_of_enumerations():
    listed = {tuple(re.findall(r"`([^`]+)`", row[1])) for row in table("### Enumerations")}
    assert listed == {
        get_args(values)
        for values in (
            _types.ClassificationProblem,
            _types.AnnotationMethod,
            _types.VerificationMethod,
            _types.DocumentationQuality,
            _types.Informative,
            _types.Split,
            _types.Axis,
        )
    }


def test_every_attribute_of_the_paper_has_a_field():
    rows = table("## Attributes of the paper")
    attributes = [row[0] for row in rows if not row[0].startswith("**")]
    assert attributes == SCOPE + USAGE_AND_SUSTAINABILITY + INTRINSIC + ADDITIONAL
    for attribute, field, where in rows:
        assert attribute.startswith("**") or (re.search("`.+`", field) and where), attribute


def test_every_field_is_in_the_table_of_attributes_or_beyond_the_paper():
    fields = " ".join(row[1] for row in table("## Attributes of the paper"))
    mapped = set(re.findall(r"`satimnet:(\w+)`", fields))
    everywhere = set().union(*map(fields_of, LEVELS))
    assert mapped <= everywhere
    beyond = {"attribute_sources", "attribute_notes", "synthetic", "concepts", "split", "fold"}
    beyond |= {"country", "statistics", "original", "recipe", "source", "predecessor"}
    assert everywhere - mapped == beyond


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(((?!https:|#)[^)]+)\)", README):
        assert (ROOT / "extensions" / target).is_file(), target
    anchors = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors


def test_python_in_the_readme_runs_as_its_comments_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    code = README.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    for line in code.splitlines():
        statement, _, comment = line.partition("  #")
        shown = comment.strip()
        if shown[:1] in ("'", "[", "{"):
            assert repr(eval(statement, names)).startswith(shown.removesuffix(" ...}").rstrip())
        else:
            exec(statement, names)
    assert SatimnetExtension.ext(names["item"]).split == "validation"


# --- the record of EuroSAT


def test_example_collection_is_the_record():
    example = json.loads((ROOT / "extensions/examples/collection.json").read_text("utf-8"))
    for key in ("id", "title", "description", "license", "keywords", "providers"):
        assert example[key] == EUROSAT[key]
    assert {key: example[key] for key in EUROSAT["collection"]} == EUROSAT["collection"]
    assert fields_of("collection") >= {
        key.removeprefix(PREFIX) for key in EUROSAT["collection"] if key.startswith(PREFIX)
    }
    classes = [{k: v for k, v in row.items() if k != "concept"} for row in EUROSAT["classes"]]
    assert example["summaries"]["classification:classes"] == classes
    assert example["links"][: len(EUROSAT["links"])] == EUROSAT["links"]
    for key, asset in EUROSAT["assets"].items():
        assert example["item_assets"][key]["bands"] == asset["bands"]
        assert example["item_assets"][key]["satimnet:member_type"] == asset["type"]


def test_record_has_every_attribute_the_paper_gives_for_eurosat():
    rows = table("## Attributes of the paper")
    unknown = {  # "-" in Tables 1 to 3, and unpublished since
        "satimnet:continuous_development",
        "satimnet:temporal_resolution",
        "satimnet:citation_count",
        "satimnet:annotation_description",  # "manual" is all there is to say
    }
    mapped = {
        field
        for row in rows
        for field in re.findall(r"`(satimnet:\w+)`", row[1])
        if field.removeprefix(PREFIX) in fields_of("collection")
    }
    assert mapped - set(EUROSAT["collection"]) == unknown
    assert EUROSAT["collection"]["satimnet:data_volume"] == 2_880_000_000
    assert EUROSAT["collection"]["satimnet:naming_convention"]["informative"] == "at class level"


def test_record_says_where_added_values_come_from():
    sources = EUROSAT["collection"]["satimnet:attribute_sources"]
    known = EUROSAT.keys() | EUROSAT["collection"].keys()
    known |= {key for asset in EUROSAT["assets"].values() for key in asset}
    assert sources.keys() <= known
    assert sources.keys() >= {"license", "sci:doi", "satimnet:timestamp", "satimnet:release_date"}


def test_record_class_table():
    names = [row["name"] for row in EUROSAT["classes"]]
    assert names == sorted(names)
    assert [row["value"] for row in EUROSAT["classes"]] == list(range(1, 11))
    assert {row["title"].lower() for row in EUROSAT["classes"]} == {  # footnote 9 of Table 2
        "industrial buildings",
        "residential buildings",
        "annual crop",
        "permanent crop",
        "river",
        "sea & lake",
        "herbaceous vegetation",
        "highway",
        "pasture",
        "forest",
    }
    assert len({row["color_hint"] for row in EUROSAT["classes"]}) == 10


def test_record_bands_are_in_the_order_of_the_files():
    bands = EUROSAT["assets"]["multispectral"]["bands"]
    assert [band["name"] for band in bands] == [f"B{n:02}" for n in range(1, 13)] + ["B8A"]
    by_wavelength = sorted(bands, key=lambda band: float(band["eo:center_wavelength"]))
    assert [band["name"] for band in by_wavelength] == [
        *(f"B{n:02}" for n in range(1, 9)),
        "B8A",
        *(f"B{n:02}" for n in range(9, 13)),
    ]
    gsd = {band["name"]: band["gsd"] for band in bands}
    assert {name for name in gsd if gsd[name] == 10} == {"B02", "B03", "B04", "B08"}
    assert {name for name in gsd if gsd[name] == 60} == {"B01", "B09", "B10"}
    by_name = {band["eo:common_name"]: band for band in bands}
    for band in EUROSAT["assets"]["rgb"]["bands"]:
        same = by_name[band["eo:common_name"]]
        assert band["description"] == f"Sentinel-2 {same['name']}"
        assert band["eo:center_wavelength"] == same["eo:center_wavelength"]
        assert band["eo:full_width_half_max"] == same["eo:full_width_half_max"]


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("2750/Forest/Forest_1.jpg", True),
        ("Forest/Forest_1.jpg", True),
        ("ds/images/remote_sensing/sentinel_2/tif/SeaLake/SeaLake_3000.tif", True),
        ("SeaLake/Bombay_7.tif", False),
        ("Forest/River_1.jpg", False),
        ("NotForest/Forest_1.jpg", False),
        ("Forest/Forest_1.jpg.txt", False),
    ],
)
def test_record_signature(path, fits):
    assert bool(re.search(EUROSAT["signature"], path)) is fits


@pytest.mark.parametrize("module", [_extension, _schema])
def test_the_examples_of_the_docstrings_run(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert failed == 0
