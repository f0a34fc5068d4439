"""What a collection says, with types: `CollectionDocument`."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest

from satimnet.builder.catalog import collection_document
from satimnet.builder.catalog.collection_document import Band, CollectionDocument, LabelClass
from satimnet.builder.errors import BadCatalogError, SatimnetError


@pytest.fixture
def least() -> dict[str, Any]:
    """A Collection with nothing but what STAC asks for."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": "harbours",
        "description": "Ships",
        "license": "other",
        "links": [],
        "extent": {
            "spatial": {"bbox": [[3, 50, 0, 5, 52, 9]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
    }


def test_the_example_runs():
    assert doctest.testmod(collection_document).failed == 0


def test_what_is_not_said_is_empty(least):
    document = CollectionDocument.of(least, "here")
    assert (document.id, document.title, document.version) == ("harbours", "harbours", None)
    assert document.box == (3, 50, 5, 52)
    assert document.interval == ("2020-01-01T00:00:00Z", None)
    assert (document.keywords, document.providers(), document.links("via")) == ([], [], [])
    assert (document.home, document.dois, document.recipe_digest) == (None, (), None)
    assert (document.class_table, document.classes, document.class_names) == ([], (), ())
    assert (dict(document.item_assets), document.images, document.masks) == ({}, [], [])
    assert document.summary("gsd") == []
    assert not document.has_spdx_license
    assert repr(document) == "<CollectionDocument: harbours>"


def test_classes(least):
    rows = [
        {"name": "background", "value": 0},
        {"name": "ship", "value": 1, "title": "Ship", "color_hint": "ff0000"},
        {"name": "unknown", "title": None},
    ]
    document = CollectionDocument.of(
        least | {"summaries": {"classification:classes": rows, "gsd": {"minimum": 1}}}, "here"
    )
    assert document.classes == (
        LabelClass("background", 0),
        LabelClass("ship", 1, "Ship", None, "ff0000"),
        LabelClass("unknown"),
    )
    assert [row.label for row in document.classes] == ["background", "Ship", "unknown"]
    assert document.class_names == ("ship", "unknown")
    assert document.class_table == rows
    assert document.summary("gsd") == []  # a range is no list


def test_bands_say_what_their_asset_says(least):
    assets = {
        "image": {
            "roles": ["data"],
            "bands": [{"name": "B02", "eo:common_name": "blue"}, {"name": "B01", "gsd": 60}],
            "gsd": 10,
            "data_type": "uint16",
            "nodata": 0,
            "proj:shape": [64, 32],
        },
        "mask": {
            "roles": ["mask"],
            "bands": [{"name": "class"}],
            "classification:classes": [{"name": "water", "value": 1}],
        },
        "overview": {"roles": ["overview"], "bands": [{"name": "red"}]},
        "annotation": {},
    }
    document = CollectionDocument.of(least | {"item_assets": assets}, "here")
    assert list(document.item_assets) == list(assets)
    (image,), (mask,) = document.images, document.masks
    assert image.bands == (
        Band("B02", common_name="blue", gsd=10, data_type="uint16", nodata=0),
        Band("B01", gsd=60, data_type="uint16", nodata=0),
    )
    assert (image.key, image.shape, image.classes) == ("image", (64, 32), None)
    assert image.band_names == ("B02", "B01")
    assert (mask.key, mask.classes) == ("mask", (LabelClass("water", 1),))


def test_links_and_publications(least):
    links = [{"rel": "license", "href": "https://l"}, {"rel": "via", "href": "https://v"}]
    publications = [{"doi": "10/a"}, {"citation": "B"}, {"doi": "10/c"}]
    document = CollectionDocument.of(
        least | {"links": links, "sci:doi": "10/c", "sci:publications": publications}, "here"
    )
    assert document.links("license") == links[:1]
    assert document.home == "https://v"
    assert document.dois == ("10/c", "10/a")


def test_what_is_no_collection_is_named(least, tmp_path):
    with pytest.raises(SatimnetError, match=r"^here: license is 3; it must be a text"):
        CollectionDocument.of(least | {"license": 3}, "here")
    path = tmp_path / "collection.json"
    path.write_text(json.dumps(least))
    assert CollectionDocument.read(str(path)) == CollectionDocument.of(least, "here")
    with pytest.raises(SatimnetError, match="nothing is there"):
        CollectionDocument.read(str(tmp_path / "other.json"))


@pytest.mark.parametrize("time", ["/etc/passwd", "", "2020-13-01T00:00:00Z", "x" * 5000])
def test_an_interval_without_times_is_refused(least, time):
    least["extent"]["temporal"]["interval"] = [[time, None]]
    with pytest.raises(BadCatalogError, match=r"extent\.temporal\.interval must be times"):
        CollectionDocument.of(least, "here")
